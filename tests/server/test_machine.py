"""The server as a state machine: who receives what, in order, once, and who sees whom."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, event, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from realtime_drf import Event
from realtime_drf.cluster.memory_state import MemoryStore
from realtime_drf.cluster.state import NodeState, SyncResult
from realtime_drf.pusher_protocol import frames
from tests.examples import are_enough, scaled
from tests.server.harness import Clock, Site
from tests.server.model import (
    CACHE,
    CHANNELS,
    COUNTED,
    LIST,
    PUBLIC,
    ROOM,
    ROOMS,
    USERS,
    Browser,
    Cached,
    Sent,
    own_channel,
)

MAX_BROWSERS = 6
VACATED_DELAY = 3.0
CACHED_FOR = 10.0

LEAST_QUEUED = 0.1
"""In what part of the examples frames are queued at least; it is about half of them."""

OWN = "#"
"""Stands for the own channel of a user."""

ARRIVALS = {"channel_occupied": True, "channel_vacated": False}
ARRIVALS |= {"member_added": True, "member_removed": False}


class DawdlingStore(MemoryStore):
    """Take a while for each call, before the work and after it, so that others come between."""

    pauses = (0, 3, 1, 0, 7, 2, 0, 0, 5)

    def __init__(self, clock: Clock) -> None:
        super().__init__(vacated_delay=VACATED_DELAY, cached_for=CACHED_FOR, clock=clock)
        self._pauses = itertools.cycle(self.pauses)

    async def sync(self, node: str, slices: Sequence[NodeState]) -> SyncResult:
        await self._dawdle()
        outcome = await super().sync(node, slices)
        await self._dawdle()
        return outcome

    async def heartbeat(self, node: str, since: int) -> SyncResult:
        outcome = await super().heartbeat(node, since)
        await self._dawdle()
        return outcome

    async def recall(self, channel: str) -> str | None:
        await self._dawdle()
        text = await super().recall(channel)
        await self._dawdle()
        return text

    async def _dawdle(self) -> None:
        for _ in range(next(self._pauses)):
            await asyncio.sleep(0)


class PromptStore(DawdlingStore):
    """Answer at once."""

    pauses = (0,)


class ServerMachine(RuleBasedStateMachine):
    """Let browsers come, go, sign in and talk, and the project publish, on one node or several.

    A round is one step, or some that come together, as if at the same time. When all that comes of
    it is done, everything is compared: a browser that was on a channel all the time has received
    each of its events in order, once. One that came meanwhile has received the last of them, with
    no gap. One that left may have received what was sent before the server knew that it did.
    """

    nodes = 1
    store: type[DawdlingStore] = PromptStore
    examples = 0
    examples_that_queued = 0
    """Those in which a frame waited behind another for a browser that did not read."""

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        clock = Clock()
        self.site = Site(
            nodes=self.nodes,
            clock=clock,
            store=self.store(clock),
            client_events=True,
            subscription_counting=True,
        )
        self.site.__enter__()
        self.browsers: list[Browser] = []
        self.ended: list[Browser] = []
        """Those whose connections the server has ended in this round."""
        self.has_lost_sight = False
        """A browser has gone in this round, and what it had received is not compared."""
        self.worker = asyncio.Lock()
        self.sending: list[asyncio.Task[None]] = []
        self.cached: list[Cached] = []
        self.held: tuple[float, Sent] | None = None
        """The last event before this round, and until when it is kept."""
        self.numbers = 0
        self.queued = 0
        """Frames that were queued behind one for which a browser did not read."""
        self.reported: dict[tuple[str, str], bool] = {}
        for number in range(3):
            self.come(USERS[number], number)

    # One rule for all steps, since Hypothesis would leave out some rules of several.
    @rule(
        step=st.sampled_from(
            ["publish", "join"] * 6
            + ["sign_in", "come"] * 3
            + ["leave", "trigger"] * 2
            + ["end", "enter", "go", "forged_sign_in", "forged", "illegal", "nonsense"]
            + ["wait", "read"]
            + ["stick"] * 6
        ),
        who=st.integers(0, MAX_BROWSERS - 1),
        channel=st.sampled_from([*CHANNELS, ROOM, CACHE, CACHE, OWN]),
        number=st.integers(0, 7),
        is_last=st.booleans(),
    )
    def step(self, step: str, who: int, channel: str, number: int, is_last: bool) -> None:
        user = USERS[who % len(USERS)]
        if step == "come" or not self.browsers:
            self.come(user, number)
        elif step == "publish":
            self.publish(own_channel(user) if channel == OWN else channel, number)
        elif step == "end":
            self.end_connections(user)
        elif step == "wait":
            self.end_round()
            self.site.advance(number)
            self.check_reports()  # each node tells of its own: there is no order between them
        else:
            browser = self.browsers[who % len(self.browsers)]
            channel = own_channel(browser.user if number else user) if channel == OWN else channel
            self.act(step, browser, channel, number)
        if is_last:
            self.end_round()

    def act(self, step: str, browser: Browser, channel: str, number: int = 0) -> None:
        client = browser.client
        match step:
            case "join":
                self.join(browser, channel)
            case "enter":
                self.enter(browser, ROOM)
            case "leave":
                client.leave(channel, settle=False)
                browser.leave(channel)
            case "trigger":
                self.trigger(browser, channel)
            case "sign_in":
                watched = tuple(user for bit, user in enumerate(USERS) if number >> bit & 1)
                info = {"name": browser.user}
                client.sign_in(browser.user, info, watchlist=watched, settle=False)
                browser.sign_in(watched)
            case "stick":
                client.is_stuck = True
            case "read":
                self.read_on(browser)
            case "go":
                self.browsers.remove(browser)
                self.has_lost_sight = True
                client.disconnect(settle=False)
            case _:
                self.misbehave(step, browser)

    # Steps

    def come(self, user: str, number: int) -> None:
        if len(self.browsers) < MAX_BROWSERS:
            kind = len(self.site.clients) % 3
            client = self.site.connect(
                number % self.nodes, is_on_uvicorn=kind == 0, is_wrapped=kind == 1
            )
            self.browsers.append(Browser(client, user))
            self.browsers[-1].client.take()

    def join(self, browser: Browser, channel: str) -> None:
        if channel.startswith("#"):
            browser.client.subscribe(channel, auth="", settle=False)
            if not browser.is_signed_in or channel != own_channel(browser.user):
                browser.told["pusher:subscription_error"] += 1
                return
        else:
            browser.client.join(channel, browser.user, {"name": browser.user}, settle=False)
        browser.join(channel)

    def enter(self, browser: Browser, room: str) -> None:
        """Join with a token that leaves out who it is for: the user who has signed in."""
        client = browser.client
        auth = f"app-key:{self.site.transport.signer.sign(f'{client.socket_id}:{room}')}"
        client.subscribe(room, auth=auth, settle=False)
        if browser.is_signed_in or room in browser.channels:
            browser.join(room)
        else:
            browser.told["pusher:subscription_error"] += 1

    def misbehave(self, step: str, browser: Browser) -> None:
        client = browser.client
        match step:
            case "forged":
                signer = self.site.transport.signer
                auth = f"app-key:{signer.sign(f'{client.socket_id}:private-other')}"
                client.subscribe("private-lists.2", auth=auth, settle=False)
                browser.told["pusher:subscription_error"] += 1
            case "illegal":
                client.subscribe("no name", settle=False)
                browser.told["pusher:subscription_error"] += 1
            case "nonsense":
                client.say("{", settle=False)
                browser.told["pusher:error"] += 1
            case "forged_sign_in":
                data = {"auth": "app-key:00", "user_data": '{"id":"ann"}'}
                client.say({"event": "pusher:signin", "data": data}, settle=False)
                self.lose(browser)

    def read_on(self, browser: Browser) -> None:
        """Let a browser read what has waited for it, and count that."""
        client = browser.client
        was_stuck, before = client.is_stuck, len(client.sent)
        client.read_on()
        if was_stuck:
            self.queued += max(0, len(client.sent) - before - 1)  # the first was being sent

    def end_connections(self, user: str) -> None:
        self.site.transport.disconnect_user(user)
        for browser in [each for each in self.browsers if each.user == user]:
            if browser.was_signed_in:
                self.lose(browser)
            else:
                browser.may_end = True

    def lose(self, browser: Browser) -> None:
        self.browsers.remove(browser)
        self.ended.append(browser)

    def publish(self, channel: str, number: int) -> None:
        """Publish one event or two, on one channel or some, to all or to all but one browser."""
        is_one = number % 3 or channel.startswith("#")
        channels = [channel] if is_one else list(dict.fromkeys([channel, PUBLIC, ROOM]))
        excluded = self.browsers[number % len(self.browsers)] if number in (2, 3) else None
        socket_id = excluded.client.socket_id if excluded else None
        events = []
        for _ in range(1 + number % 2):
            self.numbers += 1
            events.append(Event("told", channels, {"n": self.numbers}, socket_id=socket_id))
            for each in channels:
                self.note(Sent(self.numbers, each), excluded)
                if each == CACHE:
                    self.cached.append(Cached(Sent(self.numbers, each), excluded))
        self.sending.append(self.site.loop.create_task(self.send(events, number)))

    async def send(self, events: Sequence[Event], pauses: int) -> None:
        """Send after a while, and after those that were to be sent before."""
        async with self.worker:
            for _ in range(pauses):
                await asyncio.sleep(0)
            self.site.send(*events)

    def trigger(self, browser: Browser, channel: str) -> None:
        # A round of its own: what clients and the project send has no order between them.
        self.end_round()
        if browser not in self.browsers:
            return
        self.site.clock.now += 0.2  # within the rate
        self.numbers += 1
        browser.client.trigger("client-told", channel, {"n": self.numbers}, settle=False)
        if channel in browser.channels and channel in (LIST, CACHE, *ROOMS):
            user = browser.user if channel in ROOMS else ""
            self.note(Sent(self.numbers, channel, user), browser)
        else:
            browser.told["pusher:error"] += 1
        self.end_round()

    def note(self, sent: Sent, excluded: Browser | None) -> None:
        for browser in self.browsers:
            if browser is not excluded:
                browser.sent.setdefault(sent.channel, []).append(sent)

    # What must be so

    def end_round(self) -> None:
        """Let all be done that is under way, and compare what came of it with the model."""
        self.site.settle()  # before anybody reads on, so that there is something to wait
        for browser in [*self.browsers, *self.ended]:
            self.read_on(browser)
        assert all(task.done() and task.exception() is None for task in self.sending)
        self.sending.clear()
        self.check_ended()
        misses = self.check_frames()
        for browser in self.browsers:
            self.check_browser(browser)
        for channel in CHANNELS:
            self.check_info(channel)
        self.check_reports(misses)
        self.check_counts()

    def check_ended(self) -> None:
        """The browsers that were to be disconnected are, and no others."""
        for browser in [each for each in self.browsers if each.may_end and each.is_signed_in]:
            if browser.client.close_code is not None:
                self.lose(browser)
        for browser in self.ended:
            assert browser.client.close_code == frames.UNAUTHORIZED
            browser.client.disconnect()
            self.has_lost_sight = True
        self.ended.clear()
        assert {browser.client.close_code for browser in self.browsers} <= {None}

    def check_frames(self) -> int:
        """Compare what each browser has received; return how often the cache had nothing."""
        now, held = self.site.clock.now, None
        if self.held is not None and self.held[0] > now:
            held = self.held[1]
        misses = sum(
            browser.end_round(held, self.cached, is_first=self.held is None)
            for browser in self.browsers
        )
        if self.cached:
            self.held = (now + CACHED_FOR, self.cached[-1].event)
            self.cached = []
        return misses

    def check_browser(self, browser: Browser) -> None:
        """It knows who is where, and who is online."""
        for room in browser.channels.intersection(ROOMS):
            assert browser.members[room] == {user: {"name": user} for user in self.there(room)}
        online = {each.user for each in self.browsers if each.is_signed_in}
        assert browser.online == online.intersection(browser.watched), browser

    def check_counts(self) -> None:
        """All on a channel know how many they are."""
        if self.nodes > 1 and not self.are_counts_known():
            self.site.advance(0)  # where the news of two nodes have crossed, the next beat helps
            self.check_frames()
            self.check_reports()
        assert self.are_counts_known(), [(each, each.counts) for each in self.browsers]

    def are_counts_known(self) -> bool:
        return all(
            browser.counts.get(channel) == self.count(channel)
            for browser in self.browsers
            for channel in browser.channels.intersection(COUNTED)
        )

    def there(self, channel: str) -> set[str]:
        return {browser.user for browser in self.browsers if channel in browser.channels}

    def count(self, channel: str) -> int:
        return sum(channel in browser.channels for browser in self.browsers)

    def check_info(self, channel: str) -> None:
        info = self.site.transport.channel_info(channel)
        assert info.user_count == (len(self.there(channel)) if channel in ROOMS else None)
        assert info.subscription_count == self.count(channel)

    def check_reports(self, misses: int = 0) -> None:
        """Arrivals and departures alternate; and each miss of the cache is reported."""
        reports = self.site.take_reports()
        for kind, channel, user in reports:
            if kind in ARRIVALS:
                is_there = ARRIVALS[kind]
                assert self.reported.get((channel, user), False) is not is_there, (kind, channel)
                self.reported[channel, user] = is_there
        missed = reports.count(("cache_miss", CACHE, ""))
        assert missed == misses or (self.has_lost_sight and missed > misses)
        self.has_lost_sight = False

    def teardown(self) -> None:
        """After quiet, the project knows exactly who is where; and in the end, nothing is left."""
        site, error = self.site, True
        type(self).examples_that_queued += self.queued > 0
        event("frames were queued" if self.queued else "no frame was queued")
        target(self.queued, label="frames that were queued")
        try:
            self.end_round()
            self.check_what_is_reported()
            while self.browsers:
                self.act("go", self.browsers[0], PUBLIC)
            self.check_what_is_reported()
            for node in site.nodes:
                assert node.hub.channels == node.connections == {}
            assert site.transport.occupied_channels() == {}
            error = False
        finally:
            site.__exit__(AssertionError if error else None)

    def check_what_is_reported(self) -> None:
        self.site.settle()
        self.site.advance(VACATED_DELAY)
        self.check_reports()
        there = {(channel, "") for channel in CHANNELS if self.count(channel)}
        there |= {(room, user) for room in ROOMS for user in self.there(room)}
        assert {key for key, is_there in self.reported.items() if is_there} == there


@pytest.mark.hypothesis
@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("store", [PromptStore, DawdlingStore], ids=["prompt", "dawdling"])
@pytest.mark.parametrize("nodes", [1, 2], ids=["one", "two"])
def test_everybody_receives_everything_in_order_and_once(
    nodes: int, store: type[DawdlingStore]
) -> None:
    class Machine(ServerMachine):
        pass

    Machine.nodes, Machine.store = nodes, store
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=scaled(100),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    if are_enough():
        assert Machine.examples_that_queued >= Machine.examples * LEAST_QUEUED
