"""No report of an error shows a key, a signature, an address with a password, or data."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from realtime_drf import Event, apublish, publish
from realtime_drf.channels import PrivateChannel
from realtime_drf.conf import configs, get_aliases
from realtime_drf.exceptions import TransportError
from realtime_drf.grants import Grant
from realtime_drf.options import find_table
from realtime_drf.tracebacks import hide_frames, opaque
from realtime_drf.transports import transports
from realtime_drf.webhooks import receive
from tests.error_reports import attempt, catch, show, show_log, walk
from tests.services.faults import Html, Status
from tests.services.process import closed_port
from tests.services.pusher_http import PusherService

PATH = "realtime_drf.transports"


def mark() -> str:
    """Return a secret that nothing could take for a digest, which is redacted anyway."""
    return "".join(secrets.choice("GHJKLMNPQRSTUVWXYZ") for _ in range(24))


SECRET, PASSWORD, HEADER, DATA, PARAMETER = mark(), mark(), mark(), mark(), mark()
MASTER_KEY = base64.b64encode(secrets.token_bytes(32)).decode()
MARKS = {
    "secret": SECRET,
    "password": PASSWORD,
    "header": HEADER,
    "data": DATA,
    "parameter of a URL": PARAMETER,
    "master key": MASTER_KEY,
}

PUSHER = {
    "app_id": "1",
    "key": "key",
    "secret": SECRET,
    "encryption_master_key_base64": MASTER_KEY,
    "webhook_keys": {"other": SECRET},
    "host": "127.0.0.1",
    "port": 1,
    "ssl": False,
}
ABLY = {
    "key": f"app.id:{SECRET}",
    "encryption_master_key_base64": MASTER_KEY,
    "webhook_keys": {"app.other": SECRET},
}
CHANNELS = {
    "app_id": "1",
    "key": "key",
    "secret": SECRET,
    "store": f"redis://:{PASSWORD}@127.0.0.1:1/0",
    "encryption_master_key_base64": MASTER_KEY,
    "webhooks": [
        {"url": f"https://a.example/?{PARAMETER}", "headers": {"Authorization": HEADER}},
    ],
}
MEMORY: dict[str, Any] = {}
OPTIONS = {"pusher": PUSHER, "ably": ABLY, "channels": CHANNELS, "memory": MEMORY}
SDKS = {
    "pusher": ["pusher"],
    "ably": ["ably", "Crypto"],
    "channels": ["channels_redis", "nacl", "redis", "tenacity"],
    "memory": [],
}


def find_marks(text: str) -> list[str]:
    signatures = re.findall(r"auth_signature=[0-9a-f]+", text)
    return [name for name, value in MARKS.items() if value in text] + signatures


def needs(name: str) -> None:
    for module in SDKS[name]:
        pytest.importorskip(module)


@pytest.fixture
def configure(settings: Settings) -> Callable[..., Any]:
    """Return a function that makes an entry of REALTIME_TRANSPORTS of a transport's name."""

    def set_up(name: str, **options: Any) -> None:
        needs(name)
        settings.CHANNEL_LAYERS = {
            "default": {
                "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
                "CONFIG": {"hosts": [f"redis://:{PASSWORD}@127.0.0.1:1/0"]},
            }
        }
        settings.REALTIME_TRANSPORTS = {
            "default": {
                "TRANSPORT": f"{PATH}.{name}.{name.title()}Transport",
                "OPTIONS": {**OPTIONS[name], **options},
                "ON_ERROR": "raise",
            }
        }

    return set_up


def get() -> Any:
    return transports["default"]


# Wrong options

