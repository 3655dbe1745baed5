"""The Pusher transport sends exactly what it is given, to exactly those who should receive it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_drf import Event
from realtime_drf.exceptions import (
    AccessRefused,
    EventRejected,
    InvalidEvent,
    PayloadTooLarge,
    TransportError,
    UnsupportedFeature,
)
from realtime_drf.names import MAX_USER_ID_LENGTH
from realtime_drf.testing.strategies import (
    CHANNEL_CHARACTERS,
    channel_names,
    event_names,
    json_values,
    texts,
)
from realtime_drf.transports.base import ChannelInfo
from tests.services.pusher_http import PusherService, Received
from tests.transports.conftest import MakePusher

if TYPE_CHECKING:
    from realtime_drf.transports.pusher import PusherTransport

pytest.importorskip("pusher")

MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
USER_IDS = st.text(CHANNEL_CHARACTERS, min_size=1, max_size=MAX_USER_ID_LENGTH).filter(
    lambda user_id: user_id not in (".", "..")
)


def decrypt(channel: str, data: str) -> str:
    """Open a box as a subscriber does who was given the channel's shared secret."""
    from nacl.secret import SecretBox

    shared_secret = hashlib.sha256(channel.encode() + base64.b64decode(MASTER_KEY)).digest()
    box = json.loads(data)
    opened: bytes = SecretBox(shared_secret).decrypt(
        base64.b64decode(box["ciphertext"]), base64.b64decode(box["nonce"])
    )
    return opened.decode()


def arrived(service: PusherService) -> list[tuple[str, str]]:
    return [(received.channel, received.name) for received in service.received]


# What arrives


@settings(deadline=None)
@given(name=event_names(), channel=channel_names(), data=json_values() | texts())
def test_data_arrives_byte_for_byte(
    module_service: PusherService, make_pusher: MakePusher, name: str, channel: str, data: Any
) -> None:
    module_service.reset()
    module_service.data_limit = 1_000_000
    transport = make_pusher(
        module_service, encryption_master_key_base64=MASTER_KEY, payload_limit=1_000_000
    )
    event = Event(name, channel, data)
    transport.send([event])
    transport.send([event, event])  # as a batch
    transport.close()
    assert len(module_service.received) == 3
    for received in module_service.received:
        assert (received.channel, received.name) == (channel, name)
        encrypted = channel.startswith("private-encrypted-")
        body = decrypt(channel, received.data) if encrypted else received.data
        assert body == event.body
        assert json.loads(body) == data


def test_one_event_is_one_trigger(pusher_service: PusherService, make_pusher: MakePusher) -> None:
    make_pusher(pusher_service).send([Event("todo.update", ["a", "private-b"], {"id": 1})])
    [request] = pusher_service.requests
    assert (request.method, request.path) == ("POST", "/apps/4711/events")
    assert request.body == {
        "name": "todo.update",
        "channels": ["a", "private-b"],
        "data": '{"id":1}',
    }


