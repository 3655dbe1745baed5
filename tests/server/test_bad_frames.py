"""Whatever a client sends, it gets the protocol's answer, and others see nothing of it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.examples import scaled
from tests.server.harness import Client, Site

pytestmark = pytest.mark.usefixtures("silence")

ROOM = "presence-room"
SURROGATE = "\ud800"

BAD = [
    "",
    " ",
    "hello",
    "{",
    "[]",
    "null",
    "1",
    '"text"',
    "NaN",
    "{}",
    '{"event": "pusher:ping", "data": NaN}',
    '{"event": "pusher:ping", "data": 1e999}',
    '{"event": "pusher:ping", "data": -Infinity}',
    '{"event": "pusher:ping", "data": ' + "9" * 5_000 + "}",
    '{"event": "pusher:ping"',
    '{"event": "pusher:ping"} trailing',
    '{"event": null}',
    '{"event": ""}',
    '{"event": 1}',
    '{"event": ["pusher:ping"]}',
    '{"event": {}}',
    '{"event": true}',
    json.dumps({"event": "x" * 201}),
    '{"event": "unknown"}',
    '{"event": "pusher:unknown"}',
    '{"event": "pusher_internal:member_added"}',
    '{"event": "pusher:subscribe"}',
    '{"event": "pusher:subscribe", "data": null}',
    '{"event": "pusher:subscribe", "data": []}',
    '{"event": "pusher:subscribe", "data": "text"}',
    '{"event": "pusher:subscribe", "data": "{"}',
    '{"event": "pusher:subscribe", "data": {}}',
    '{"event": "pusher:subscribe", "data": {"channel": ""}}',
    '{"event": "pusher:subscribe", "data": {"channel": null}}',
    '{"event": "pusher:subscribe", "data": {"channel": 1}}',
    '{"event": "pusher:subscribe", "data": {"channel": ["news"]}}',
    '{"event": "pusher:subscribe", "data": {"channel": {"a": 1}}}',
    '{"event": "pusher:subscribe", "data": {"channel": "a", "auth": 1}}',
    '{"event": "pusher:subscribe", "data": {"channel": "a", "channel_data": {"user_id": "1"}}}',
    json.dumps({"event": "pusher:subscribe", "data": {"channel": f"private-{SURROGATE}"}}),
    json.dumps(
        {
            "event": "pusher:subscribe",
            "data": {"channel": "private-a", "auth": f"app-key:{SURROGATE}"},
        }
    ),
    '{"event": "pusher:unsubscribe"}',
    '{"event": "pusher:unsubscribe", "data": {"channel": 1}}',
    '{"event": "pusher:unsubscribe", "data": {"channel": null}}',
    json.dumps({"event": "pusher:unsubscribe", "data": {"channel": SURROGATE}}),
    '{"event": "pusher:signin", "data": {"auth": 1, "user_data": "{}"}}',
    json.dumps({"event": "pusher:signin", "data": {"auth": "", "user_data": SURROGATE}}),
    '{"event": "client-x", "channel": 1, "data": {}}',
    '{"event": "client-x", "channel": ["presence-room"], "data": {}}',
    json.dumps({"event": "client-x", "channel": SURROGATE, "data": {}}),
    json.dumps({"event": "client-x", "channel": ROOM, "data": SURROGATE}),
    json.dumps({"event": "client-x", "channel": ROOM, "data": {"a": [SURROGATE]}}),
    json.dumps({"event": f"client-{SURROGATE}", "channel": ROOM, "data": {}}),
    json.dumps({"event": SURROGATE}),
    '{"event": "client-x", "channel": "presence-room", "data": NaN}',
    "[" * 60_000,
    '{"a":' * 10_000,
    '{"event": "pusher:ping", "data": "' + "x" * 65_536 + '"}',
    json.dumps({"event": "pusher:ping", "data": "ä" * 33_000}, ensure_ascii=False),
    "x" * 10_000_000,
]


def is_refusal(frame: dict[str, Any]) -> bool:
    return frame["event"] == "pusher:error" and frame["data"].keys() == {"code", "message"}


@pytest.fixture
def site() -> Any:
    with Site(client_events=True) as site:
        yield site


@pytest.fixture
def clients(site: Site) -> tuple[Client, Client]:
    """One that sends nonsense, and one that is in the same room."""
    one, other = site.connect(), site.connect()
    for client, user in ((one, "ann"), (other, "bob")):
        client.join(ROOM, user)
    for client in (one, other):
        client.take()
    return one, other


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:40])
def test_a_bad_frame_is_answered_with_an_error_and_ends_nothing(
    site: Site, clients: tuple[Client, Client], text: str
) -> None:
    client, other = clients
    client.say(text)
    (frame,) = client.take()
    assert is_refusal(frame)
    assert len(json.dumps(frame)) < 1_000, "what was sent is not sent back"
    client.say({"event": "pusher:ping"})
    assert client.events() == [("pusher:pong", "", {})]
    assert client.close_code is None
    assert other.events() == []


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"event":"pusher:ping"}'])
def test_binary_frames_are_errors(
    site: Site, clients: tuple[Client, Client], content: bytes
) -> None:
    clients[0].say_bytes(content)
    (frame,) = clients[0].take()
    assert is_refusal(frame)


def test_a_refused_sign_in_ends_the_connection(site: Site, clients: tuple[Client, Client]) -> None:
    for data in ({}, {"auth": "app-key:0", "user_data": "{}"}):
        client = site.connect()
        client.take()
        client.say({"event": "pusher:signin", "data": data})
        (frame,) = client.take()
        assert is_refusal(frame)
        assert frame["data"]["code"] == client.close_code == 4009


@pytest.mark.parametrize(
    "user_data",
    [
        "",
        "[]",
        "{}",
        '{"id": ""}',
        '{"id": true}',
        '{"id": 7.5}',
        '{"id": -Infinity}',
        '{"id": "with space"}',
        '{"id": "ann", "watchlist": "bob"}',
        '{"id": "ann", "watchlist": [true]}',
        '{"id": "ann", "watchlist": [["bob"]]}',
        '{"id": "ann", "watchlist": ["with space"]}',
        '{"id": "ann", "user_info": "\\ud800"}',
        '{"id": "ann", "user_info": NaN}',
    ],
)
def test_signed_user_data_that_names_no_user_ends_the_connection(
    site: Site, user_data: str
) -> None:
    client = site.connect()
    client.take()
    signature = site.transport.signer.sign(f"{client.socket_id}::user::{user_data}")
    client.say(
        {
            "event": "pusher:signin",
            "data": {"auth": f"app-key:{signature}", "user_data": user_data},
        }
    )
    assert client.close_code == 4009
    reason = client.sent[-1]["reason"]
    assert reason
    assert "NaN" not in reason
    assert "Infinity" not in reason


def test_a_frame_that_is_too_large_is_answered_and_the_connection_stays() -> None:
    with Site(max_frame_bytes=100) as site:
        client = site.connect()
        client.take()
        client.say('{"event":"%s"}' % ("ä" * 44 + "b"))
        client.say('{"event":"%s"}' % ("ä" * 44))
        too_large, unknown = (frame["data"]["message"] for frame in client.take())
        assert too_large == "A frame may have at most 100 bytes."
        assert "Clients cannot send the event" in unknown
        assert client.close_code is None


def test_numbers_that_are_signed_as_ids_of_users_are_taken_as_text(site: Site) -> None:
    watched, client = site.connect(), site.connect()
    watched.sign_in("8")
    client.take()
    user_data = '{"id": 7, "watchlist": [8, "9"]}'
    signature = site.transport.signer.sign(f"{client.socket_id}::user::{user_data}")
    data = {"auth": f"app-key:{signature}", "user_data": user_data}
    client.say({"event": "pusher:signin", "data": data})
    signed_in, online = client.take()
    assert signed_in["data"] == {"user_data": user_data}
    assert online["data"] == {"events": [{"name": "online", "user_ids": ["8"]}]}
    client.subscribe("#server-to-user-7")
    client.take()
    site.publish("badge", "#server-to-user-7", 1)
    assert [name for name, *_ in client.events()] == ["badge"]


def test_data_as_deep_as_can_be_read_at_all(site: Site, clients: tuple[Client, Client]) -> None:
    """Reading and writing JSON may each give up at another depth; neither may raise."""
    client, other = clients
    limit = sys.getrecursionlimit()
    for depth in [*range(limit - 150, limit + 2), 1500, 3000, 10_000]:
        nested = "[" * depth + "]" * depth
        client.say(f'{{"event": "client-deep", "channel": "{ROOM}", "data": {nested}}}')
        answers, heard = client.take(), other.take()
        assert len(answers) + len(heard) == 1
        assert all(is_refusal(each) for each in answers)
        site.advance(0.15)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)
EVENTS = st.sampled_from(
    [
        "pusher:subscribe",
        "pusher:unsubscribe",
        "pusher:signin",
        "pusher:ping",
        "pusher:pong",
        "client-x",
    ]
)
CHANNELS = st.sampled_from([ROOM, "private-a", "news", "presence-b", "#server-to-user-ann"])
FIELDS = st.dictionaries(
    st.sampled_from(["channel", "auth", "channel_data", "user_data"]), JSON | CHANNELS | st.text()
)
FRAMES = st.fixed_dictionaries(
    {}, optional={"event": EVENTS | JSON, "channel": CHANNELS | JSON, "data": FIELDS | JSON}
)


@settings(max_examples=scaled(75))
@given(
    texts=st.lists(
        st.text()
        | st.builds(json.dumps, JSON | FRAMES)
        | st.builds(lambda frame: json.dumps(frame, ensure_ascii=False), FRAMES),
        min_size=1,
        max_size=8,
    )
)
@example(texts=['{"event": "pusher:subscribe", "data": {"channel": "a"}}'] * 2)
def test_no_frame_at_all_harms_the_server_or_another_client(texts: list[str]) -> None:
    with Site(client_events=True) as site:
        one, other = site.connect(), site.connect()
        for client, user in ((one, "ann"), (other, "bob")):
            client.join(ROOM, user)
        other.take()
        for text in texts:
            one.say(text)
        assert one.is_served, "the app has raised"
        for frame in other.take():  # what it may cause is what the protocol lets it
            assert frame["event"] == "client-x" or frame["event"].endswith("member_removed")
        site.publish("told", ROOM)
        assert [name for name, *_ in other.events()] == ["told"]
        if one.close_code is None:
            one.take()
            one.say({"event": "pusher:ping"})
            assert [name for name, *_ in one.events()] == ["pusher:pong"]
