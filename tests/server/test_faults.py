"""Nodes among faults: messages are lost, late or repeated, and the store or a node fails.

Whatever happens, nobody is ever shown a member twice, or one leave who was not there; and once all
works again, everybody sees those who are there, within the time of a lease.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from realtime_drf.cluster import messages
from realtime_drf.cluster.backplane import Backplane, BackplaneListener
from realtime_drf.cluster.memory_state import MemoryStore
from realtime_drf.cluster.state import (
    LEASE,
    ChannelState,
    NodeState,
    PresenceStore,
    SyncResult,
    finish,
)
from realtime_drf.server.hub import MAX_AT_ONCE, SETTLING
from tests.examples import scaled
from tests.server.harness import Client, Clock, Site

ROOM, NEWS = "presence-room", "news"
CHANNELS = (ROOM, "presence-hall", NEWS)
USERS = ("ann", "bob", "eve")
NODES = 2
MAX_BROWSERS = 5
TICK = 1.0
OPTIONS = {"subscription_counting": True, "max_channels": 1000, "activity_timeout": 10**6}

SUCCEEDED = "pusher_internal:subscription_succeeded"
ADDED, REMOVED = "pusher_internal:member_added", "pusher_internal:member_removed"
COUNT, WATCHLIST = "pusher_internal:subscription_count", "pusher_internal:watchlist_events"


class FaultyStore:
    """Keep everything, but not answer, answer late, or forget, as the test says."""

    is_shared = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.calls = 0
        self.modes: dict[str, str] = {}
        """How it behaves towards a node."""
        self.answers: list[asyncio.Future[None]] = []
        """Those that are held back."""
        self.forget()

    def forget(self) -> None:
        self.inner = MemoryStore(clock=self._clock)

    async def sync(self, node: str, states: Sequence[NodeState]) -> SyncResult:
        result: SyncResult = await self._answer(node, self.inner.sync(node, states))
        return result

    async def heartbeat(self, node: str, since: int) -> SyncResult:
        result: SyncResult = await self._answer(node, self.inner.heartbeat(node, since))
        return result

    async def read(self, channels: Sequence[str]) -> list[ChannelState]:
        states: list[ChannelState] = await self._answer("", self.inner.read(channels))
        return states

    async def find(self, prefix: str) -> list[ChannelState]:
        return await self.inner.find(prefix)

    async def remember(self, events: Mapping[str, str], age: float = 0.0) -> None:
        await self.inner.remember(events, age)

    async def recall(self, channel: str) -> str | None:
        return await self.inner.recall(channel)

    async def close(self) -> None:
        pass

    async def _answer(self, node: str, call: Coroutine[Any, Any, Any]) -> Any:
        self.calls += 1
        mode = self.modes.get(node, "works")
        if mode == "refuses":
            call.close()
            raise ConnectionError
        answer = finish(call)
        if mode == "is silent":
            raise TimeoutError
        if mode == "is slow":
            self.answers.append(asyncio.get_running_loop().create_future())
            await self.answers[-1]
        return answer


class FaultyBackplane(Backplane):
    """Deliver a batch when the test says so, to one node at a time."""

    def __init__(self, store: PresenceStore) -> None:
        super().__init__(store)
        self.waiting: dict[BackplaneListener, list[Sequence[messages.Message]]] = {}

    reaches_nodes = True

    def publish(self, items: Sequence[messages.Message], timeout: float) -> None:
        self.post(items)

    async def apublish(self, items: Sequence[messages.Message], timeout: float) -> None:
        self.post(items)

    def post(self, items: Sequence[messages.Message]) -> None:
        carried = messages.unpack(messages.pack("", 1, items))
        for waiting in self.waiting.values():
            waiting.append(carried)

    def ask(self, coroutine: Coroutine[Any, Any, Any], timeout: float) -> Any:
        return finish(coroutine)

    async def attend(self, node: BackplaneListener) -> None:
        self.waiting[node] = []
        node.on_ready()
        await asyncio.get_running_loop().create_future()

    def close(self) -> None:
        pass


class FaultySite(Site):
    """Run nodes that share what fails."""

    def _adopt_store(self) -> None:
        self.store = FaultyStore(self.clock)
        self.backplane = FaultyBackplane(self.store)
        self.transport.app.backplane = self.backplane


class Browser:
    """Model a browser: where it is, and what it has made of its frames."""

    def __init__(self, client: Client, user: str) -> None:
        self.client = client
        self.user = user
        self.channels: set[str] = set()
        self.members: dict[str, set[str]] = {}
        self.online: set[str] = set()
        self.count = 0

    def read(self) -> None:
        for event, channel, data in self.client.events():
            if event == SUCCEEDED and channel.startswith("presence-"):
                self.members[channel] = set(data["presence"]["ids"])
                assert self.user in self.members[channel]
            elif event == ADDED:
                assert data["user_id"] not in self.members[channel], "came twice"
                self.members[channel].add(data["user_id"])
            elif event == REMOVED:
                self.members[channel].remove(data["user_id"])
            elif event == COUNT and channel == NEWS:
                self.count = data["subscription_count"]
            elif event == WATCHLIST:
                for change in data["events"]:
                    users = set(change["user_ids"])
                    is_online = change["name"] == "online"
                    assert users.isdisjoint(self.online) if is_online else users <= self.online
                    self.online = self.online | users if is_online else self.online - users


class Nodes(RuleBasedStateMachine):
    """Act and fail at random; in the end, see whether all comes right."""

    def __init__(self) -> None:
        super().__init__()
        self.site = FaultySite(
            nodes=NODES, subscription_counting=True, max_channels=1000, activity_timeout=10**6
        )
        self.site.__enter__()
        self.store, self.backplane = self.site.store, self.site.backplane
        self.browsers: dict[int, list[Browser]] = {number: [] for number in range(NODES)}
        self.tasks: list[asyncio.Task[None]] = []
        for number in range(NODES):
            self.come(number, USERS[number], CHANNELS)

    @property
    def all(self) -> list[Browser]:
        return [browser for browsers in self.browsers.values() for browser in browsers]

    # What browsers do

    @rule(
        number=st.integers(0, NODES - 1),
        user=st.sampled_from(USERS),
        channels=st.sets(st.sampled_from(CHANNELS)),
    )
    def comes(self, number: int, user: str, channels: Sequence[str]) -> None:
        if len(self.all) < MAX_BROWSERS:
            self.come(number, user, channels)

    def come(self, number: int, user: str, channels: Sequence[str]) -> Browser:
        browser = Browser(self.site.connect(number), user)
        self.browsers[number].append(browser)
        browser.client.sign_in(user, watchlist=USERS)
        for channel in sorted(channels):
            self.turn(browser, channel)
        return browser

    @precondition(lambda self: self.all)
    @rule(who=st.integers(0, MAX_BROWSERS - 1), channel=st.sampled_from(CHANNELS))
    def join_or_leave(self, who: int, channel: str) -> None:
        self.turn(self.all[who % len(self.all)], channel)

    @precondition(lambda self: self.all)
    @rule(who=st.integers(0, MAX_BROWSERS - 1))
    def go(self, who: int) -> None:
        browser = self.all[who % len(self.all)]
        for browsers in self.browsers.values():
            if browser in browsers:
                browsers.remove(browser)
        browser.client.disconnect()

    def turn(self, browser: Browser, channel: str) -> None:
        if channel in browser.channels:
            browser.channels.remove(channel)
            browser.client.leave(channel)
        else:
            browser.channels.add(channel)
            browser.client.join(channel, browser.user if channel != NEWS else "")
        browser.read()

    # What happens between the nodes

    @rule(number=st.integers(0, NODES - 1), fate=st.sampled_from(["comes"] * 3 + ["is lost"]))
    def first_batch(self, number: int, fate: str) -> None:
        self.deliver_batch(number, 0, fate)

    @rule(number=st.integers(0, NODES - 1), fate=st.sampled_from(["comes", "comes and stays"]))
    def last_batch(self, number: int, fate: str) -> None:
        self.deliver_batch(number, -1, fate)

    def deliver_batch(self, number: int, which: int, fate: str) -> None:
        node = self.site.nodes[number]
        if waiting := self.backplane.waiting[node]:
            items = waiting[which] if fate == "comes and stays" else waiting.pop(which)
            if fate != "is lost":
                self.site.loop.call_soon(node.deliver, items)
            self.settle()

    def hand_all_over(self) -> None:
        for number in range(NODES):
            while self.backplane.waiting[self.site.nodes[number]]:
                self.deliver_batch(number, 0, "comes")

    # What goes wrong

    @rule(
        number=st.integers(0, NODES - 1),
        mode=st.sampled_from(["works", "refuses", "is silent", "is slow", "is slow"]),
    )
    def store_changes(self, number: int, mode: str) -> None:
        self.store.modes[self.site.nodes[number].name] = mode

    @precondition(lambda self: self.store.answers)
    @rule(which=st.sampled_from([0, -1]))
    def store_answers(self, which: int) -> None:
        self.answer(which)

    @rule()
    def store_forgets(self) -> None:
        self.site.clock.now += 0.001
        self.store.forget()

    @rule(seconds=st.sampled_from([TICK, TICK, LEASE]), number=st.integers(0, NODES - 1))
    def node_ticks(self, seconds: float, number: int) -> None:
        """Let one node look at what is due, the other not: as if it hung."""
        self.site.clock.now += seconds
        self.tick(number)

    @rule(number=st.integers(0, NODES - 1))
    def node_dies(self, number: int) -> None:
        """Kill a process with all its connections; another takes its place."""
        node = self.site.nodes[number]
        self.store.modes[node.name] = "refuses"
        del self.backplane.waiting[node]
        self.browsers[number] = []
        server = type(self.site.servers[0])(None, self.site.clock)
        self.site.servers[number] = server
        (self.site.nodes[number],) = self.site.start(server).values()
        self.settle()

    # What must be so

    def teardown(self) -> None:
        error = True
        try:
            self.recover()
            self.check()
            error = False
        finally:
            self.mend()
            self.site.__exit__(AssertionError if error else None)

    def recover(self) -> None:
        """Let all work again, but deliver none of the messages sent before."""
        self.mend()
        for waiting in self.backplane.waiting.values():
            waiting.clear()
        for _ in range(int((LEASE + 2 * TICK) / TICK)):
            self.site.clock.now += TICK
            for number in range(NODES):
                self.tick(number)

    def check(self) -> None:
        for channel in CHANNELS:
            there = [browser for browser in self.all if channel in browser.channels]
            users = {browser.user for browser in there}
            info = self.site.transport.channel_info(channel)
            assert info.subscription_count == len(there)
            if channel != NEWS:
                assert info.user_count == len(users)
                assert all(browser.members[channel] == users for browser in there)
            else:
                assert all(browser.count == len(there) for browser in there)
        online = {browser.user for browser in self.all}
        assert [browser.online for browser in self.all] == [online] * len(self.all)

    # Within

    def tick(self, number: int) -> None:
        async def start() -> None:
            self.tasks.append(asyncio.create_task(tick()))

        async def tick() -> None:
            with contextlib.suppress(OSError):  # as the server does, it goes on
                await node.tick()

        node = self.site.nodes[number]
        self.site.run(start())
        self.settle()

    def mend(self) -> None:
        for node in self.site.nodes:
            self.store.modes[node.name] = "works"
        while self.store.answers:
            self.answer(0)

    def answer(self, which: int) -> None:
        self.site.loop.call_soon(self.store.answers.pop(which).set_result, None)
        self.settle()

    def settle(self) -> None:
        self.site.settle()
        for browser in self.all:
            browser.read()


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    """Run what the machine runs, by hand: ann on one node, bob on the other, all settled."""
    machine = Nodes()
    machine.hand_all_over()
    yield machine
    machine.teardown()


@pytest.mark.parametrize("channel", [ROOM, NEWS])
def test_a_late_answer_undoes_no_news(nodes: Nodes, channel: str) -> None:
    def sees_eve() -> bool:
        ann = nodes.all[0]
        return "eve" in ann.members[ROOM] if channel == ROOM else ann.count == 4

    another = nodes.come(0, "ann", [])
    nodes.store_changes(0, "is slow")
    nodes.turn(another, channel)
    nodes.store_changes(0, "works")
    nodes.come(1, "eve", [channel])
    nodes.hand_all_over()
    nodes.node_ticks(TICK, 0)
    assert sees_eve()
    nodes.answer(0)
    assert sees_eve()


@pytest.mark.parametrize("first", range(NODES))
def test_nobody_seems_to_leave_when_a_store_has_lost_its_memory(nodes: Nodes, first: int) -> None:
    before = [len(browser.client.frames) for browser in nodes.all]
    nodes.store_forgets()
    for number in (first, NODES - 1 - first) * int(SETTLING + 2 * TICK):
        nodes.node_ticks(TICK / NODES, number)
        nodes.hand_all_over()
    nodes.check()
    for browser, count in zip(nodes.all, before, strict=True):
        assert browser.client.frames[count:] == []


def test_a_store_that_fails_is_sent_nothing_until_it_works(nodes: Nodes) -> None:
    ann, names = nodes.all[0], [f"cache-{number}" for number in range(MAX_AT_ONCE + 10)]
    nodes.store_changes(0, "refuses")
    for name in names:
        ann.client.subscribe(name, settle=False)
    nodes.settle()
    before = nodes.store.calls
    for _ in range(3):
        nodes.node_ticks(TICK, 0)
    assert nodes.store.calls == before + 3, "but whether it works again"
    nodes.store_changes(0, "works")
    nodes.node_ticks(TICK, 0)
    assert nodes.store.calls == before + 3 + 1 + 2, "and then, all together"
    assert len(nodes.site.transport.occupied_channels("cache-")) == len(names)
    for _ in range(3):
        nodes.node_ticks(TICK, 0)


def test_what_a_node_knows_costs_no_call(nodes: Nodes) -> None:
    calls = nodes.store.calls
    for node in nodes.site.nodes:
        for item in (
            messages.MembersMessage(ROOM, 1, 2, [["eve", ""]], []),
            messages.CountMessage(NEWS, 9, 1),
        ):
            nodes.site.loop.call_soon(node.deliver, [item])
    nodes.settle()
    assert nodes.store.calls == calls
    nodes.check()


@pytest.mark.hypothesis
def test_everybody_sees_who_is_there_once_all_works_again() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Nodes,
        settings=settings(
            max_examples=scaled(100),
            stateful_step_count=30,
            suppress_health_check=list(HealthCheck),
        ),
    )
