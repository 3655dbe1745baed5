"""What Ably reports is verified and understood, and comes to signals and occupancy once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import caches
from pytest_django import Settings
from rest_framework.test import APIClient

from realtime_drf import Event
from realtime_drf.exceptions import InvalidRequest, InvalidSignature
from realtime_drf.occupancy import occupancies
from realtime_drf.pusher_protocol.webhooks import MARGIN, WINDOW
from realtime_drf.webhook_events import WebhookEvent
from realtime_drf.webhooks import SIGNALS

pytest.importorskip("ably")

KEY, SECRET = "app1.key1", "test-secret"
OPTIONS = {"key": f"{KEY}:{SECRET}", "webhook_keys": {"app1.key2": "other-secret"}}
NOW = 1_800_000_000.0
NOW_MS = 1_800_000_000_000
_serials = itertools.count(1)


def make(**options: Any) -> Any:
    from realtime_drf.transports.ably import AblyTransport

    transport = AblyTransport(**{**OPTIONS, **options})
    transport.clock = lambda: NOW
    return transport


def item(source: str, name: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "webhookId": "rule-1",
        "source": source,
        "serial": f"serial:{next(_serials)}",
        "timestamp": NOW_MS,
        "name": name,
        "data": {"channelId": "presence:room", "site": "eu-west-1-A", **data},
        **more,
    }


def batch(*items: Any) -> bytes:
    return json.dumps({"items": items}).encode()


def sign(body: bytes, *, key: str = KEY, secret: str = SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return {"X-Ably-Key": key, "X-Ably-Signature": base64.b64encode(digest).decode()}


def read(body: bytes, **how: Any) -> list[WebhookEvent]:
    events: list[WebhookEvent] = make().read_webhook(sign(body, **how), body)
    return events


OPENED = ("channel.lifecycle", "channel.opened", {"status": {"isActive": True}})
CLOSED = ("channel.lifecycle", "channel.closed", {"status": {"isActive": False}})


def occupancy(count: Any) -> dict[str, Any]:
    metrics = {"connections": 5, "subscribers": count}
    return {"messages": [{"name": "[meta]occupancy", "data": {"metrics": metrics}}]}


def presence(*actions: int) -> dict[str, Any]:
    return {
        "presence": [
            {
                "id": "conn1:1:0",
                "clientId": "7",
                "connectionId": "conn1",
                "timestamp": NOW_MS - 5,
                "data": '{"name":"Ann"}',
                "encoding": "json",
                "action": action,
            }
            for action in actions
        ]
    }


def messages(*many: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"name": "typing", "timestamp": NOW_MS, **each} for each in many]}


# What happened


@pytest.mark.parametrize(
    ("what", "kinds"),
    [
        (OPENED, ["channel_occupied"]),
        (CLOSED, ["channel_vacated"]),
        (("channel.lifecycle", "channel.updated", {}), ["channel.updated"]),
        (
            ("channel.occupancy", "channel.occupancy", occupancy(2)),
            ["subscription_count", "channel_occupied"],
        ),
        (
            ("channel.occupancy", "channel.occupancy", occupancy(0)),
            ["subscription_count", "channel_vacated"],
        ),
        (
            ("channel.occupancy", "x", {"status": {"occupancy": {"metrics": {"subscribers": 0}}}}),
            ["subscription_count", "channel_vacated"],
        ),
        (
            ("channel.occupancy", "x", {"messages": [{"data": '{"metrics":{"subscribers":1}}'}]}),
            ["subscription_count", "channel_occupied"],
        ),
        (
            ("channel.occupancy", "channel.occupancy", {}),
            ["channel.occupancy without subscribers"],
        ),
        (
            ("channel.presence", "presence.message", presence(2, 3, 4, 1)),
            ["member_added", "member_removed", "presence action 4", "presence action 1"],
        ),
        (
            (
                "channel.message",
                "channel.message",
                messages(
                    {"id": "conn1:1:0", "connectionId": "conn1"},
                    {"id": "abcdef:0"},  # of a server
                    {"id": "ab" * 16, "connectionId": "conn1"},  # of this one, without conn1
                    {"id": f"{'ab' * 16}:3", "connectionId": "conn1"},
                ),
            ),
            ["client_event", "message", "message", "message"],
        ),
        (("channel.unheard-of", "x", {}), ["channel.unheard-of"]),
    ],
)
def test_each_source_is_understood_in_batches_and_enveloped(
    what: tuple[str, str, dict[str, Any]], kinds: list[str]
) -> None:
    source, name, data = what
    events = read(batch(item(source, name, data)))
    assert [event.kind for event in events] == kinds
    assert {event.channel for event in events} == {"presence-room"}
    assert len({event.id for event in events}) == len(events)
    envelope = {"source": source, "appId": "app1", "channel": "presence:room", "name": name}
    for form in ({**envelope, **data}, {**envelope, "data": data}):
        body = json.dumps({**form, "timestamp": NOW_MS}).encode()
        assert [(event.kind, event.channel) for event in read(body)] == [
            (kind, "presence-room") for kind in kinds
        ]


def test_details_say_who_and_what() -> None:
    [member] = read(batch(item("channel.presence", "presence.message", presence(2))))
    assert member.time_ms == NOW_MS - 5
    assert member.details == {"user_id": "7", "connection_id": "conn1", "data": {"name": "Ann"}}
    sent = messages({"id": "c:1:0", "connectionId": "c", "clientId": "7", "data": "x"})
    [message] = read(batch(item("channel.message", "channel.message", sent)))
    assert message.details == {
        "event": "typing",
        "data": "x",
        "user_id": "7",
        "connection_id": "c",
    }
    [count, _] = read(batch(item("channel.occupancy", "x", occupancy(3))))
    assert count.details["subscription_count"] == 3


@pytest.mark.parametrize("name", ["other", "public:private-x", "private:a b", "blog:private:x"])
def test_channels_of_others_are_nobodys(name: str) -> None:
    source, kind, data = OPENED
    [event] = read(batch(item(source, kind, {**data, "channelId": name})))
    assert event.channel == ""


def test_an_envelope_without_a_time_is_as_old_as_its_newest_message() -> None:
    sent = messages({"id": "c:1:0", "connectionId": "c", "timestamp": NOW_MS - 10})
    body = {"source": "channel.message", "channel": "public:x", **sent}
    [event] = read(json.dumps(body).encode())
    assert event.time_ms == NOW_MS - 10


# Who says so


@pytest.mark.parametrize(
    "how",
    [
        {"key": "key1"},
        {"key": "app1.key2", "secret": "other-secret"},
        {"key": "key2", "secret": "other-secret"},
    ],
)
def test_keys_are_named_with_their_app_or_without(how: dict[str, str]) -> None:
    assert read(batch(item(*OPENED)), **how)


@pytest.mark.parametrize(
    "how",
    [
        {"key": "app2.key1"},
        {"key": "app1"},
        {"secret": "other-secret"},
        {"key": "app1.key2"},
        {"key": ""},
        {"key": "ключ"},
    ],
)
def test_what_others_sign_is_refused(how: dict[str, str]) -> None:
    with pytest.raises(InvalidSignature):
        read(batch(item(*OPENED)), **how)


def test_the_signature_is_that_of_the_raw_body() -> None:
    body = batch(item(*OPENED))
    for other in (body + b" ", body.replace(b"room", b"hall"), b""):
        with pytest.raises(InvalidSignature):
            make().read_webhook(sign(body), other)
    for headers in ({}, {"X-Ably-Key": KEY}, {"X-Ably-Key": KEY, "X-Ably-Signature": "ü"}):
        with pytest.raises(InvalidSignature):
            make().read_webhook(headers, body)


@pytest.mark.parametrize(
    ("seconds", "accepted"),
    [
        (-(WINDOW + MARGIN), True),
        (-(WINDOW + MARGIN) - 1, False),
        (MARGIN, True),
        (MARGIN + 1, False),
    ],
)
def test_what_is_repeated_later_than_the_service_would_is_refused(
    seconds: int, accepted: bool
) -> None:
    old = item(*OPENED, timestamp=NOW_MS - 10_000_000)
    body = batch(old, item(*OPENED, timestamp=NOW_MS + seconds * 1000))
    if accepted:
        assert len(read(body)) == 2
    else:
        with pytest.raises(InvalidSignature):
            read(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"items": {}}',
        b'{"items": [7]}',
        b'{"items": [{"data": []}]}',
        batch(item(*OPENED, timestamp="now")),
        batch({**item(*OPENED), "source": 7}),
        batch(item(*OPENED, serial=7)),
        batch(item("channel.presence", "x", {"presence": [7]})),
        batch(item("channel.message", "x", {})),
        b'{"source": "channel.message", "channel": "x", "messages": "y"}',
        b'{"source": "channel.message", "channel": "x", "messages": []}',
        b"[" * 100_000,
    ],
    ids=range(14),
)
def test_what_is_malformed_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(body)
    assert not isinstance(caught.value, InvalidSignature)


# Signals and occupancy


@pytest.fixture
def reported() -> Iterator[list[tuple[str, str]]]:
    """Collect what the signals tell."""
    found: list[tuple[str, str]] = []

    def receive(event: WebhookEvent, channel: str, **kwargs: Any) -> None:
        found.append((event.kind, channel))

    for signal in SIGNALS.values():
        signal.connect(receive)
    yield found
    for signal in SIGNALS.values():
        signal.disconnect(receive)


@pytest.fixture
def post(settings: Settings) -> Any:
    """Return a function that posts a body to the view, signed."""
    settings.ROOT_URLCONF = "realtime_drf.urls"
    settings.REALTIME_TRANSPORTS = {
        "default": {
            "TRANSPORT": "realtime_drf.transports.ably.AblyTransport",
            "OPTIONS": OPTIONS,
            "SKIP_VACANT": "all",
        }
    }
    caches["default"].clear()
    from realtime_drf.transports import transports

    transports["default"].clock = lambda: NOW  # type: ignore[attr-defined]

    def post(body: bytes, **how: Any) -> Any:
        headers = sign(body, **how)
        return APIClient().post(
            "/webhooks/", body, content_type="application/json", headers=headers
        )

    return post


def test_what_comes_again_in_other_company_is_told_once(
    post: Any, reported: list[tuple[str, str]]
) -> None:
    one, two = item(*OPENED), item("channel.presence", "presence.message", presence(2, 3))
    assert post(batch(one)).json() == {"handled": 1, "ignored": 0, "repeated": False}
    assert post(batch(one)).json()["repeated"]
    assert post(batch(one, two)).json() == {"handled": 2, "ignored": 0, "repeated": False}
    assert post(batch(two, one)).json()["repeated"]
    assert reported == [
        ("channel_occupied", "presence-room"),
        ("member_added", "presence-room"),
        ("member_removed", "presence-room"),
    ]
    assert post(batch(one), secret="wrong").status_code == 401
    assert post(b"{}").status_code == 400


def test_a_user_with_several_tabs_joins_and_leaves_once(
    post: Any, reported: list[tuple[str, str]]
) -> None:
    for connection, action, at in (("a", 2, 1), ("b", 2, 2), ("a", 3, 3), ("b", 3, 4)):
        data = presence(action)
        data["presence"][0] |= {"connectionId": connection, "timestamp": NOW_MS - 10 + at}
        assert post(batch(item("channel.presence", "presence.message", data))).json()["handled"]
    assert reported == [("member_added", "presence-room"), ("member_removed", "presence-room")]


def test_a_channel_that_was_closed_is_skipped_until_it_is_opened(post: Any) -> None:
    occupancy = occupancies["default"]
    now = NOW - 60
    occupancy._clock = lambda: now
    event = Event("e", "news")
    about = {"channelId": "public:news"}

    def tell(what: tuple[str, str, dict[str, Any]], at: float) -> None:
        source, name, data = what
        post(batch(item(source, name, {**data, **about}, timestamp=int(at * 1000))))

    assert occupancy.filter([event]) == [event]
    now = NOW - 30
    tell(CLOSED, now)
    assert occupancy.filter([event]) == []
    tell(OPENED, now)
    assert occupancy.filter([event]) == [event]
    tell(CLOSED, now - 20)  # late
    assert occupancy.filter([event]) == [event]


def test_occupancy_never_asks_the_service(post: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from realtime_drf.transports import transports

    monkeypatch.setattr(transports["default"], "rest", None)
    for _ in range(3):
        assert occupancies["default"].filter([Event("e", "presence-room")])
