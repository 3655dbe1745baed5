"""Channels of every kind: who may subscribe, what is reported of it, and who receives."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

pytest.importorskip("channels")
pytest.importorskip("nacl")

import nacl.secret

from realtime_drf.cluster.messages import EventMessage, dump_event
from realtime_drf.events import Event
from realtime_drf.exceptions import UnsupportedFeature
from tests.server.harness import Client, Site

pytestmark = pytest.mark.usefixtures("silence")

SUCCEEDED = "pusher_internal:subscription_succeeded"
REFUSED = "pusher:subscription_error"
KINDS = ["news", "private-lists.1", "presence-room", "private-encrypted-notes"]
MASTER_KEY = b"k" * 32
ENCRYPTED = {"encryption_master_key_base64": base64.b64encode(MASTER_KEY).decode()}


def refusal(client: Client) -> tuple[str, int]:
    """Return the channel and status in the one error that a client has received."""
    (frame,) = client.take()
    assert frame["event"] == REFUSED
    assert frame["data"].keys() == {"type", "error", "status"}
    return frame["channel"], frame["data"]["status"]


def error(client: Client) -> tuple[Any, str]:
    """Return the code and message in the one error that a client has received."""
    (frame,) = client.take()
    assert frame["event"] == "pusher:error"
    return frame["data"]["code"], frame["data"]["message"]


@pytest.mark.parametrize("channel", KINDS)
def test_subscribers_receive_and_nobody_else(channel: str) -> None:
    with Site(**ENCRYPTED) as site:
        client, other, stranger = (site.connect() for _ in range(3))
        client.join(channel, "ann")
        ((name, where, data),) = client.events()
        assert (name, where) == (SUCCEEDED, channel)
        assert ("presence" in data) == channel.startswith("presence-")
        other.join(channel, "bob")
        stranger.join("other", "eve")
        for each in (client, other, stranger):
            each.take()
        site.publish("told", [channel, "unheard"], {"n": 1})
        for each in (client, other):
            ((name, where, data),) = each.events()
            assert (name, where) == ("told", channel)
            assert ("ciphertext" in data) == channel.startswith("private-encrypted-")
        assert stranger.events() == []
        client.leave(channel)
        other.take()
        site.publish("again", channel)
        assert client.events() == [], "and leaving is not answered"
        assert [name for name, *_ in other.events()] == ["again"]


def test_data_is_the_very_text_that_was_published() -> None:
    data = {"text": "Käse 🧀 \u2028 </script>", "n": [1, 2.5, None, True], "nested": {"a": {}}}
    event = Event("told", "news", data)
    with Site() as site:
        client = site.connect()
        client.subscribe("news")
        site.send(event)
        site.settle()
        assert client.frames[-1] == {"event": "told", "channel": "news", "data": event.body}


def test_what_is_encrypted_can_be_decrypted_with_the_channels_key_alone() -> None:
    channels = ["private-encrypted-a", "private-encrypted-b"]
    with Site(**ENCRYPTED) as site:
        client = site.connect()
        for channel in channels:
            client.join(channel)
        client.take()
        event = Event("told", [*channels, "news"], {"text": "Käse"})
        site.send(event)
        site.settle()
        boxes = {channel: data for _, channel, data in client.events()}
        assert boxes.keys() == set(channels)
        for channel, box in boxes.items():
            parts = {name: base64.b64decode(part) for name, part in box.items()}
            for each in channels:
                key = base64.b64decode(site.transport.signer.shared_secret(each))
                try:
                    text = nacl.secret.SecretBox(key).decrypt(parts["ciphertext"], parts["nonce"])
                except nacl.exceptions.CryptoError:
                    assert each != channel
                else:
                    assert (each, text.decode()) == (channel, event.body)


def test_the_sender_is_left_out_on_all_its_channels() -> None:
    with Site() as site:
        sender, other = site.connect(), site.connect()
        for each in (sender, other):
            each.subscribe("a")
            each.subscribe("b")
            each.take()
        site.publish("told", ["a", "b"], but=sender)
        assert sender.events() == []
        assert other.events() == [("told", "a", None), ("told", "b", None)]


@pytest.mark.parametrize("channel", KINDS[1:])
def test_a_wrong_signature_is_refused(channel: str) -> None:
    with Site(**ENCRYPTED) as site:
        client, other = site.connect(), site.connect()
        data: dict[str, str] = {}
        if channel.startswith("presence-"):
            data = {"channel_data": json.dumps({"user_id": "ann"})}

        def sign(socket_id: str, name: str, extra: str = "") -> str:
            return site.transport.signer.sign(f"{socket_id}:{name}{extra}")

        extra = f":{data['channel_data']}" if data else ""
        right = sign(client.socket_id, channel, extra)
        for auth in (
            None,
            "",
            ":",
            "app-key:",
            right,
            f"other-key:{right}",
            f"app-key:{right}x",
            f"app-key:{right.upper()}",
            f"app-key:{right}:{right}",
            f"app-key:{sign(other.socket_id, channel, extra)}",
            f"app-key:{sign(client.socket_id, channel + 'x', extra)}",
            "app-key:ünïcode",
        ):
            client.subscribe(channel, **data, **({} if auth is None else {"auth": auth}))
            assert refusal(client) == (channel, 401)
        site.publish("told", channel)
        assert client.events() == []
        client.subscribe(channel, **data, auth=f"app-key:{right}")
        assert [name for name, *_ in client.events()] == [SUCCEEDED]


def test_channel_data_on_a_private_channel_is_signed_too() -> None:
    with Site() as site:
        client = site.connect()
        channel, text = "private-lists.1", '{"user_id": "ann"}'
        sign = site.transport.signer.sign
        signed = sign(f"{client.socket_id}:{channel}:{text}")
        unsigned = sign(f"{client.socket_id}:{channel}")
        client.subscribe(channel, auth=f"app-key:{unsigned}", channel_data=text)
        assert refusal(client) == (channel, 401)
        client.subscribe(channel, auth=f"app-key:{signed}")
        assert refusal(client) == (channel, 401)
        client.subscribe(channel, auth=f"app-key:{signed}", channel_data=text)
        assert client.events() == [(SUCCEEDED, channel, {})]


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "with/slash",
        "private-",
        "presence-",
        "private-encrypted-",
        "cache-",
        "#news",
        "#server-to-user-",
        "Käse",
        "a\x00b",
        "a\n",
        "x" * 165,
        "private-" + "x" * 157,
        "x" * 60_000,
    ],
)
def test_an_illegal_name_is_refused(name: str) -> None:
    with Site() as site:
        client = site.connect()
        client.subscribe(name, auth="app-key:0000")
        channel, status = refusal(client)
        assert channel == name[:200]
        assert status == 400
        assert site.node.hub.channels == {}
        client.leave(name)
        _, message = error(client)
        assert "No current subscription" in message


def test_the_longest_name_is_legal() -> None:
    with Site() as site:
        client = site.connect()
        client.subscribe("x" * 164)
        assert client.events() == [(SUCCEEDED, "x" * 164, {})]


def test_subscribing_twice_and_leaving_what_one_is_not_on_are_errors() -> None:
    with Site() as site:
        client = site.connect()
        client.subscribe("news")
        client.take()
        client.subscribe("news")
        assert error(client) == (None, "Existing subscription to channel news")
        site.publish("told", "news")
        assert client.events() == [("told", "news", None)], "still once"
        client.leave("other")
        assert error(client) == (None, "No current subscription to channel other")
        client.leave("news")
        client.leave("news")
        assert error(client) == (None, "No current subscription to channel news")
        client.subscribe("news")
        assert client.events() == [(SUCCEEDED, "news", {})]


def test_no_more_channels_than_the_option_says() -> None:
    with Site(max_channels=2) as site:
        client = site.connect()
        for name in ("a", "b"):
            client.subscribe(name)
        client.take()
        client.subscribe("c")
        assert refusal(client) == ("c", 4004)
        client.leave("a")
        client.subscribe("c")
        assert client.events() == [(SUCCEEDED, "c", {})]


def test_a_channel_of_nobody_is_forgotten() -> None:
    with Site() as site:
        clients = [site.connect() for _ in range(3)]
        for client in clients:
            for channel in ("news", "presence-room", "private-lists.1"):
                client.join(channel, "ann")
        for client in clients[:2]:
            client.disconnect()
        clients[2].leave("news")
        assert site.node.hub.channels.keys() == {"presence-room", "private-lists.1"}
        clients[2].disconnect()
        assert site.node.hub.channels == site.node.connections == {}
        assert site.transport.occupied_channels() == {}


def test_a_users_channel_is_for_who_has_signed_in_as_that_user() -> None:
    channel = "#server-to-user-ann"
    with Site() as site:
        client, other = site.connect(), site.connect()
        client.subscribe(channel, auth="")
        assert refusal(client) == (channel, 401)
        client.sign_in("ann")
        other.sign_in("bob")
        client.subscribe(channel, auth="")
        other.take()
        other.subscribe(channel, auth="")
        assert refusal(other) == (channel, 401)
        client.take()
        site.publish("badge", channel, 3)
        assert client.events() == [("badge", channel, 3)]
        assert other.events() == []


# Who is there, as the project asks


def test_the_project_can_ask_who_is_on_a_channel() -> None:
    with Site() as site:
        for user in ("ann", "ann", "bob"):
            client = site.connect()
            client.join("presence-room", user)
            client.subscribe("news")
            client.sign_in(user)
        room = site.transport.channel_info("presence-room")
        assert (room.occupied, room.subscription_count, room.user_count) == (True, 3, 2)
        news = site.transport.channel_info("news")
        assert (news.occupied, news.subscription_count, news.user_count) == (True, 3, None)
        vacant = site.transport.channel_info("vacant")
        assert (vacant.occupied, vacant.subscription_count) == (False, 0)
        assert site.transport.occupied_channels().keys() == {"news", "presence-room"}
        assert site.transport.occupied_channels("presence-").keys() == {"presence-room"}
        assert site.transport.members("presence-room") == ["ann", "bob"]
        with pytest.raises(UnsupportedFeature):
            site.transport.members("news")


def test_all_connections_of_a_user_can_be_ended() -> None:
    with Site() as site:
        ann, again, bob = site.connect(), site.connect(), site.connect()
        for client, user in ((ann, "ann"), (again, "ann"), (bob, "bob")):
            client.sign_in(user)
        site.transport.disconnect_user("ann")
        site.settle()
        assert (ann.close_code, again.close_code, bob.close_code) == (4009, 4009, None)


# Cache channels


def test_a_cache_channel_that_keeps_nothing_says_so_without_data() -> None:
    with Site() as site:
        client = site.connect()
        client.subscribe("cache-empty")
        assert client.frames[-1] == {"event": "pusher:cache_miss", "channel": "cache-empty"}


def test_what_is_on_its_way_while_one_subscribes_to_a_cache_channel_comes_once_and_in_order() -> (
    None
):
    with Site() as site:
        early = site.connect()
        early.subscribe("cache-news")
        site.publish("told", "cache-news", 0)
        late = site.connect()
        late.take()
        early.take()
        late.subscribe("cache-news", settle=False)
        for number in (1, 2):
            site.send(Event("told", "cache-news", number))
        site.settle()
        assert [data for _, _, data in early.events()] == [1, 2]
        told = [data for name, _, data in late.events() if name == "told"]
        assert told in ([0, 1, 2], [1, 2], [2])
        site.publish("told", "cache-news", 3)
        assert late.events() == [("told", "cache-news", 3)]


def test_the_first_on_a_node_receives_nothing_again_that_the_cache_is_ahead_of() -> None:
    with Site(nodes=2) as site:
        site.publish("told", "cache-news", 0)
        late = site.connect(1)
        events = [Event("told", "cache-news", number) for number in (1, 2, 3)]
        site.run(site.transport.app.backplane.store.remember({"cache-news": dump(events[-1])}))
        late.subscribe("cache-news")
        site.send(*events)
        site.settle()
        assert [data for name, _, data in late.events() if name == "told"] == [3]
        site.publish("told", "cache-news", 4)
        assert late.events() == [("told", "cache-news", 4)]


def test_who_stays_is_notified_that_the_last_on_another_node_has_left() -> None:
    with Site(nodes=2, subscription_counting=True) as site:
        ann, bob = site.connect(0), site.connect(1)
        for client in (ann, bob):
            client.subscribe("news")
        ann.forget()
        bob.disconnect()
        counted = {"subscription_count": 1}
        assert ann.events() == [("pusher_internal:subscription_count", "news", counted)]


def test_above_a_hundred_the_last_number_is_sent_in_the_end() -> None:
    with Site(subscription_counting=True) as site:
        first = site.connect()
        for client in (first, *(site.connect() for _ in range(103))):
            client.subscribe("news")
        told = [data["subscription_count"] for name, _, data in first.events()[1:]]
        assert told == list(range(1, 101)), "each change, until there are many"
        site.advance(4)
        assert first.events() == []
        site.advance(1)
        assert [data["subscription_count"] for _, _, data in first.events()] == [104]
        site.advance(5)
        assert first.events() == [], "once"


def test_an_event_of_a_cache_channel_that_is_lost_on_its_way_silences_nobody() -> None:
    with Site() as site:
        early, late = site.connect(), site.connect()
        early.subscribe("cache-news")
        site.publish("told", "cache-news", 0)
        lost = Event("told", "cache-news", 1)
        site.run(site.transport.app.backplane.store.remember({"cache-news": dump(lost)}))
        late.subscribe("cache-news")
        assert late.events()[-1] == ("told", "cache-news", 1)
        site.advance(1)
        site.publish("told", "cache-news", 2)
        assert late.events() == [("told", "cache-news", 2)]


def test_an_event_that_was_kept_before_this_process_began_silences_nobody() -> None:
    with Site() as site:
        kept = Event("told", "cache-news", 1)
        site.run(site.transport.app.backplane.store.remember({"cache-news": dump(kept)}))
        client = site.connect()
        client.subscribe("cache-news")
        for number in (2, 3, 4):
            site.publish("told", "cache-news", number)
        told = [data for name, _, data in client.events() if name == "told"]
        assert told == [1, 2, 3, 4]


def dump(event: Event) -> str:
    return dump_event(EventMessage(event.name, event.channels, event.body, id=event.id))
