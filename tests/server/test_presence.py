"""Members: one for each user, however many connections, and the same list for everybody."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime_drf.cluster.messages import OnlineMessage
from tests.server.harness import Client, Site

pytestmark = pytest.mark.usefixtures("silence")

ROOM = "presence-room"
ADDED, REMOVED = "pusher_internal:member_added", "pusher_internal:member_removed"


def members(client: Client) -> dict[str, Any]:
    """Return the members that a client received on subscribing."""
    frame = client.take()[0]
    assert frame["event"] == "pusher_internal:subscription_succeeded"
    presence = frame["data"]["presence"]
    assert presence["ids"] == list(presence["hash"])
    assert presence["count"] == len(presence["ids"])
    hash_: dict[str, Any] = presence["hash"]
    return hash_


@pytest.mark.parametrize("nodes", [1, 2])
def test_members_see_each_other_come_and_go(nodes: int) -> None:
    with Site(nodes=nodes) as site:
        ann, bob = site.connect(), site.connect(nodes - 1)
        ann.join(ROOM, "ann", {"name": "Ann Käse"})
        assert members(ann) == {"ann": {"name": "Ann Käse"}}
        bob.join(ROOM, "bob")
        assert members(bob) == {"ann": {"name": "Ann Käse"}, "bob": None}
        assert ann.events() == [(ADDED, ROOM, {"user_id": "bob", "user_info": None})]
        assert bob.events() == []
        bob.leave(ROOM)
        assert ann.events() == [(REMOVED, ROOM, {"user_id": "bob"})]
        bob.join(ROOM, "bob")
        ann.take()
        ann.disconnect()
        bob.take()
        assert members(site_join(site, ROOM, "eve")) == {"bob": None, "eve": None}


def site_join(site: Site, channel: str, user: str) -> Client:
    client = site.connect()
    client.join(channel, user)
    return client


@pytest.mark.parametrize("nodes", [1, 2])
def test_several_connections_of_a_user_are_one_member(nodes: int) -> None:
    with Site(nodes=nodes) as site:
        bob = site.connect()
        bob.join(ROOM, "bob")
        bob.take()
        one, other = site.connect(), site.connect(nodes - 1)
        one.join(ROOM, "ann", {"tab": 1})
        assert bob.events() == [(ADDED, ROOM, {"user_id": "ann", "user_info": {"tab": 1}})]
        other.join(ROOM, "ann", {"tab": 2})
        assert bob.events() == []
        assert members(one) == members(other) == {"bob": None, "ann": {"tab": 1}}
        one.disconnect()
        assert bob.events() == []
        other.disconnect()
        assert bob.events() == [(REMOVED, ROOM, {"user_id": "ann"})]


def test_a_user_id_may_be_a_number() -> None:
    with Site() as site:
        client = site.connect()
        text = json.dumps({"user_id": 7, "user_info": {"name": "Ann"}})
        signature = site.transport.signer.sign(f"{client.socket_id}:{ROOM}:{text}")
        client.subscribe(ROOM, auth=f"app-key:{signature}", channel_data=text)
        assert members(client) == {"7": {"name": "Ann"}}


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "null",
        "[]",
        "{}",
        '{"user_id": null}',
        '{"user_id": ""}',
        '{"user_id": true}',
        '{"user_id": 1.5}',
        '{"user_id": {}}',
        '{"user_id": "ann"',
        '{"user_id": "ann", "user_info": NaN}',
        '{"user_id": "\\ud800"}',
        '{"user_id": "ann", "user_info": "\\ud800"}',
        "[" * 50_000,
    ],
)
def test_signed_channel_data_that_names_no_user_is_refused(text: str | None) -> None:
    with Site() as site:
        client = site.connect()
        signed = f"{client.socket_id}:{ROOM}" + ("" if text is None else f":{text}")
        data = {} if text is None else {"channel_data": text}
        signature = site.transport.signer.sign(signed)
        client.subscribe(ROOM, auth=f"app-key:{signature}", **data)
        ((name, channel, details),) = client.events()
        assert (name, channel, details["status"]) == ("pusher:subscription_error", ROOM, 401)
        assert site.node.hub.channels == {}


def test_who_has_signed_in_needs_no_channel_data() -> None:
    with Site() as site:
        client = site.connect()
        client.sign_in("ann")
        client.take()
        signature = site.transport.signer.sign(f"{client.socket_id}:{ROOM}")
        client.subscribe(ROOM, auth=f"app-key:{signature}")
        assert members(client) == {"ann": None}


def test_channel_data_counts_for_who_has_signed_in_too() -> None:
    with Site() as site:
        client = site.connect()
        client.sign_in("ann")
        client.take()
        client.join(ROOM, "in-this-room", {"name": "Ann"})
        assert members(client) == {"in-this-room": {"name": "Ann"}}


@pytest.mark.parametrize("length", [99, 100, 101])
def test_a_watchlist_has_a_hundred_users_at_most(length: int) -> None:
    with Site() as site:
        bob, ann = site.connect(), site.connect()
        bob.sign_in("user-0")
        ann.take()
        ann.sign_in("ann", watchlist=[f"user-{number}" for number in range(length)])
        (signed_in, _, _), (name, _, data) = ann.events()
        assert signed_in == "pusher:signin_success"
        if length <= 100:
            assert data == {"events": [{"name": "online", "user_ids": ["user-0"]}]}
        else:
            assert (name, data["code"]) == ("pusher:error", 4302)
            bob.disconnect()
            site.advance(1)
            assert ann.events() == [], "none of them is watched"


def test_news_of_a_user_that_come_late_are_not_believed() -> None:
    with Site() as site:
        ann, bob = site.connect(), site.connect()
        ann.sign_in("ann", watchlist=["bob"])
        for _ in range(2):
            bob.sign_in("bob")
            bob.disconnect()
            bob = site.connect()
        bob.sign_in("bob")
        ann.take()
        channel = site.node.hub.channels["#server-to-user-bob"]
        version = channel.version
        assert version is not None
        for late in (version - 1, version):
            site.node.hub.apply_online(OnlineMessage(channel.name, version - 2, late, 0))
        site.settle()
        assert ann.events() == []
        assert channel.version == version


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_room_has_room_for_a_hundred_users(nodes: int) -> None:
    with Site(nodes=nodes) as site:
        for number in range(100):
            site.connect(number % nodes).join(ROOM, f"user-{number}")
        late = site.connect()
        late.join(ROOM, "late")
        ((name, channel, details),) = late.events()
        assert (name, channel, details["status"]) == ("pusher:subscription_error", ROOM, 4004)
        again = site.connect()
        again.join(ROOM, "user-7")
        assert len(members(again)) == 100
        site.clients[0].disconnect()
        late.join(ROOM, "late")
        assert len(members(late)) == 100


def test_a_crowd_at_the_door_does_not_overfill_a_room() -> None:
    with Site() as site:
        crowd = [site.connect() for _ in range(110)]
        for number, client in enumerate(crowd):
            client.join(ROOM, f"user-{number}", settle=False)
        site.settle()
        inside = [c for c in crowd if c.take()[0]["event"].startswith("pusher_internal:")]
        assert len(inside) == 100
        assert site.transport.channel_info(ROOM).user_count == 100


def test_those_who_come_and_go_at_once_are_reported_in_the_end() -> None:
    with Site() as site:
        bob = site.connect()
        bob.join(ROOM, "bob")
        bob.take()
        ann = site.connect()
        ann.join(ROOM, "ann", settle=False)
        ann.leave(ROOM, settle=False)
        ann.join(ROOM, "ann", settle=False)
        site.settle()
        present = {"bob"}
        for name, _, data in bob.events():
            assert (data["user_id"] in present) == (name == REMOVED)
            (present.remove if name == REMOVED else present.add)(data["user_id"])
        assert present == {"ann", "bob"}