WRONG_URL = f"http://:{PASSWORD}@["
TEXTS = ("encryption_master_key_base64", "host", "key", "secret", "store", "token", "url")


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize(
    "wrong",
    [object(), "", WRONG_URL, b"\xff"],
    ids=["an object", "no text", "no URL", "bytes"],
)
def test_a_wrong_option_shows_no_other(
    configure: Callable[..., Any], name: str, wrong: Any
) -> None:
    configure(name)
    transport_class = type(get())
    refused = 0
    for option in find_table(transport_class):
        if wrong == WRONG_URL and option not in TEXTS:
            continue  # a number that is none may be quoted
        configure(name, **{option: wrong})
        if (exc := attempt(get)) is not None:
            refused += 1
            assert find_marks(show(exc)) == [], option
        if (exc := attempt(lambda: transport_class(**configs["default"].options))) is not None:
            assert find_marks("\n".join(walk(exc))) == [], option
    assert refused or wrong == "" or name == "memory"


ENTRY = {"TRANSPORT": f"{PATH}.pusher.PusherTransport", "OPTIONS": PUSHER}
MALFORMED: dict[str, Any] = {
    "a list": [ENTRY],
    "an entry that is a list": {"default": [ENTRY]},
    "no transport": {"default": {"OPTIONS": PUSHER}},
    "no such key": {"default": {**ENTRY, "OPTION": PUSHER}},
    "no such class": {"default": {**ENTRY, "TRANSPORT": f"{PATH}.pusher.Nothing"}},
    "no such option": {"default": {**ENTRY, "OPTIONS": {**PUSHER, "sekret": SECRET}}},
    "options that are a list": {"default": {**ENTRY, "OPTIONS": [PUSHER]}},
    "no default": {"other": ENTRY},
    "no such delivery": {"default": {**ENTRY, "DELIVERY": "nothing.Here"}},
}


@pytest.mark.parametrize("entries", MALFORMED.values(), ids=MALFORMED)
def test_malformed_settings_show_no_option(settings: Settings, entries: Any) -> None:
    needs("pusher")
    settings.REALTIME_TRANSPORTS = entries
    for call in (get, get_aliases, lambda: configs["default"], lambda: publish(Event("e", "c"))):
        if (exc := attempt(call)) is not None:
            assert find_marks(show(exc)) == []


# Services that are away, or refuse


def publish_marked() -> None:
    publish(Event("e", "private-a", {"card": DATA}), Event("e", "private-b", {"card": DATA}))


def apublish_marked() -> None:
    asyncio.run(apublish(Event("e", "private-a", {"card": DATA})))


def asend_marked() -> None:
    asyncio.run(get().asend([Event("e", "private-a", {"card": DATA})]))


UNAVAILABLE: dict[str, Callable[[], Any]] = {
    "publish": publish_marked,
    "apublish": apublish_marked,
    "asend": asend_marked,
    "an encrypted event": lambda: publish(Event("e", "private-encrypted-a", {"card": DATA})),
    "channel_info": lambda: get().channel_info("presence-a"),
    "members": lambda: get().members("presence-a"),
    "disconnect_user": lambda: get().disconnect_user("7"),
}


@pytest.mark.parametrize("name", ["pusher", "ably", "channels"])
@pytest.mark.parametrize("call", UNAVAILABLE.values(), ids=UNAVAILABLE)
def test_a_service_that_is_away_shows_nothing_that_was_for_it(
    configure: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    name: str,
    call: Callable[[], Any],
) -> None:
    caplog.set_level(logging.DEBUG)
    with closed_port() as port:
        configure(name, **_address(name, port))
        exc = catch(call)
        get().close()
    assert isinstance(exc, TransportError)
    assert find_marks(show(exc)) == []
    assert find_marks(show_log(caplog.records)) == []


def _address(name: str, port: int) -> dict[str, Any]:
    if name == "pusher":
        return {"port": port}
    if name == "ably":
        return {"endpoint": "127.0.0.1", "tls_port": port, "fallback_hosts": []}
    return {"store": f"redis://:{PASSWORD}@127.0.0.1:{port}/0"}


