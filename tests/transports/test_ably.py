"""The Ably transport sends exactly what it is given, to exactly those who should receive it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from realtime_drf import Event, publish
from realtime_drf.exceptions import (
    ChannelUnavailable,
    EventRejected,
    InvalidEvent,
    PayloadTooLarge,
    TransportUnavailable,
    UnsupportedFeature,
)
from realtime_drf.testing.strategies import channel_names, event_names, json_values, texts
from realtime_drf.transports import transports
from realtime_drf.transports.base import ChannelInfo
from tests.services.ably_app import Refusal, Session
from tests.services.ably_http import AblyService
from tests.transports.ably_setup import MakeAbly, options_for

pytest.importorskip("ably")

MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
BINARY = pytest.mark.parametrize("binary", [True, False], ids=["msgpack", "json"])


def arrived(service: AblyService) -> list[tuple[str, str]]:
    return [(received.channel, received.name) for received in service.received]


def paths(service: AblyService) -> list[str]:
    """Return where requests went, but for those that exchange the key for a token."""
    return [each.path for each in service.requests if not each.path.endswith("requestToken")]


def published(service: AblyService) -> list[Any]:
    return [service.body_of(each) for each in service.requests if each.path.endswith("messages")]


def decrypt(channel: str, data: bytes | str, encoding: str) -> str:
    """Decrypt as the SDK does for a subscriber who has the channel's key."""
    from ably.sync.types.message import Message
    from ably.sync.util.crypto import get_cipher

    key = hashlib.sha256(channel.encode() + base64.b64decode(MASTER_KEY)).digest()
    # Without the last step, which would read the JSON.
    assert encoding.startswith("json/")
    decoded = Message.decode(data, encoding.removeprefix("json/"), get_cipher({"key": key}))
    text = decoded["data"]
    return text if isinstance(text, str) else bytes(text).decode()


# What arrives


@hypothesis_settings(deadline=None)
@given(
    name=event_names(), channel=channel_names(), data=json_values() | texts(), binary=st.booleans()
)
def test_data_arrives_byte_for_byte(
    module_ably: AblyService, make_ably: MakeAbly, name: str, channel: str, data: Any, binary: bool
) -> None:
    module_ably.reset()
    transport = make_ably(
        module_ably, encryption_master_key_base64=MASTER_KEY, use_binary_protocol=binary
    )
    events = [Event(name, channel, data) for _ in range(3)]
    transport.send(events[:1])
    transport.send(events[1:])  # as several messages
    transport.close()
    assert len(module_ably.received) == 3
    for received in module_ably.received:
        assert received.name == name
        assert transport.from_wire_name(received.channel) == channel
        assert received.encoding is not None
        encrypted = channel.startswith("private-encrypted-")
        body = decrypt(channel, received.data, received.encoding) if encrypted else received.data
        assert body == events[0].body
        assert received.encoding == "json" or encrypted


@BINARY
def test_one_event_for_one_channel_is_one_message(
    ably_service: AblyService, make_ably: MakeAbly, binary: bool
) -> None:
    event = Event("todo.update", "private-lists.5", {"id": 1})
    make_ably(ably_service, use_binary_protocol=binary).send([event])
    assert paths(ably_service) == ["/channels/private:lists.5/messages"]
    assert published(ably_service) == [
        {"name": "todo.update", "data": '{"id":1}', "encoding": "json", "id": event.id}
    ]


@BINARY
@pytest.mark.parametrize("shape", ["spec", "docs"])
def test_events_for_several_channels_are_one_batch(
    ably_service: AblyService, make_ably: MakeAbly, shape: str, binary: bool
) -> None:
    ably_service.batch_shape = shape
    one, two = Event("one", ["a", "private-b"], 1), Event("two", ["a", "presence-c"], 2)
    make_ably(ably_service, use_binary_protocol=binary).send([one, two])
    assert paths(ably_service) == ["/messages"]
    assert sorted(arrived(ably_service)) == [
        ("presence:c", "two"),
        ("private:b", "one"),
        ("public:a", "one"),
        ("public:a", "two"),
    ]


