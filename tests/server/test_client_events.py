"""What clients send to each other: off unless the option says so, and by rules."""

from __future__ import annotations

import base64
from typing import Any

import pytest

pytest.importorskip("nacl")

from tests.server.harness import Client, Site

pytestmark = pytest.mark.usefixtures("silence")

LIST, ROOM = "private-lists.1", "presence-room"


def refusal(client: Client) -> str:
    (frame,) = client.take()
    assert (frame["event"], frame["data"]["code"]) == ("pusher:error", 4301)
    message: str = frame["data"]["message"]
    return message


def pair(site: Site, *channels: str) -> tuple[Client, Client]:
    """Return two clients that are on the channels as ann and bob."""
    ann, bob = site.connect(), site.connect(len(site.nodes) - 1)
    for channel in channels:
        ann.join(channel, "ann")
        bob.join(channel, "bob")
    for client in (ann, bob):
        client.take()
    return ann, bob


def test_they_are_off_by_default() -> None:
    with Site() as site:
        ann, bob = pair(site, LIST)
        ann.trigger("client-typing", LIST, {})
        assert "not enabled" in refusal(ann)
        assert bob.events() == []


@pytest.mark.parametrize("nodes", [1, 2])
def test_all_others_receive_them_and_on_presence_channels_from_whom(nodes: int) -> None:
    with Site(client_events=True, nodes=nodes) as site:
        ann, bob = pair(site, LIST, ROOM)
        ann.trigger("client-typing", LIST, {"text": "Käse"})
        ann.trigger("client-typing", ROOM, "text")
        assert ann.events() == []
        assert bob.take() == [
            {"event": "client-typing", "channel": LIST, "data": {"text": "Käse"}},
            {"event": "client-typing", "channel": ROOM, "data": "text", "user_id": "ann"},
        ]
        assert isinstance(bob.frames[-2]["data"], str), "data of channel events is text"


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ("just text", "just text"),
        ('{"a": 1}', '{"a": 1}'),
        (None, "null"),
        (0, "0"),
        ([], "[]"),
    ],
)
def test_data_is_text_for_those_who_receive_it(sent: Any, received: str) -> None:
    with Site(client_events=True) as site:
        ann, bob = pair(site, LIST)
        ann.trigger("client-typing", LIST, sent)
        assert bob.frames[-1]["data"] == received


@pytest.mark.parametrize("channel", ["news", "cache-news", "private-encrypted-notes"])
def test_they_go_to_private_and_presence_channels_only(channel: str) -> None:
    key = base64.b64encode(b"k" * 32).decode()
    with Site(client_events=True, encryption_master_key_base64=key) as site:
        ann, bob = pair(site, channel)
        ann.trigger("client-typing", channel, {})
        assert "private and presence" in refusal(ann)
        assert bob.events() == []


def test_they_are_for_those_who_are_on_the_channel() -> None:
    with Site(client_events=True) as site:
        ann, bob = pair(site, LIST, "private-cache-lists.1")
        stranger = site.connect()
        for channel in (LIST, "", "no channel", "#server-to-user-ann"):
            stranger.trigger("client-typing", channel, {})
            assert "subscribed" in refusal(stranger)
        ann.leave(LIST)
        ann.trigger("client-typing", LIST, {})
        assert "subscribed" in refusal(ann)
        ann.trigger("client-typing", "private-cache-lists.1", {})
        assert [(name, where) for name, where, _ in bob.events()] == [
            ("client-typing", "private-cache-lists.1")
        ]


def test_names_that_do_not_say_client_are_refused() -> None:
    with Site(client_events=True) as site:
        ann, bob = pair(site, LIST)
        for name in ("typing", "clienttyping", "Client-typing", "pusher:subscription_count"):
            ann.trigger(name, LIST, {})
            (frame,) = ann.take()
            assert frame["event"] == "pusher:error"
        assert bob.events() == []


def test_data_is_limited_in_bytes() -> None:
    with Site(client_events=True, payload_limit=100) as site:
        ann, bob = pair(site, LIST)
        ann.trigger("client-typing", LIST, "x" * 100)
        assert len(bob.events()) == 1
        for text in ("x" * 101, "ä" * 51):
            ann.trigger("client-typing", LIST, text)
            assert "100 bytes" in refusal(ann)
        assert bob.events() == []


def test_without_a_limit_data_may_have_any_size_that_a_frame_has() -> None:
    with Site(client_events=True, payload_limit=None) as site:
        ann, bob = pair(site, LIST)
        ann.trigger("client-typing", LIST, "x" * 20_000)
        assert bob.frames[-1]["data"] == "x" * 20_000


def test_ten_a_second_for_each_connection() -> None:
    with Site(client_events=True) as site:
        ann, bob = pair(site, LIST)
        for _ in range(10):
            ann.trigger("client-typing", LIST, {})
        assert ann.events() == []
        assert len(bob.events()) == 10
        ann.trigger("client-typing", LIST, {})
        assert "10 events per second" in refusal(ann)
        bob.trigger("client-typing", LIST, {})
        assert len(ann.events()) == 1
        site.advance(0.15)
        ann.trigger("client-typing", LIST, {})
        ann.trigger("client-typing", LIST, {})
        assert "10 events per second" in refusal(ann)
        assert len(bob.events()) == 1
        site.advance(60)
        for _ in range(11):
            ann.trigger("client-typing", LIST, {})
        assert "10 events per second" in refusal(ann), "what was not used is not saved up"
        assert len(bob.events()) == 10


def test_the_project_is_notified() -> None:
    with Site(client_events=True) as site:
        ann, _ = pair(site, LIST, ROOM)
        site.take_reports()
        site.report_events.clear()
        ann.trigger("client-typing", ROOM, {"a": 1})
        ann.trigger("client-typing", LIST, "text")
        assert site.take_reports() == [("client_event", ROOM, "ann"), ("client_event", LIST, "")]
        assert [each.details for each in site.report_events] == [
            {
                "event": "client-typing",
                "data": '{"a":1}',
                "socket_id": ann.socket_id,
                "user_id": "ann",
            },
            {"event": "client-typing", "data": "text", "socket_id": ann.socket_id},
        ]
