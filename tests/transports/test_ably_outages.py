"""Whatever Ably does, a caller gets one of our errors, exact books, and no secret."""

from __future__ import annotations

import base64
import json
import logging
import socket
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_drf import Event
from realtime_drf.exceptions import (
    AccessRefused,
    ChannelUnavailable,
    EventRejected,
    PayloadTooLarge,
    TransportError,
    TransportUnavailable,
)
from tests.examples import scaled
from tests.services import faults
from tests.services.ably_http import AblyService
from tests.services.http_connection import Answer, Request
from tests.services.process import LOCALHOST, closed_port
from tests.transports.ably_setup import MakeAbly

pytest.importorskip("ably")

MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


class Refused(faults.Status):
    """Answer with an error in the service's own words."""

    def __init__(self, status: int, code: int, message: str = "No", **headers: str) -> None:
        error = {"code": code, "statusCode": status, "message": message}
        super().__init__(status, json.dumps({"error": error}), headers)


FAULTS: list[tuple[faults.Fault, type[TransportError]]] = [
    (faults.Status(400, "Invalid message"), EventRejected),
    (faults.Status(422), EventRejected),
    (faults.Status(413, "Too much"), PayloadTooLarge),
    (faults.Status(401, "Invalid credentials"), AccessRefused),
    (faults.Status(403, "Account disabled"), AccessRefused),
    (faults.Status(404, "No such app"), AccessRefused),
    (faults.Status(302, headers={"Location": "/elsewhere"}), AccessRefused),
    (faults.Status(408, "Too slow"), TransportUnavailable),
    (faults.Status(429, "Slow down"), TransportUnavailable),
    (faults.Status(500, "Oops"), TransportUnavailable),
    (faults.Status(503, "Later"), TransportUnavailable),
    (faults.Status(200, "null"), TransportUnavailable),
    (faults.Html(), TransportUnavailable),
    (faults.Html(502), TransportUnavailable),
    (faults.Garbage(), TransportUnavailable),
    (faults.HalfThenClose(), TransportUnavailable),
    (faults.Reset(), TransportUnavailable),
    (faults.Close(), TransportUnavailable),
    (faults.Half(), TransportUnavailable),
    (faults.Hang(), TransportUnavailable),
]
SWIFT_FAULTS = [fault for fault, _ in FAULTS if not isinstance(fault, faults.Half | faults.Hang)]


def with_token(service: AblyService) -> dict[str, Any]:
    """Return options that need no request for a token first."""
    return {"key": None, "use_token_auth": False, "token": service.make_token()}


def fail(
    make_ably: MakeAbly,
    service: AblyService,
    *events: Event,
    fault: faults.Fault | None = None,
    **options: Any,
) -> Any:
    if fault is not None:
        service.fail_next(fault)
    timeout = faults.timeout_for(fault)
    transport = make_ably(service, **{**with_token(service), "timeout": timeout, **options})
    with pytest.raises(TransportError) as caught:
        transport.send(events or [Event("saved", "x")])
    transport.close()
    return caught.value


# Which error


@pytest.mark.parametrize(("fault", "error_class"), FAULTS, ids=repr)
def test_what_the_service_does_says_whether_a_retry_is_worth_it(
    ably_service: AblyService,
    make_ably: MakeAbly,
    fault: faults.Fault,
    error_class: type[TransportError],
) -> None:
    event = Event("a", "x")
    error = fail(make_ably, ably_service, event, fault=fault)
    assert type(error) is error_class
    assert error.unsent == (event,)
    assert len(ably_service.requests) == 1


