"""A store that fails takes nothing from those who are connected, and all is well once it works."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from realtime_drf.cluster.memory_state import MemoryStore
from realtime_drf.cluster.serial_worker import end
from realtime_drf.cluster.state import ChannelState, NodeState, SyncResult
from realtime_drf.exceptions import TransportUnavailable
from tests.server.harness import Client, Clock, Site

ROOM = "presence-room"


class FailingStore(MemoryStore):
    """A store that fails before or after the work is done, or delays the answer, as a test says."""

    def __init__(self) -> None:
        super().__init__(clock=Clock())
        self.fails = False
        self.fails_late = False
        self.held: asyncio.Event | None = None
        self.slow: dict[str, asyncio.Event] = {}
        """Nodes whose answers wait, once the work is done."""

    async def _work(self, call: Any) -> Any:
        if self.fails:
            raise ConnectionError("redis://:a-password@store/0")
        if self.held is not None:
            await self.held.wait()
        result = await call
        if self.fails_late:
            raise TimeoutError("redis://:a-password@store/0")
        return result

    async def sync(self, node: str, states: Sequence[NodeState]) -> SyncResult:
        result: SyncResult = await self._guard(super().sync(node, states))
        if node in self.slow:
            await self.slow[node].wait()
        return result

    async def heartbeat(self, node: str, since: int) -> SyncResult:
        result: SyncResult = await self._guard(super().heartbeat(node, since))
        return result

    async def read(self, channels: Sequence[str]) -> list[ChannelState]:
        states: list[ChannelState] = await self._guard(super().read(channels))
        return states

    async def find(self, prefix: str) -> list[ChannelState]:
        states: list[ChannelState] = await self._guard(super().find(prefix))
        return states

    async def remember(self, events: Mapping[str, str], age: float = 0.0) -> None:
        await self._guard(super().remember(events, age))

    async def recall(self, channel: str) -> str | None:
        text: str | None = await self._guard(super().recall(channel))
        return text

    async def _guard(self, call: Any) -> Any:
        try:
            return await self._work(call)
        finally:
            call.close()


@pytest.fixture
def store() -> FailingStore:
    return FailingStore()


def set_failing(store: FailingStore, mode: str, is_failing: bool) -> None:
    setattr(store, mode, is_failing)


def events_of_watchlist(client: Client) -> list[tuple[str, list[str]]]:
    """Return who has come online or gone offline since the last call."""
    return [
        (each["name"], each["user_ids"])
        for name, _, data in client.events()
        if name == "pusher_internal:watchlist_events"
        for each in data["events"]
    ]


def recover(site: Site) -> None:
    """Let the node look after what the store has missed."""
    for _ in range(2):
        site.advance(1)


@pytest.mark.parametrize("mode", ["fails", "fails_late"])
def test_subscribers_are_served_by_what_their_node_knows(
    store: FailingStore, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Site(store=store, client_events=True) as site:
        ann = site.connect()
        ann.join(ROOM, "ann")
        ann.take()
        set_failing(store, mode, True)
        bob = site.connect()
        bob.join(ROOM, "bob")
        bob.subscribe("news")
        first = bob.take()[0]
        assert first["data"]["presence"]["ids"] == ["ann", "bob"]
        assert [data["user_id"] for _, _, data in ann.events()] == ["bob"]
        site.publish("told", [ROOM, "news"])
        bob.trigger("client-typing", ROOM, {})
        assert [name for name, *_ in ann.events()] == ["told", "client-typing"]
        assert [name for name, *_ in bob.events()] == ["told", "told"]
        with pytest.raises(TransportUnavailable):
            site.transport.channel_info(ROOM)
        set_failing(store, mode, False)
        recover(site)
        assert site.transport.channel_info(ROOM).user_count == 2
        assert site.transport.channel_info("news").subscription_count == 1
        assert ann.events() == bob.events() == [], "nothing is sent again"
    assert caplog.records
    assert "password" not in caplog.text


@pytest.mark.parametrize("mode", ["fails", "fails_late"])
@pytest.mark.parametrize("nodes", [1, 2])
def test_who_has_left_meanwhile_is_no_member_afterwards(
    store: FailingStore, mode: str, nodes: int
) -> None:
    with Site(store=store, nodes=nodes) as site:
        ann, bob, eve = site.connect(), site.connect(nodes - 1), site.connect(nodes - 1)
        for client, user in ((ann, "ann"), (bob, "bob"), (eve, "eve")):
            client.join(ROOM, user)
        eve.subscribe("news")
        for client in (ann, bob, eve):
            client.take()
        set_failing(store, mode, True)
        eve.disconnect()
        bob.leave(ROOM)
        site.publish("told", ROOM)
        assert bob.events() == []
        set_failing(store, mode, False)
        recover(site)
        told = [(name, data) for name, _, data in ann.events() if name != "told"]
        assert sorted(data["user_id"] for _, data in told) == ["bob", "eve"]
        assert {name for name, _ in told} == {"pusher_internal:member_removed"}
        assert site.transport.channel_info(ROOM).user_count == 1
        assert not site.transport.channel_info("news").occupied
        assert site.nodes[nodes - 1].hub.channels.keys() == ({ROOM} if nodes == 1 else set())


@pytest.mark.parametrize("mode", ["fails", "fails_late"])
def test_watchers_are_notified_of_those_on_their_node_and_no_other_goes_offline(
    store: FailingStore, mode: str
) -> None:
    with Site(store=store, nodes=2) as site:
        ann, bob, eve = site.connect(), site.connect(), site.connect(1)
        eve.sign_in("eve")
        ann.sign_in("ann", watchlist=["bob", "eve"])
        assert events_of_watchlist(ann) == [("online", ["eve"])]
        set_failing(store, mode, True)
        bob.sign_in("bob")
        assert events_of_watchlist(ann) == [("online", ["bob"])]
        other = site.connect()
        other.sign_in("eve")  # on this node too, so that the store has its part of the channel
        other.disconnect()
        assert events_of_watchlist(ann) == []
        set_failing(store, mode, False)
        recover(site)
        assert events_of_watchlist(ann) == [], "nothing is sent again"


def test_a_node_looks_after_what_is_due_by_itself_though_the_store_has_failed(
    store: FailingStore,
) -> None:
    with Site(store=store) as site:
        store.fails = True
        site.connect().subscribe("news")

        async def look_after() -> None:
            ticking = asyncio.create_task(site.node._tick_forever())
            for _ in range(5):
                await asyncio.sleep(0)
            store.fails = False
            async with asyncio.timeout(5):
                while not (await store.read(["news"]))[0].subscriptions:
                    await asyncio.sleep(0)
            await end([ticking])

        site.node._tick = 0.0
        site.run(look_after())


def test_a_store_that_takes_long_delays_its_own_channels_alone(store: FailingStore) -> None:
    with Site(store=store) as site:
        ann, bob = site.connect(), site.connect()
        ann.join(ROOM, "ann")
        ann.take()
        store.held = asyncio.Event()
        bob.join("presence-other", "bob")
        site.publish("told", ROOM)
        assert [name for name, *_ in ann.events()] == ["told"]
        assert bob.events() == []
        ann.say({"event": "pusher:ping"})
        assert [name for name, *_ in ann.events()] == ["pusher:pong"]
        store.held.set()
        site.settle()
        assert [name for name, *_ in bob.events()] == ["pusher_internal:subscription_succeeded"]


def test_an_answer_that_was_overtaken_undoes_nothing(store: FailingStore) -> None:
    with Site(store=store, nodes=2) as site:
        ann, again, bob = site.connect(), site.connect(), site.connect(1)
        ann.join(ROOM, "ann")
        ann.take()
        store.slow[site.nodes[0].name] = asyncio.Event()
        again.join(ROOM, "ann")  # the answer knows ann alone, and is on its way
        bob.join(ROOM, "bob")
        assert [data["user_id"] for _, _, data in ann.events()] == ["bob"]
        store.slow.pop(site.nodes[0].name).set()
        site.settle()
        assert ann.events() == []
        assert [name for name, *_ in again.events()] == [
            "pusher_internal:subscription_succeeded",
            "pusher_internal:member_added",
        ]


def test_a_store_that_starts_again_is_believed(store: FailingStore) -> None:
    with Site(store=store, nodes=2) as site:
        ann, bob = site.connect(), site.connect(1)
        for _ in range(3):  # so that versions are high
            for client, user in ((ann, "ann"), (bob, "bob")):
                client.join(ROOM, user)
            bob.leave(ROOM)
            ann.leave(ROOM)
        for client, user in ((ann, "ann"), (bob, "bob")):
            client.join(ROOM, user)
        store._nodes.clear()
        store._channels.clear()
        store._number = 0
        bob.disconnect()
        for _ in range(6):
            site.advance(1)
        assert site.transport.channel_info(ROOM).user_count == 1
        assert ann.events()[-1][0] == "pusher_internal:member_removed"


def test_a_client_that_goes_while_the_store_thinks_leaves_nothing(store: FailingStore) -> None:
    with Site(store=store) as site:
        store.held = asyncio.Event()
        ann, bob = site.connect(), site.connect()
        ann.join(ROOM, "ann")
        bob.join("cache-news")
        site.node.disconnect(site.node.connections[ann.socket_id])
        bob.disconnect()
        store.held.set()
        site.settle()
        assert ann.events() == []
        assert site.node.hub.channels == {}
        assert not site.transport.channel_info(ROOM).occupied


def test_a_cache_channel_says_nothing_of_what_nobody_knows(store: FailingStore) -> None:
    with Site(store=store) as site:
        store.fails = True
        client = site.connect()
        client.subscribe("cache-news")
        assert [name for name, *_ in client.events()] == ["pusher_internal:subscription_succeeded"]
        site.publish("told", "cache-news")
        assert [name for name, *_ in client.events()] == ["told"]


def test_a_cache_that_cannot_be_read_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Forgetful(FailingStore):
        async def recall(self, channel: str) -> str | None:
            raise ConnectionError("redis://:a-password@store/0")

    with Site(store=Forgetful()) as site:
        client = site.connect()
        client.subscribe("cache-news")
        assert [name for name, *_ in client.events()] == ["pusher_internal:subscription_succeeded"]
    assert "The store of the server failed" in caplog.text
    assert "password" not in caplog.text
