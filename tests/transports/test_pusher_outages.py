"""Whatever Pusher does, a caller gets one of our errors, exact books, and no secret."""

from __future__ import annotations

import json
import logging
import re
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from email.utils import formatdate
from typing import Any

import pytest
from django.db import transaction
from django.urls import include, path
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django import Settings
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIClient
from rest_framework.viewsets import ModelViewSet

from realtime_drf import Event, publish
from realtime_drf.exceptions import (
    AccessRefused,
    EventRejected,
    PayloadTooLarge,
    TransportError,
    TransportUnavailable,
)
from realtime_drf.mixins import RealtimeViewMixin
from realtime_drf.signals import event_published, publish_failed
from realtime_drf.transports import transports
from tests.services import faults
from tests.services.http_connection import Request
from tests.services.process import closed_port
from tests.services.pusher_http import PusherService
from tests.todos.models import Todo
from tests.todos.serializers import TodoSerializer
from tests.transports.conftest import MakePusher, options_for

pytest.importorskip("pusher")

MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

REDIRECT = faults.Status(302, headers={"Location": "/elsewhere"})
UNKNOWN_EVENT_STATUS = faults.Status(422, '{"data": ["The data field is required."]}')

FAULTS: list[tuple[faults.Fault, type[TransportError]]] = [
    (faults.Status(400, "Invalid event"), EventRejected),
    (UNKNOWN_EVENT_STATUS, EventRejected),
    (faults.Status(413, "Too much"), PayloadTooLarge),
    (faults.Status(401, "Invalid signature"), AccessRefused),
    (faults.Status(403, "Over quota"), AccessRefused),
    (faults.Status(404, "No such app"), AccessRefused),
    (faults.Status(204), AccessRefused),
    (faults.Status(408, "Too slow"), TransportUnavailable),
    (faults.Status(429, "Slow down"), TransportUnavailable),
    (faults.Status(500, "Oops"), TransportUnavailable),
    (faults.Status(502), TransportUnavailable),
    (faults.Status(503, "Later", {"Retry-After": "1"}), TransportUnavailable),
    (faults.Status(200, "null"), TransportUnavailable),
    (faults.Status(200, "[]"), TransportUnavailable),
    (faults.Status(200, ""), TransportUnavailable),
    (faults.Html(), TransportUnavailable),
    (faults.Html(502), TransportUnavailable),
    (faults.Garbage(), TransportUnavailable),
    (faults.HalfThenClose(), TransportUnavailable),
    (faults.Reset(), TransportUnavailable),
    (faults.Close(), TransportUnavailable),
    # Those that wait for the timeout.
    (faults.Half(), TransportUnavailable),
    (faults.Hang(), TransportUnavailable),
]
SWIFT_FAULTS = [fault for fault, _ in FAULTS if not isinstance(fault, faults.Half | faults.Hang)]


def fail(
    make_pusher: MakePusher,
    service: PusherService,
    *events: Event,
    fault: faults.Fault | None = None,
) -> TransportError:
    if fault is not None:
        service.fail_next(fault)
    transport = make_pusher(service, timeout=faults.timeout_for(fault))
    with pytest.raises(TransportError) as caught:
        transport.send(events or [Event("saved", "x")])
    transport.close()
    return caught.value


# Which error


@pytest.mark.parametrize(("fault", "error_class"), FAULTS, ids=repr)
def test_what_the_service_does_says_whether_a_retry_is_worth_it(
    pusher_service: PusherService,
    make_pusher: MakePusher,
    fault: faults.Fault,
    error_class: type[TransportError],
) -> None:
    events = [Event("a", ["x", "y"]), Event("b", [f"c{n}" for n in range(50)])]
    error = fail(make_pusher, pusher_service, *events, fault=fault)
    assert type(error) is error_class
    if isinstance(fault, faults.Status) and fault.code == 200 and fault.body:
        assert error.__cause__ is None  # well-formed JSON that is no answer: nothing was raised
    else:
        assert error.__cause__ is not None
    if error_class in (EventRejected, PayloadTooLarge):
        # It is about one event: the others go.
        assert error.unsent == tuple(events[:1])
        assert len(pusher_service.received) == 50
    else:
        assert error.unsent == tuple(events)
        assert len(pusher_service.requests) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("0", 0), ("", None), ("soon", None), ("-1", None), ("٣", None)],
)
def test_when_to_come_back_is_told(
    pusher_service: PusherService, make_pusher: MakePusher, header: str, seconds: float | None
) -> None:
    headers = {"Retry-After": header} if header.isascii() else {}
    pusher_service.fail_next(faults.Status(429, "Slow down", headers))
    error = fail(make_pusher, pusher_service)
    assert isinstance(error, TransportUnavailable)
    assert error.retry_after == seconds