@pytest.mark.parametrize(
    ("status", "code", "error_class"),
    [
        (400, 40000, EventRejected),
        (400, 40009, PayloadTooLarge),
        (401, 40101, AccessRefused),
        (401, 40142, AccessRefused),  # a token that nobody can renew
        (401, 40160, EventRejected),
        (403, 40300, AccessRefused),
        (429, 42911, ChannelUnavailable),
        (429, 42913, ChannelUnavailable),
        (429, 42914, ChannelUnavailable),
        (429, 42917, TransportUnavailable),  # of the whole account
        (429, 42900, TransportUnavailable),
        (400, 42910, TransportUnavailable),
        (500, 50003, TransportUnavailable),
    ],
)
def test_the_code_of_an_error_goes_before_its_status(
    ably_service: AblyService,
    make_ably: MakeAbly,
    status: int,
    code: int,
    error_class: type[TransportError],
) -> None:
    class Coded(AblyService):
        def _act(self, request: Request) -> tuple[int, Any]:
            return status, {"error": {"code": code, "statusCode": status, "message": "No"}}

    with Coded() as service:
        error = fail(make_ably, service)
    assert type(error) is error_class
    assert f"{status} ({code})" in str(error)


def test_a_port_that_refuses_is_worth_a_retry(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    with closed_port() as port:
        error = fail(make_ably, ably_service, port=port)
    assert type(error) is TransportUnavailable
    assert "ConnectError" in str(error)


def test_a_peer_that_reads_nothing_holds_nobody_up(make_ably: MakeAbly) -> None:
    service = AblyService()
    with socket.create_server((LOCALHOST, 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        service.port = listener.getsockname()[1]
        events = [Event("e", f"c{n}", "x" * 60_000) for n in range(25)]
        started = time.monotonic()
        error = fail(make_ably, service, *events, timeout=0.3)
        assert time.monotonic() - started < 10
    assert type(error) is TransportUnavailable
    assert error.unsent == tuple(events)


def test_no_wait_is_without_a_bound(ably_service: AblyService, make_ably: MakeAbly) -> None:
    transport = make_ably(ably_service, **with_token(ably_service), timeout=7.5)
    seen: list[dict[str, Any]] = []
    http = transport.rest.client.http._HttpSync__client
    http.event_hooks["request"].append(lambda each: seen.append(each.extensions["timeout"]))
    transport.send([Event("a", "x")])
    assert [set(each) for each in seen] == [{"connect", "read", "write", "pool"}]
    assert all(0 < each <= 7.5 for each in seen[0].values())


def test_a_fallback_takes_over_within_the_time(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    options = {"endpoint": "127.0.0.9", "fallback_hosts": [LOCALHOST]}
    make_ably(ably_service, **options).send([Event("a", "x")])
    assert len(ably_service.received) == 1


def test_a_retry_after_a_lost_answer_is_no_duplicate(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    slow = faults.Slow()
    events = [Event("a", ["x", "y"]), Event("b", "x")]
    error = fail(make_ably, ably_service, *events, fault=slow)
    slow.release()
    assert type(error) is TransportUnavailable
    make_ably(ably_service).send(error.unsent)
    assert Counter(each.name for each in ably_service.received) == {"a": 2, "b": 1}


# When to come back


def test_the_service_is_left_alone_for_as_long_as_it_asks(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    now = 100.0
    transport = make_ably(ably_service, **with_token(ably_service))
    transport.rest.clock = lambda: now
    ably_service.fail_next(faults.Status(429, "Slow down", {"Retry-After": "7"}))
    with pytest.raises(TransportUnavailable) as caught:
        transport.send([Event("a", "x")])
    assert caught.value.retry_after == 7
    now = 105.0
    with pytest.raises(TransportUnavailable, match="no calls for 2 seconds") as caught:
        transport.send([Event("a", "x")])
    assert caught.value.retry_after == 2
    assert len(ably_service.requests) == 1
    now = 107.0
    transport.send([Event("a", "x")])
    assert len(ably_service.received) == 1


def test_what_one_channel_asks_for_holds_for_it_alone(make_ably: MakeAbly) -> None:
    class Busy(AblyService):
        def respond(self, request: Request) -> Answer:
            answer = super().respond(request)
            if request.path.endswith("busy/messages"):
                error = {"error": {"code": 42913, "statusCode": 429, "message": "Rate"}}
                headers = {"Retry-After": "30"}
                return Answer(429, json.dumps(error).encode(), "application/json", headers)
            return answer

    with Busy() as service:
        transport = make_ably(service, use_binary_protocol=False)
        with pytest.raises(ChannelUnavailable) as caught:
            transport.send([Event("a", "busy")])
        assert caught.value.retry_after == 30
        transport.send([Event("b", "calm")])
        with pytest.raises(ChannelUnavailable) as caught:
            transport.send([Event("c", "busy")])
        assert 29 < (caught.value.retry_after or 0) <= 30


@pytest.mark.parametrize("retry_after", ["", "soon", "-1", "1e9", "٣"])
def test_what_is_no_time_to_come_back_is_no_reason_to_wait(
    ably_service: AblyService, make_ably: MakeAbly, retry_after: str
) -> None:
    headers = {"Retry-After": retry_after} if retry_after.isascii() else {}
    transport = make_ably(ably_service, **with_token(ably_service))
    ably_service.fail_next(faults.Status(429, "Slow down", headers))
    with pytest.raises(TransportUnavailable) as caught:
        transport.send([Event("a", "x")])
    assert caught.value.retry_after is None
    transport.send([Event("a", "x")])


# Tokens


def test_a_token_that_the_service_calls_expired_is_renewed_once(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    transport = make_ably(ably_service)
    transport.send([Event("a", "x")])
    for token, session in ably_service.app.tokens.items():
        ably_service.app.tokens[token] = type(session)(session.capability, None, 1.0)
    transport.send([Event("b", ["x", "y"])])
    assert [each.name for each in ably_service.received] == ["a", "b", "b"]
    assert len([each for each in ably_service.requests if "requestToken" in each.path]) == 2


def test_the_key_goes_over_tls(ably_tls: AblyService, make_ably: MakeAbly) -> None:
    make_ably(ably_tls).send([Event("a", ["x", "y"])])
    assert len(ably_tls.received) == 2
    assert ably_tls.requests[0].headers["authorization"].startswith("Basic ")


def test_a_certificate_of_nobody_known_is_refused(
    ably_tls: AblyService, make_ably: MakeAbly, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(TransportUnavailable):
        make_ably(ably_tls).send([Event("a", "x")])
    assert ably_tls.received == []


@pytest.mark.parametrize("key", ["app1.key1:wrong-secret", "app1.other:test-secret"])
def test_a_wrong_key_stops_the_rest_and_says_what_to_check(
    ably_tls: AblyService, make_ably: MakeAbly, key: str
) -> None:
    events = [Event(f"e{n}", "x", "y" * 60_000) for n in range(3)]
    with pytest.raises(AccessRefused, match="check the key") as caught:
        make_ably(ably_tls, key=key).send(events)
    assert caught.value.unsent == tuple(events)
    assert len(ably_tls.requests) == 1


def test_events_are_published_as_a_client_if_it_is_named(
    ably_tls: AblyService, make_ably: MakeAbly
) -> None:
    make_ably(ably_tls, client_id="api").send([Event("a", "x")])
    header = ably_tls.requests[0].headers["x-ably-clientid"]
    assert base64.b64decode(header) == b"api"


# What did not go


class ScriptedService(AblyService):
    """Meet each request with the next fault of a script; None is none."""

    script: Sequence[faults.Fault | None] = ()

    def take(self, request: Request) -> faults.Fault | None:
        with self.changed:
            super().take(request)
            fault, self.script = (self.script[0], self.script[1:]) if self.script else (None, ())
            return fault


@settings(deadline=None, max_examples=scaled(60))
@given(
    sizes=st.lists(
        st.tuples(st.integers(1, 12), st.sampled_from([1, 1, 1, 1, 1_000, 5_000])), max_size=40
    ),
    script=st.lists(st.none() | st.sampled_from(SWIFT_FAULTS), max_size=8),
    shape=st.sampled_from(["spec", "docs"]),
)
def test_what_arrived_and_what_is_unsent_are_all_and_nothing_twice(
    make_ably: MakeAbly,
    sizes: list[tuple[int, int]],
    script: list[faults.Fault | None],
    shape: str,
) -> None:
    with ScriptedService() as service:
        service.script, service.batch_shape = script, shape
        service.app.message_limit = 900  # the service refuses some, alone or together,
        transport = make_ably(service, payload_limit=3_000, **with_token(service))
        events = [
            Event("e", [f"c{channel}" for channel in range(channels)], [number, "x" * size])
            for number, (channels, size) in enumerate(sizes)
        ]
        try:
            transport.send(events)
        except TransportError as exc:
            unsent = exc.unsent
            assert unsent
        else:
            unsent = ()
        transport.close()
        arrived = [(each.channel.removeprefix("public:"), each.data) for each in service.received]
    missing = [(channel, event.body) for event in unsent for channel in event.channels]
    everything = [(channel, event.body) for event in events for channel in event.channels]
    assert Counter(arrived) + Counter(missing) == Counter(everything)
    # On each channel what arrived is in order, and so is what is left.
    for channel in {name for name, _ in arrived}:
        numbers = [json.loads(data)[0] for name, data in arrived if name == channel]
        assert numbers == sorted(numbers)
    numbers = [event.data[0] for event in unsent]
    assert numbers == sorted(set(numbers))


# Secrets


def everything_said(error: BaseException) -> Iterable[str]:
    """Yield all that an error and those it came from would show to anybody."""
    yield "".join(traceback.format_exception(error))
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        exc = waiting.pop()
        if exc is None or exc in seen:
            continue
        seen.append(exc)
        yield from (str(exc), repr(exc), repr(exc.args), repr(vars(exc)))
        waiting += [exc.__cause__, exc.__context__]


def quoting(status: int, *secrets: str) -> faults.Status:
    """Return an answer that gives everything away."""
    return Refused(status, status * 100, f"you have sent {' '.join(secrets)}")


@pytest.mark.parametrize(
    "fault", [*(fault for fault, _ in FAULTS), 400, 401, 403, 404, 413, 500, "refused"]
)
@pytest.mark.parametrize("auth", ["key", "token"])
def test_no_secret_is_in_an_error_or_a_log(
    ably_service: AblyService,
    ably_tls: AblyService,
    make_ably: MakeAbly,
    caplog: pytest.LogCaptureFixture,
    fault: Any,
    auth: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    service = ably_tls if auth == "key" else ably_service
    options = with_token(service) if auth == "token" else {}
    token = options.get("token", "no-token-here")
    basic = base64.b64encode(service.key.encode()).decode()
    bearer = base64.b64encode(token.encode()).decode()
    secrets = [service.key, "test-secret", MASTER_KEY, token, basic, bearer]
    transport = make_ably(
        service,
        timeout=faults.timeout_for(fault),
        encryption_master_key_base64=MASTER_KEY,
        **options,
    )
    transport.send([Event("before", "x")])
    if isinstance(fault, int):
        fault = quoting(fault, *secrets)
    try:
        if fault == "refused":
            with service.refuse():
                transport.send([Event("saved", "private-encrypted-x")])
        else:
            service.fail_next(fault, times=2)  # a second try is made where the connection fell
            transport.send([Event("saved", "private-encrypted-x")])
    except TransportError as exc:
        said = list(everything_said(exc))
        logging.getLogger("tests").error("It failed", exc_info=exc)
    else:
        pytest.fail("nothing was raised")
    transport.close()
    assert "POST" in caplog.text  # the HTTP client has logged its requests
    for text in [*said, caplog.text, repr(transport), repr(transport.rest)]:
        for secret in secrets:
            assert secret not in text