def test_channels_of_the_same_events_share_them(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    make_ably(ably_service).send([Event("e", [f"c{n}" for n in range(250)])])
    assert [[len(spec["channels"]) for spec in body] for body in published(ably_service)] == [
        [100],
        [100],
        [50],
    ]
    assert [channel for channel, _ in arrived(ably_service)] == [f"public:c{n}" for n in range(250)]


def test_many_events_for_one_channel_are_few_calls(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    make_ably(ably_service).send([Event(f"e{n}", "x", "y" * 1_000) for n in range(100)])
    assert len(paths(ably_service)) == 2  # of at most 64 KiB
    assert arrived(ably_service) == [("public:x", f"e{n}") for n in range(100)]


def test_a_batch_holds_no_more_than_the_service_takes(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    events = [Event(f"e{n}", [f"c{n}", f"d{n}"], "y" * 60_000) for n in range(80)]
    make_ably(ably_service).send(events)
    sizes = [len(each.raw_body) for each in ably_service.requests if each.path == "/messages"]
    assert max(sizes) < 2 * 1024 * 1024
    assert len(sizes) == 3
    assert len(ably_service.received) == 160


@hypothesis_settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sets(st.sampled_from([f"c{n}" for n in range(130)]), min_size=1, max_size=130),
            st.sampled_from([1, 30_000]),
            st.sampled_from([None, "conn-key-1", "conn-key-2"]),
        ),
        max_size=12,
    )
)
def test_events_arrive_in_the_order_given_on_each_channel(
    module_ably: AblyService, make_ably: MakeAbly, specs: list[tuple[set[str], int, str | None]]
) -> None:
    module_ably.reset()
    transport = make_ably(module_ably)
    events = [
        Event(f"e{number}", sorted(names), "x" * size, socket_id=token)
        for number, (names, size, token) in enumerate(specs)
    ]
    transport.send(events)
    transport.close()
    for channel in {name for event in events for name in event.channels}:
        order = [each.name for each in module_ably.received if each.channel == f"public:{channel}"]
        assert order == [event.name for event in events if channel in event.channels]


def test_from_a_coroutine(ably_service: AblyService, make_ably: MakeAbly) -> None:
    asyncio.run(make_ably(ably_service).asend([Event("a", "x"), Event("b", "x")]))
    assert arrived(ably_service) == [("public:x", "a"), ("public:x", "b")]


def test_nothing_is_no_request(ably_service: AblyService, make_ably: MakeAbly) -> None:
    make_ably(ably_service).send([])
    assert ably_service.connections == 0


def test_extras_go_with_each_message(ably_service: AblyService, make_ably: MakeAbly) -> None:
    extras = {"headers": {"origin": "api"}, "ephemeral": True}
    make_ably(ably_service, extras=extras).send([Event("a", "x"), Event("b", "x")])
    assert [received.extras for received in ably_service.received] == [extras, extras]


# Once, however often