@pytest.mark.parametrize(
    "fault",
    [Status(400, "Invalid"), Status(401, "No"), Status(500), Html(), Status(413, "Too much")],
    ids=repr,
)
def test_a_service_that_refuses_shows_nothing_that_was_for_it(
    configure: Callable[..., Any], caplog: pytest.LogCaptureFixture, fault: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    with PusherService(secret=SECRET) as service:
        configure("pusher", app_id=service.app_id, key=service.key, port=service.port)
        service.fail_next(fault, times=3)
        exc = catch(publish_marked)
        get().close()
    assert isinstance(exc, TransportError)
    assert find_marks(show(exc)) == []
    assert find_marks(show_log(caplog.records)) == []


@pytest.mark.parametrize("name", OPTIONS)
def test_an_event_that_is_too_large_shows_no_data(
    configure: Callable[..., Any], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    configure(name, payload_limit=10)
    exc = catch(publish_marked)
    assert isinstance(exc, TransportError)
    assert find_marks(show(exc)) == []
    assert find_marks(show_log(caplog.records)) == []
    assert DATA not in repr(exc.unsent)


# Webhooks that come


def _pusher_webhook(body: bytes, secret: str) -> dict[str, str]:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Pusher-Key": "key", "X-Pusher-Signature": signature}


def _ably_webhook(body: bytes, secret: str) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return {"X-Ably-Key": "app.id", "X-Ably-Signature": base64.b64encode(digest).decode()}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"time_ms": 0, "events": [DATA], "items": []}).encode(),
        json.dumps(
            {"time_ms": int(time.time() * 1000), "events": [DATA], "items": [DATA]}
        ).encode(),
        DATA.encode(),
        b"\xff" + DATA.encode(),
    ],
    ids=["old", "malformed events", "no JSON", "no UTF-8"],
)
@pytest.mark.parametrize("name", ["pusher", "ably"])
@pytest.mark.parametrize("secret", [SECRET, PASSWORD], ids=["signed", "not signed"])
def test_a_bad_webhook_shows_neither_secret_nor_signature_nor_data(
    configure: Callable[..., Any], name: str, body: bytes, secret: str
) -> None:
    configure(name)
    headers = {"pusher": _pusher_webhook, "ably": _ably_webhook}[name](body, secret)
    signature = headers[f"X-{name.title()}-Signature"]
    transport = get()
    for call, args in ((transport.read_webhook, ()), (receive, (transport,))):
        exc = attempt(call, *args, headers, body)
        if (name, secret) != ("ably", SECRET) or b"[]" not in body:  # a batch of nothing is read
            assert exc is not None
            assert find_marks(show(exc)) == []
            assert signature not in show(exc)


# The endpoints of browsers


@pytest.fixture
def failing_policy() -> None:
    class Failing(PrivateChannel):
        pattern = "failing"
        permission_classes = ()

        def authorize(self, request: Any) -> bool:
            raise RuntimeError("a policy that fails")