def test_events_of_one_channel_each_go_ten_at_a_time(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    make_pusher(pusher_service).send([Event(f"e{n}", f"c{n % 3}", n) for n in range(25)])
    assert [len(request.body.get("batch", [])) for request in pusher_service.requests] == [
        10,
        10,
        5,
    ]
    assert [received.name for received in pusher_service.received] == [f"e{n}" for n in range(25)]


def test_channels_go_a_hundred_at_a_time(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    channels = [f"c{n}" for n in range(250)]
    make_pusher(pusher_service).send([Event("e", channels)])
    assert [len(request.body["channels"]) for request in pusher_service.requests] == [100, 100, 50]
    assert [received.channel for received in pusher_service.received] == channels


@settings(deadline=None)
@given(
    st.lists(
        st.sets(st.sampled_from([f"c{n}" for n in range(130)]), min_size=1, max_size=130),
        max_size=12,
    )
)
def test_events_arrive_in_the_order_given(
    module_service: PusherService, make_pusher: MakePusher, channel_sets: list[set[str]]
) -> None:
    module_service.reset()
    transport = make_pusher(module_service)
    transport.send([Event(f"e{n}", sorted(names)) for n, names in enumerate(channel_sets)])
    transport.close()
    order = [received.name for received in module_service.received]
    assert order == [f"e{n}" for n, names in enumerate(channel_sets) for _ in names]


def test_from_a_coroutine(pusher_service: PusherService, make_pusher: MakePusher) -> None:
    transport = make_pusher(pusher_service)
    asyncio.run(transport.asend([Event("a", "x"), Event("b", "x")]))
    assert arrived(pusher_service) == [("x", "a"), ("x", "b")]


def test_nothing_is_no_request(pusher_service: PusherService, make_pusher: MakePusher) -> None:
    make_pusher(pusher_service).send([])
    assert pusher_service.connections == 0


# Size

# `sys.getsizeof`, by which the SDK measures, takes four bytes for every character of a string that
# holds one emoji, and one for each of a plain one.
FULL = {
    "ASCII": "x" * 10_238,
    "an emoji": "x" * 10_234 + "\N{PARTY POPPER}",
    "emoji": "\N{PARTY POPPER}" * 2_559 + "xx",
    "umlauts": "ü" * 5_119,
}


@pytest.mark.parametrize("data", FULL.values(), ids=FULL.keys())
def test_ten_kilobytes_go_and_a_byte_more_is_refused_unasked(
    pusher_service: PusherService, make_pusher: MakePusher, data: str
) -> None:
    transport = make_pusher(pusher_service)
    full = Event("full", "x", data)
    assert len(full.body.encode()) == 10_240
    transport.send([full])
    transport.send([full, full])
    assert len(pusher_service.received) == 3

    large = Event("large", "x", data + "x")
    with pytest.raises(PayloadTooLarge, match="'large' has 10,241 bytes; 10,240 are allowed"):
        transport.send([large])
    assert len(pusher_service.requests) == 2


def test_an_event_too_large_is_refused_on_all_channels_and_its_companions_go(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    large = Event("large", ["a", "b"], "x" * 10_239)
    with pytest.raises(PayloadTooLarge) as caught:
        make_pusher(pusher_service).send([Event("one", "a"), large, Event("two", "b")])
    assert caught.value.unsent == (large,)
    assert arrived(pusher_service) == [("a", "one"), ("b", "two")]


@pytest.mark.parametrize("limit", [100, 50_000])
def test_plans_have_limits_of_their_own(
    pusher_service: PusherService, make_pusher: MakePusher, limit: int
) -> None:
    pusher_service.data_limit = limit
    transport = make_pusher(pusher_service, payload_limit=limit)
    transport.send([Event("full", "x", "x" * (limit - 2))])
    with pytest.raises(PayloadTooLarge):
        transport.send([Event("large", "x", "x" * (limit - 1))])
    assert arrived(pusher_service) == [("x", "full")]


# Exclusion


def test_a_connection_is_left_out(pusher_service: PusherService, make_pusher: MakePusher) -> None:
    transport = make_pusher(pusher_service)
    sender, other = Event("a", ["x", "y"], socket_id="12.34"), Event("b", "x")
    transport.send([sender])
    transport.send([sender.to(["x"]), other])
    assert [received.socket_id for received in pusher_service.received] == [
        "12.34",
        "12.34",
        "12.34",
        None,
    ]
    assert "12.34" not in {received.data for received in pusher_service.received}


@pytest.mark.parametrize(
    "token",
    ["", "1", "1.", ".1", "1.2.3", "1.2\n", " 1.2", "-1.2", "1.2e3", "undefined", "٣.٤", "1.2;x"],
)
def test_what_is_no_socket_id_excludes_nobody(
    pusher_service: PusherService, make_pusher: MakePusher, token: str
) -> None:
    event = Event("a", "x", socket_id=token)
    make_pusher(pusher_service).send([event, event])
    assert pusher_service.received == [Received("x", "a", "null", None)] * 2


@settings(deadline=None)
@given(token=texts(), data=json_values())
def test_a_socket_id_never_enters_the_data(
    module_service: PusherService, make_pusher: MakePusher, token: str, data: Any
) -> None:
    module_service.reset()
    transport = make_pusher(module_service)
    transport.send([Event("a", "x", data, socket_id=token)])
    transport.close()
    [received] = module_service.received
    assert json.loads(received.data) == data
    [request] = module_service.requests
    assert set(request.body) <= {"name", "channels", "data", "socket_id"}


# Encrypted channels


def test_encrypted_channels_go_each_alone_and_only_subscribers_can_read_them(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    transport = make_pusher(pusher_service, encryption_master_key_base64=MASTER_KEY)
    channels = ["a", "private-encrypted-b", "c", "private-encrypted-cache-d"]
    event = Event("e", channels, {"secret": "x", "name": "Ö\N{PARTY POPPER}"})
    transport.send([event])
    transport.send([event.to([channels[1]])])
    received = {each.channel: each.data for each in pusher_service.received}
    assert sorted(received) == sorted(channels)
    assert received["a"] == received["c"] == event.body
    for channel in (channels[1], channels[3]):
        assert "secret" not in received[channel]
        assert decrypt(channel, received[channel]) == event.body


def test_no_nonce_is_used_twice(pusher_service: PusherService, make_pusher: MakePusher) -> None:
    transport = make_pusher(pusher_service, encryption_master_key_base64=MASTER_KEY)
    event = Event("e", "private-encrypted-a")
    transport.send([event] * 20)
    transport.send([event])
    nonces = {json.loads(received.data)["nonce"] for received in pusher_service.received}
    assert len(nonces) == 21


def test_encrypted_data_is_measured_as_it_goes_over_the_wire(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    transport = make_pusher(pusher_service, encryption_master_key_base64=MASTER_KEY)
    sizes = []
    for length in range(7_600, 7_621):
        event = Event("e", "private-encrypted-a", "x" * length)
        try:
            transport.send([event])
        except PayloadTooLarge:
            assert transport.wire_size(event) > 10_240
        else:
            size = len(pusher_service.received[-1].data)
            assert transport.wire_size(event) == size <= 10_240
            sizes.append(size)
    # Some were refused, none of them by the service, and the largest had hardly a byte to spare.
    assert len(sizes) == len(pusher_service.requests) < 21
    assert max(sizes) > 10_236


def test_without_a_master_key_nothing_leaves(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    event = Event("e", ["a", "private-encrypted-b"], "secret")
    with pytest.raises(EventRejected, match="encrypt for channel 'private-encrypted-b'") as caught:
        make_pusher(pusher_service).send([event])
    assert isinstance(caught.value.__cause__, UnsupportedFeature)
    assert caught.value.unsent == (event,)
    assert pusher_service.requests == []


# Users


def test_a_user_is_reached_with_and_without_company(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    transport = make_pusher(pusher_service)
    transport.send([Event("a", "#server-to-user-7", {"id": 1}, socket_id="1.2")])
    transport.send([Event("b", ["#server-to-user-7", "x", "y", "#server-to-user-8"])])
    assert pusher_service.received[0] == Received("#server-to-user-7", "a", '{"id":1}', "1.2")
    assert sorted(arrived(pusher_service)[1:]) == [
        ("#server-to-user-7", "b"),
        ("#server-to-user-8", "b"),
        ("x", "b"),
        ("y", "b"),
    ]


@settings(deadline=None)
@given(user_id=USER_IDS)
def test_a_user_is_disconnected(
    module_service: PusherService, make_pusher: MakePusher, user_id: str
) -> None:
    module_service.reset()
    transport = make_pusher(module_service)
    transport.disconnect_user(user_id)
    transport.close()
    assert module_service.terminated == [user_id]


@pytest.mark.parametrize("user_id", ["", "a/b", "a?b", "ü", "1" * 129])
def test_what_is_no_user_id_is_not_asked_for(
    pusher_service: PusherService, make_pusher: MakePusher, user_id: str
) -> None:
    with pytest.raises(InvalidEvent):
        make_pusher(pusher_service).disconnect_user(user_id)
    assert pusher_service.requests == []


# Who is on a channel


def test_channel_info_tells_who_is_there(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    pusher_service.occupied = {
        "a": {"subscription_count": 2},
        "presence-b": {"subscription_count": 3, "users": ["7", "8"]},
    }
    transport = make_pusher(pusher_service)
    assert transport.channel_info("a") == ChannelInfo(name="a", occupied=True)
    assert transport.channel_info("c") == ChannelInfo(name="c", occupied=False)
    info = transport.channel_info("presence-b")
    assert info == ChannelInfo(name="presence-b", occupied=True, user_count=2)

    counting = make_pusher(pusher_service, subscription_counting=True)
    assert counting.channel_info("a").subscription_count == 2
    info = counting.channel_info("presence-b")
    assert (info.subscription_count, info.user_count) == (3, 2)


def test_members_are_the_users_of_a_presence_channel(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    pusher_service.occupied = {"presence-b": {"users": ["8", "7"]}}
    transport = make_pusher(pusher_service)
    assert transport.members("presence-b") == ["7", "8"]
    assert transport.members("presence-c") == []
    with pytest.raises(UnsupportedFeature):
        transport.members("private-b")


@settings(deadline=None)
@given(channel=channel_names().filter(lambda name: name not in (".", "..")))
def test_any_channel_can_be_asked_for(
    module_service: PusherService, make_pusher: MakePusher, channel: str
) -> None:
    module_service.reset()
    module_service.occupied = {channel: {}}
    transport = make_pusher(module_service)
    assert transport.channel_info(channel).occupied
    assert list(transport.occupied_channels(channel)) == [channel]
    transport.close()


def test_occupied_channels_are_listed_by_prefix(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    pusher_service.occupied = {"a": {}, "presence-b": {"users": ["7"]}, "private-c": {}}
    transport = make_pusher(pusher_service)
    assert set(transport.occupied_channels()) == {"a", "presence-b", "private-c"}
    assert transport.occupied_channels("presence-") == {
        "presence-b": ChannelInfo(name="presence-b", occupied=True, user_count=1)
    }
    assert transport.occupied_channels("private-") == {
        "private-c": ChannelInfo(name="private-c", occupied=True)
    }
    assert transport.occupied_channels("z") == {}


@pytest.mark.parametrize("prefix", ["a&info=user_count", "a#b", "a b", "ü", "a%62", "a\n"])
def test_a_prefix_that_no_name_has_finds_nothing(
    pusher_service: PusherService, make_pusher: MakePusher, prefix: str
) -> None:
    pusher_service.occupied = {"a": {}, "ab": {}}
    assert make_pusher(pusher_service).occupied_channels(prefix) == {}


@pytest.mark.parametrize(
    "ask",
    [
        lambda transport: transport.channel_info("#server-to-user-7"),
        lambda transport: transport.occupied_channels("#server-to-user-"),
        # HTTP clients take a dot between slashes for the folder itself, and two for the one above.
        lambda transport: transport.channel_info("."),
        lambda transport: transport.channel_info(".."),
        lambda transport: transport.disconnect_user(".."),
    ],
)
def test_what_cannot_be_asked_for_is_said_and_not_asked(
    pusher_service: PusherService,
    make_pusher: MakePusher,
    ask: Callable[[PusherTransport], object],
) -> None:
    with pytest.raises(UnsupportedFeature, match="<PusherTransport 'default'> cannot "):
        ask(make_pusher(pusher_service))
    assert pusher_service.requests == []


def test_what_is_no_channel_is_not_asked_for(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    with pytest.raises(InvalidEvent):
        make_pusher(pusher_service).channel_info("a/../b")
    assert pusher_service.requests == []


def test_questions_fail_as_events_do(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    pusher_service.disabled = True
    transport = make_pusher(pusher_service)
    for ask in (
        lambda: transport.channel_info("a"),
        lambda: transport.occupied_channels(),
        lambda: transport.disconnect_user("7"),
    ):
        with pytest.raises(AccessRefused) as caught:
            ask()
        assert isinstance(caught.value, TransportError)
        assert caught.value.unsent == ()