def test_an_event_that_is_sent_again_arrives_once(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    transport = make_ably(ably_service)
    one, two = Event("one", ["a", "b"]), Event("two", "a")
    for events in ([one], [one, two], [two]):
        transport.send(events)
        transport.send(events)
    names = [name for channel, name in arrived(ably_service) if channel == "public:b"]
    assert names == ["one"]
    # Each batch is recognized as a whole.
    assert [name for channel, name in arrived(ably_service) if channel == "public:a"] == [
        "one",
        "one",
        "two",
        "two",
    ]


def test_an_event_that_is_published_again_arrives_again(
    ably_service: AblyService, settings: Settings
) -> None:
    settings.REALTIME_TRANSPORTS = {
        "default": {
            "TRANSPORT": "realtime_drf.transports.ably.AblyTransport",
            "OPTIONS": options_for(ably_service),
        }
    }
    constant = Event("reload", ["x", "y"])
    publish(constant)
    publish(constant, constant)
    transports["default"].close()
    assert (
        sorted(arrived(ably_service)) == [("public:x", "reload")] * 3 + [("public:y", "reload")] * 3
    )


def test_an_event_given_twice_in_one_hand_over_arrives_once(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    event = Event("a", "x")
    make_ably(ably_service).send([event, event])
    assert arrived(ably_service) == [("public:x", "a")]


# Size


@pytest.mark.parametrize(
    "text", ["x" * 65_529, "\N{PARTY POPPER}" * 16_382 + "x"], ids=["ascii", "emoji"]
)
def test_64_kilobytes_go_and_a_byte_more_is_refused_unasked(
    ably_service: AblyService, make_ably: MakeAbly, text: str
) -> None:
    transport = make_ably(ably_service)
    full = Event("e" * (65_536 - 2 - len(text.encode())), "x", text)
    transport.send([full])
    assert len(ably_service.received) == 1
    asked = len(ably_service.requests)
    with pytest.raises(PayloadTooLarge, match="has 65,537 bytes; 65,536 are allowed"):
        transport.send([full.replace(data=text + "x")])
    assert len(ably_service.requests) == asked


def test_accounts_have_limits_of_their_own(ably_service: AblyService, make_ably: MakeAbly) -> None:
    ably_service.app.message_limit = 16_384
    transport = make_ably(ably_service, payload_limit=16_384)
    events = [Event("e", "x", "y" * 9_000) for _ in range(4)]
    transport.send(events)
    assert len(ably_service.received) == 4
    with pytest.raises(PayloadTooLarge):
        transport.send([Event("e", "x", "y" * 17_000)])


@BINARY
def test_encrypted_data_and_extras_are_measured_as_they_go(
    ably_service: AblyService, make_ably: MakeAbly, binary: bool
) -> None:
    transport = make_ably(
        ably_service,
        encryption_master_key_base64=MASTER_KEY,
        use_binary_protocol=binary,
        extras={"headers": {"ü": 1}},
    )
    for length in (0, 13, 14, 15, 100):
        event = Event("é", "private-encrypted-a", "x" * length)
        transport.send([event])
        body = published(ably_service)[-1]
        extras = json.dumps(body["extras"], separators=(",", ":"), ensure_ascii=False)
        assert transport.wire_size(event) == len(body["data"]) + 2 + len(extras.encode())


# Exclusion


def socket_id(connection_key: str, client_id: str | None) -> str:
    """Name a connection as @ably/laravel-echo does."""
    text = json.dumps({"connectionKey": connection_key, "clientId": client_id})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize("client_id", [None, "7"])
def test_a_connection_is_left_out(
    ably_service: AblyService, make_ably: MakeAbly, client_id: str | None
) -> None:
    connected = ably_service.app.connect(Session({}, client_id))
    forms = [socket_id(connected.key, client_id)] + ([] if client_id else [connected.key])
    for token in forms:
        make_ably(ably_service).send([Event("a", ["x", "y"], socket_id=token), Event("b", "x")])
    left_out = {(each.name, each.connection_id, each.client_id) for each in ably_service.received}
    assert left_out == {("a", connected.id, client_id), ("b", None, None)}
    for received in ably_service.received:
        assert connected.key not in str(received.data)


@pytest.mark.parametrize("shape", ["spec", "docs"])
@pytest.mark.parametrize("channels", [["x"], ["x", "y"]], ids=["single", "batch"])
def test_a_stale_connection_costs_the_exclusion_and_not_the_event(
    ably_service: AblyService, make_ably: MakeAbly, channels: list[str], shape: str
) -> None:
    ably_service.batch_shape = shape
    foreign = ably_service.app.connect(Session({}, "7"))
    tokens = ["stale-key-1234", foreign.key, socket_id(foreign.key, "8")]
    for token in tokens:
        make_ably(ably_service).send([Event("a", channels, socket_id=token)])
    assert [
        (each.channel, each.connection_id, each.client_id) for each in ably_service.received
    ] == [(f"public:{channel}", None, None) for _ in tokens for channel in channels]
    assert len(paths(ably_service)) == 2 * len(tokens)


def test_events_that_leave_out_others_do_not_share_a_publish(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    mine, theirs = (ably_service.app.connect(Session({})) for _ in range(2))
    tokens = [mine.key, mine.key, theirs.key, None]
    make_ably(ably_service).send([Event("e", "x", socket_id=token) for token in tokens])
    assert [each.connection_id for each in ably_service.received] == [
        mine.id,
        mine.id,
        theirs.id,
        None,
    ]
    assert len(paths(ably_service)) == 3


@pytest.mark.parametrize(
    "token",
    ["", "short", "x y z a b c", "key\nwith-lines", "ключ-соединения", "x" * 3_000]
    + [base64.urlsafe_b64encode(text).decode() for text in (b"{}", b'{"connectionKey": 7}')]
    + [socket_id("conn-key-1\n", None), socket_id("conn-key-1", 7)],  # type: ignore[arg-type]
)
def test_what_names_no_connection_excludes_nobody(
    ably_service: AblyService, make_ably: MakeAbly, token: str
) -> None:
    transport = make_ably(ably_service)
    assert not transport.is_socket_id(token)
    transport.send([Event("a", "x", socket_id=token)])
    [body] = published(ably_service)
    assert "connectionKey" not in body
    assert "clientId" not in body


# Encrypted channels


def test_only_subscribers_can_read_encrypted_channels(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    transport = make_ably(ably_service, encryption_master_key_base64=MASTER_KEY)
    channels = ["a", "private-encrypted-b", "c", "private-encrypted-cache-d"]
    event = Event("e", channels, {"secret": "x", "name": "Ö\N{PARTY POPPER}"})
    transport.send([event])
    received = {transport.from_wire_name(each.channel): each for each in ably_service.received}
    assert sorted(received) == sorted(channels)
    assert received["a"].data == received["c"].data == event.body
    for channel in (channels[1], channels[3]):
        assert b"secret" not in received[channel].data
        encoding = received[channel].encoding or ""
        assert decrypt(channel, received[channel].data, encoding) == event.body


def test_no_initialization_vector_is_used_twice(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    transport = make_ably(ably_service, encryption_master_key_base64=MASTER_KEY)
    transport.send([Event("e", "private-encrypted-a") for _ in range(20)])
    assert len({each.data[:16] for each in ably_service.received}) == 20


def test_without_a_master_key_nothing_leaves(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    event = Event("e", ["a", "private-encrypted-b"], "secret")
    with pytest.raises(EventRejected, match="encrypt for channel 'private-encrypted-b'") as caught:
        make_ably(ably_service).send([event])
    assert isinstance(caught.value.__cause__, UnsupportedFeature)
    assert ably_service.requests == []


# Users and presence


def test_a_user_is_reached_on_a_channel_of_their_own(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    make_ably(ably_service).send([Event("badge", "#server-to-user-7", {"unread": 3})])
    assert arrived(ably_service) == [("user:7", "badge")]


def test_a_user_is_disconnected_by_revoking_tokens(
    ably_tls: AblyService, make_ably: MakeAbly
) -> None:
    make_ably(ably_tls).disconnect_user("7")
    assert ably_tls.app.revoked == ["7"]
    with pytest.raises(InvalidEvent):
        make_ably(ably_tls).disconnect_user("a/b")


def test_members_are_users_each_once(ably_service: AblyService, make_ably: MakeAbly) -> None:
    ably_service.app.members["presence:room"] = [
        {"clientId": "8", "connectionId": "c1", "action": 1},
        {"clientId": "7", "connectionId": "c2", "action": 1},
        {"clientId": "7", "connectionId": "c3", "action": 1},
    ]
    transport = make_ably(ably_service)
    assert transport.members("presence-room") == ["7", "8"]
    assert transport.members("presence-empty") == []
    assert transport.channel_info("presence-room") == ChannelInfo(
        name="presence-room", occupied=True, user_count=2
    )


def test_nothing_is_asked_that_would_open_a_channel(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    transport = make_ably(ably_service)
    for channel in ("x", "private-x", "#server-to-user-7"):
        with pytest.raises(UnsupportedFeature):
            transport.channel_info(channel)
    with pytest.raises(UnsupportedFeature):
        transport.occupied_channels()
    assert not transport.supports_channel_info
    assert ably_service.requests == []


# What did not go


@pytest.mark.parametrize("shape", ["spec", "docs"])
def test_channels_that_fail_are_reported_and_the_others_go(
    ably_service: AblyService, make_ably: MakeAbly, shape: str
) -> None:
    ably_service.batch_shape = shape
    ably_service.refused = {"public:b": Refusal(401, 40160, "Channel denied access")}
    one, two = Event("one", ["a", "b", "c"]), Event("two", ["c", "d"])
    with pytest.raises(EventRejected, match="40160") as caught:
        make_ably(ably_service).send([one, two])
    [unsent] = caught.value.unsent
    assert (unsent, unsent.channels, unsent.id) == (one.to(["b"]), ("b",), one.id)
    assert sorted(arrived(ably_service)) == [
        ("public:a", "one"),
        ("public:c", "one"),
        ("public:c", "two"),
        ("public:d", "two"),
    ]


@pytest.mark.parametrize("shape", ["spec", "docs"])
def test_a_channel_that_is_too_busy_is_worth_a_retry(
    ably_service: AblyService, make_ably: MakeAbly, shape: str
) -> None:
    ably_service.batch_shape = shape
    ably_service.refused = {"public:b": Refusal(429, 42911, "Rate limit exceeded")}
    event = Event("one", ["a", "b"])
    with pytest.raises(TransportUnavailable, match="42911") as caught:
        make_ably(ably_service).send([event])
    assert caught.value.unsent == (event.to(["b"]),)
    assert arrived(ably_service) == [("public:a", "one")]


@pytest.mark.parametrize("shape", ["spec", "docs", "one by one"])
def test_a_channel_that_is_too_busy_is_left_alone_and_no_other(
    ably_service: AblyService, make_ably: MakeAbly, shape: str
) -> None:
    ably_service.batch_shape = shape
    ably_service.refused = {"public:busy": Refusal(429, 42913, "Rate limit exceeded")}
    transport = make_ably(ably_service)
    now = 100.0
    transport.rest.clock = lambda: now
    channels = [["busy"], ["calm"]] if shape == "one by one" else [["busy", "calm"]]
    # More than one call holds, of which the first meets the channel that is too busy.
    events = [Event(f"e{n}", each, "x" * 60_000) for n in range(2) for each in channels]
    with pytest.raises(ChannelUnavailable) as caught:
        transport.send(events)
    assert {channel for event in caught.value.unsent for channel in event.channels} == {"busy"}
    assert len(caught.value.unsent) == 2
    calm = [event.name for event in events if "calm" in event.channels]
    assert arrived(ably_service) == [("public:calm", name) for name in calm]
    # It is not asked again for a second: what comes later must not overtake what was not sent.
    ably_service.refused = {}
    asked = len(ably_service.requests)
    with pytest.raises(ChannelUnavailable, match="busy is still too busy") as caught:
        transport.send([Event("later", "busy")])
    assert caught.value.retry_after == 1
    assert len(ably_service.requests) == asked
    transport.send([Event("later", "calm")])
    now += 1
    transport.send([Event("in the end", "busy")])
    assert arrived(ably_service)[-2:] == [("public:calm", "later"), ("public:busy", "in the end")]


def test_companions_of_a_refused_event_go(ably_service: AblyService, make_ably: MakeAbly) -> None:
    ably_service.app.message_limit = 100
    events = [Event(f"e{n}", ["x", "y"], "z" * (120 if n == 2 else 1)) for n in range(5)]
    with pytest.raises(PayloadTooLarge) as caught:
        make_ably(ably_service).send(events)
    assert caught.value.unsent == (events[2],)
    assert sorted(arrived(ably_service)) == sorted(
        (f"public:{channel}", f"e{n}") for channel in "xy" for n in (0, 1, 3, 4)
    )


def test_a_token_without_the_right_publishes_where_it_may(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    token = ably_service.make_token(**{"public:a": ["publish"]})
    options = {"key": None, "token": token, "use_token_auth": False}
    event = Event("e", ["a", "private-b"])
    with pytest.raises(EventRejected, match="may not do this on the channel") as caught:
        make_ably(ably_service, **options).send([event])
    assert caught.value.unsent == (event.to(["private-b"]),)
    assert arrived(ably_service) == [("public:a", "e")]