def test_a_date_to_come_back_is_told_in_seconds(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    for seconds, least, most in ((60, 30, 60), (-60, 0, 0)):
        header = {"Retry-After": formatdate(time.time() + seconds, usegmt=True)}
        pusher_service.fail_next(faults.Status(503, "Later", header))
        error = fail(make_pusher, pusher_service)
        assert isinstance(error, TransportUnavailable)
        assert least <= (error.retry_after or 0) <= most


def test_a_redirect_is_not_followed(pusher_service: PusherService, make_pusher: MakePusher) -> None:
    pusher_service.fail_next(REDIRECT)
    error = fail(make_pusher, pusher_service)
    assert type(error) is AccessRefused
    assert len(pusher_service.requests) == 1


def test_a_port_that_refuses_is_worth_a_retry(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    event = Event("saved", "x")
    with closed_port() as port:
        transport = make_pusher(pusher_service, port=port)
        with pytest.raises(TransportUnavailable, match="ConnectionError") as caught:
            transport.send([event])
    assert caught.value.unsent == (event,)
    assert caught.value.__cause__ is not None


def test_nothing_is_sent_twice_by_itself(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    # It had been carried out when we gave up waiting: who tries again must reckon with that.
    slow = faults.Slow()
    event = Event("saved", "x")
    error = fail(make_pusher, pusher_service, event, fault=slow)
    slow.release()
    assert type(error) is TransportUnavailable
    assert error.unsent == (event,)
    assert len(pusher_service.received) == 1


@pytest.mark.parametrize(
    ("code", "error_class"),
    [
        (400, EventRejected),
        (401, AccessRefused),
        (413, PayloadTooLarge),
        (503, TransportUnavailable),
        ("?", TransportUnavailable),
    ],
)
def test_an_error_that_comes_as_200_is_an_error(
    pusher_service: PusherService,
    make_pusher: MakePusher,
    code: Any,
    error_class: type[TransportError],
) -> None:
    # As soketi answers.
    answer = json.dumps({"error": "It did not work", "code": code})
    pusher_service.fail_next(faults.Status(200, answer))
    assert type(fail(make_pusher, pusher_service)) is error_class


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"secret": "wrong-secret"}, "401: check app_id, key, secret and the clock"),
        ({"key": "wrong-key"}, "401: check app_id, key, secret and the clock"),
        ({"app_id": "1"}, "404: check app_id, cluster, host, port and ssl"),
    ],
)
def test_wrong_credentials_stop_the_rest_and_say_what_to_check(
    pusher_service: PusherService, make_pusher: MakePusher, options: dict[str, str], words: str
) -> None:
    events = [Event(f"e{n}", "x") for n in range(30)]
    with pytest.raises(AccessRefused, match=words) as caught:
        make_pusher(pusher_service, **options).send(events)
    assert caught.value.unsent == tuple(events)
    assert len(pusher_service.requests) == 1


# What did not go


class ScriptedService(PusherService):
    """Meet each request with the next fault of a script; None is none."""

    script: Sequence[faults.Fault | None] = ()

    def take(self, request: Request) -> faults.Fault | None:
        with self.changed:
            super().take(request)
            fault, self.script = (self.script[0], self.script[1:]) if self.script else (None, ())
            return fault