@pytest.mark.parametrize("name", ["pusher", "ably", "channels"])
@pytest.mark.usefixtures("policies", "failing_policy")
def test_a_policy_that_fails_shows_nothing_of_the_transport(
    configure: Callable[..., Any], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    configure(name)
    data = {"socket_id": "1.1", "channel_name": "private-failing"}
    assert APIClient().post("/realtime/auth/", data).status_code == 403
    text = show_log(caplog.records)
    assert "a policy that fails" in text
    assert find_marks(text) == []


@pytest.mark.parametrize("name", ["pusher", "ably", "channels"])
@pytest.mark.usefixtures("policies")
def test_an_answer_that_cannot_be_made_shows_neither_a_key_nor_a_token(
    configure: Callable[..., Any], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    configure(name)
    transport = get()
    data = {"socket_id": "1.1", "channel_name": "presence-a"}
    asked = transport.read_authorization(data)
    grant = Grant(channel="presence-a", user_id="7", user_info={"name": [DATA, object()]})
    for args in ((asked, [grant]), (None, [grant])):
        if (exc := attempt(transport.answer_authorization, *args)) is not None:
            assert find_marks(show(exc)) == []
    assert find_marks(show_log(caplog.records)) == []


def test_a_client_that_makes_the_server_fail_does_not_show_its_token() -> None:
    needs("channels")
    from tests.server.harness import Site

    with Site() as site:
        client = site.connect()
        connection = next(iter(site.node.connections.values()))
        connection.channels = None  # type: ignore[assignment]
        client.say({"event": "pusher:subscribe", "data": {"channel": "a", "auth": SECRET}})
        task = client._task
        assert task is not None
        exc = task.exception()
        client._task = None
        connection.channels = {}
    assert exc is not None
    assert SECRET not in show(exc)


@pytest.mark.parametrize("resource", ["/events", "/channels"])
def test_a_request_to_the_http_api_that_fails_shows_nothing_of_it(
    caplog: pytest.LogCaptureFixture, resource: str
) -> None:
    needs("channels")
    from tests.server.http_caller import Api

    async def fail(*args: Any) -> None:
        raise ConnectionError(f"redis://:{PASSWORD}@127.0.0.1")

    api = Api(secret=SECRET)
    backplane = api.transport.app.backplane
    backplane.apublish = backplane.store.find = fail  # type: ignore[assignment,method-assign]
    caplog.set_level(logging.DEBUG)
    event = {"name": "e", "channel": "c", "data": DATA} if resource == "/events" else None
    method = "GET" if event is None else "POST"
    status, answer = api.call(method, resource, event, secret=SECRET)
    assert status == 503
    assert find_marks(f"{answer} {show_log(caplog.records)}") == []
    assert api.call(method, resource, event, secret=PASSWORD)[0] == 401
    assert find_marks(show_log(caplog.records)) == []


# Webhooks that go out


def test_a_webhook_that_cannot_be_sent_shows_nothing_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    needs("channels")
    import tenacity
    import urllib3

    from realtime_drf.cluster.webhooks.endpoints import Endpoint
    from realtime_drf.cluster.webhooks.queue import DeliveryFailed, EndpointQueue
    from realtime_drf.cluster.webhooks.sender import Sender
    from realtime_drf.pusher_protocol.signatures import Signer

    caplog.set_level(logging.DEBUG)
    with closed_port() as port:
        endpoint = Endpoint(
            "hook", f"http://127.0.0.1:{port}/?{PARAMETER}", headers={"Authorization": HEADER}
        )
        poster = Sender(endpoint, Signer("key", SECRET), urllib3)
        exc = catch(poster, 0, [DATA.encode()], 1.0)
    assert isinstance(exc, DeliveryFailed)
    assert find_marks(show(exc)) == []

    def fail(*args: Any) -> None:
        raise RuntimeError("a bug")

    queue = EndpointQueue("hook", fail, tenacity=tenacity, pause=lambda seconds: None)
    queue.put(DATA.encode())
    queue.close(10)
    text = show_log(caplog.records)
    assert "a bug" in text
    assert find_marks(text) == []


# How frames are hidden


def test_a_note_tells_where_it_was_raised() -> None:
    @opaque
    def fail(secret: str) -> None:
        raise ValueError("no")

    exc = catch(fail, SECRET)
    assert SECRET not in show(exc)
    (note,) = exc.__notes__
    assert 'raise ValueError("no")' in note


def test_what_was_being_handled_before_keeps_its_frames() -> None:
    @opaque
    def fail() -> None:
        raise ValueError("no")

    def handle() -> None:
        try:
            raise KeyError("mine")
        except KeyError:
            fail()

    outer = catch(handle).__context__
    assert isinstance(outer, KeyError)
    assert outer.__traceback__ is not None
    assert not hasattr(outer, "__notes__")


def test_causes_contexts_and_groups_are_hidden_and_hidden_once() -> None:
    def make(text: str) -> Exception:
        secret = SECRET
        return catch(lambda: int(text if secret else ""))

    exc = ExceptionGroup("all", [make("a"), make("b")])
    exc.__cause__ = make("c")
    exc.__context__ = make("d")
    for _ in range(2):
        hide_frames(exc)
    assert [text for text in walk(exc) if SECRET in text] == []
    assert all(len(each.__notes__) == 1 for each in (*exc.exceptions, exc.__cause__))


def test_a_coroutine_is_hidden_too_and_still_one() -> None:
    @opaque
    async def fail(secret: str) -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    assert asyncio.iscoroutinefunction(fail)
    assert SECRET not in show(catch(asyncio.run, fail(SECRET)))