@settings(deadline=None)
@given(
    sizes=st.lists(
        st.tuples(st.integers(1, 12), st.sampled_from([1, 1, 1, 1, 1_000, 5_000])), max_size=40
    ),
    script=st.lists(st.none() | st.sampled_from(SWIFT_FAULTS), max_size=8),
)
def test_what_arrived_and_what_is_unsent_are_all_and_nothing_twice(
    make_pusher: MakePusher, sizes: list[tuple[int, int]], script: list[faults.Fault | None]
) -> None:
    with ScriptedService() as service:
        service.script = script
        service.data_limit = 900  # the service refuses some, alone or in their batches,
        transport = make_pusher(service, payload_limit=3_000)  # and the transport others
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
        arrived = [(each.channel, each.data) for each in service.received]
    missing = [(channel, event.body) for event in unsent for channel in event.channels]
    everything = [(channel, event.body) for event in events for channel in event.channels]
    assert Counter(arrived) + Counter(missing) == Counter(everything)
    # What arrived is in order, and so is what is left.
    numbers = [json.loads(data)[0] for _, data in arrived]
    assert numbers == sorted(numbers)
    numbers = [event.data[0] for event in unsent]
    assert numbers == sorted(set(numbers))


def test_companions_of_a_refused_event_go(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    pusher_service.data_limit = 10
    events = [Event(f"e{n}", f"c{n}", "x" * (50 if n == 3 else 1)) for n in range(10)]
    error = fail(make_pusher, pusher_service, *events)
    assert type(error) is PayloadTooLarge
    assert error.unsent == (events[3],)
    assert [each.name for each in pusher_service.received] == [f"e{n}" for n in range(10) if n != 3]
    # The batch, and each of its events alone.
    assert len(pusher_service.requests) == 11


def test_what_went_before_an_outage_is_not_unsent(make_pusher: MakePusher) -> None:
    events = [Event(f"e{n}", "x") for n in range(25)]
    with ScriptedService() as service:
        service.script = [None, faults.Status(503)]
        transport = make_pusher(service)
        with pytest.raises(TransportUnavailable) as caught:
            transport.send(events)
        assert caught.value.unsent == tuple(events[10:])
        # And they can be sent again as they are.
        transport.send(caught.value.unsent)
        transport.close()
        assert [each.name for each in service.received] == [event.name for event in events]


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


def quoting(status: int, service: PusherService) -> faults.Status:
    """Return an answer that gives everything away."""
    return faults.Status(
        status,
        f"{service.key} {service.secret} {MASTER_KEY} auth_key={service.key}&auth_signature="
        f"{'ab' * 32}: you should have sent {'cd' * 32}",
    )


@pytest.mark.parametrize(
    "fault",
    [*(fault for fault, _ in FAULTS), REDIRECT, 400, 401, 403, 404, 413, 422, 500, "refused"],
)
def test_no_secret_and_no_signature_is_in_an_error_or_a_log(
    pusher_service: PusherService,
    make_pusher: MakePusher,
    caplog: pytest.LogCaptureFixture,
    fault: Any,
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.DEBUG)
    transport = make_pusher(
        pusher_service, timeout=faults.timeout_for(fault), encryption_master_key_base64=MASTER_KEY
    )
    transport.send([Event("before", "x")])
    if isinstance(fault, int):
        fault = quoting(fault, pusher_service)
    try:
        if fault == "refused":
            with pusher_service.refuse():
                transport.send([Event("saved", "private-encrypted-x")])
        else:
            pusher_service.fail_next(fault)
            transport.send([Event("saved", "private-encrypted-x")])
    except TransportError as exc:
        said = list(everything_said(exc))
        logging.getLogger("tests").error("It failed", exc_info=exc)
    else:
        pytest.fail("nothing was raised")
    transport.close()
    assert "POST" in caplog.text  # the HTTP client has logged its requests
    signatures = [request.query["auth_signature"] for request in pusher_service.requests]
    for text in [*said, caplog.text, repr(transport), str(transport)]:
        for secret in [pusher_service.key, pusher_service.secret, MASTER_KEY, *signatures]:
            assert secret not in text
        assert not re.search(r"[0-9a-f]{64}", text)
        assert not re.search(r"auth_(key|signature)=(?!\[redacted\])", text)


def test_the_logs_of_others_stay_as_they_are(
    pusher_service: PusherService, make_pusher: MakePusher, caplog: pytest.LogCaptureFixture
) -> None:
    make_pusher(pusher_service)
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("urllib3.connectionpool")
    logger.debug("GET /objects/%s", "0123456789abcdef" * 2)
    record = caplog.records[-1]
    assert record.getMessage() == "GET /objects/0123456789abcdef0123456789abcdef"
    assert (record.msg, record.args) == ("GET /objects/%s", ("0123456789abcdef" * 2,))


def test_the_service_is_quoted_on_what_is_wrong_with_an_event(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    pusher_service.fail_next(faults.Status(400, "The name is not to our taste. " * 50))
    error = fail(make_pusher, pusher_service)
    assert "400: The name is not to our taste." in str(error)
    assert len(str(error)) < 300


# Through publish()


def configure(
    settings: Settings, service: PusherService, fault: faults.Fault | None = None, **entry: Any
) -> None:
    settings.REALTIME_TRANSPORTS = {
        "default": {
            "TRANSPORT": "realtime_drf.transports.pusher.PusherTransport",
            "OPTIONS": {**options_for(service), "timeout": faults.timeout_for(fault)},
            **entry,
        }
    }


@pytest.mark.parametrize("fault", [faults.Status(503), faults.Reset(), faults.Hang()], ids=repr)
def test_an_outage_is_logged_and_told_and_not_raised(
    settings: Settings,
    pusher_service: PusherService,
    caplog: pytest.LogCaptureFixture,
    fault: faults.Fault,
) -> None:
    configure(settings, pusher_service, fault)
    reported: list[tuple[str, tuple[Event, ...]]] = []

    def failed(events: tuple[Event, ...], **kwargs: Any) -> None:
        reported.append(("failed", events))

    def published(event: Event, **kwargs: Any) -> None:
        reported.append(("published", (event,)))

    publish_failed.connect(failed)
    event_published.connect(published)
    pusher_service.fail_next(fault)
    down, up = Event("down", "x", {"password": "hunter2"}), Event("up", "x")
    try:
        publish(down)
        publish(up)
    finally:
        publish_failed.disconnect(failed)
        event_published.disconnect(published)
        transports["default"].close()  # type: ignore[attr-defined]
    assert reported == [("failed", (down,)), ("published", (up,))]
    assert [each.name for each in pusher_service.received] == ["up"]
    [record] = [record for record in caplog.records if record.name == "realtime_drf"]
    assert "1 event(s) not sent" in record.getMessage()
    for secret in ("hunter2", pusher_service.secret, pusher_service.key):
        assert secret not in caplog.text


def test_the_settings_may_ask_for_an_outage_to_be_raised(
    settings: Settings, pusher_service: PusherService
) -> None:
    configure(settings, pusher_service, ON_ERROR="raise")
    pusher_service.fail_next(faults.Status(503))
    event = Event("saved", "x")
    with pytest.raises(TransportUnavailable) as caught:
        publish(event)
    assert caught.value.unsent == (event,)
    transports["default"].close()  # type: ignore[attr-defined]


class TodoViewSet(RealtimeViewMixin, ModelViewSet):  # type: ignore[type-arg]
    queryset = Todo.objects.all()
    serializer_class = TodoSerializer
    authentication_classes = ()
    permission_classes = ()

    def get_realtime_channels(self, change: Any) -> list[str]:
        return ["todos"]


router = SimpleRouter()
router.register("todos", TodoViewSet)
urlpatterns = [path("", include(router.urls))]


@pytest.mark.urls(__name__)
@pytest.mark.django_db(transaction=True)
# Raising without a transaction is what the setting is for.
@pytest.mark.parametrize(("on_error", "atomic"), [("log", False), ("log", True), ("raise", True)])
def test_a_provider_that_is_down_never_breaks_a_request(
    settings: Settings, pusher_service: PusherService, on_error: str, atomic: bool
) -> None:
    configure(settings, pusher_service, ON_ERROR=on_error)
    client = APIClient()

    def create(title: str) -> int:
        if not atomic:
            return int(client.post("/todos/", {"title": title}).status_code)
        with transaction.atomic():
            return int(client.post("/todos/", {"title": title}).status_code)

    with pusher_service.refuse():
        assert create("while it is down") == 201
    assert create("when it is back") == 201
    transports["default"].close()  # type: ignore[attr-defined]
    assert Todo.objects.count() == 2
    [received] = pusher_service.received
    assert (received.channel, received.name) == ("todos", "todo.create")
    assert json.loads(received.data)["title"] == "when it is back"
