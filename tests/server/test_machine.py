"""The server as a state machine: who receives what, in order, once, and who sees whom."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from realtime_drf import Event
from realtime_drf.server.memory_store import MemoryStore
from realtime_drf.server.store import Outcome, Slice
from tests.server.harness import Client, Clock, Site

PUBLIC, LIST, ROOM, HALL = "news", "private-lists.1", "presence-room", "presence-hall"
CHANNELS = (PUBLIC, LIST, ROOM, HALL)
ROOMS = (ROOM, HALL)
USERS = ("ann", "bob", "eve")
MOST_BROWSERS = 6
VACATED_DELAY = 3.0

SUCCEEDED = "pusher_internal:subscription_succeeded"
ADDED, REMOVED = "pusher_internal:member_added", "pusher_internal:member_removed"
ARRIVALS = {"channel_occupied": True, "channel_vacated": False}
ARRIVALS |= {"member_added": True, "member_removed": False}


class DawdlingStore(MemoryStore):
    """Take a while for each call, before the work and after it, so that others come between."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(vacated_delay=VACATED_DELAY, clock=clock)
        self._pauses = itertools.cycle([0, 3, 1, 0, 7, 2, 0, 0, 5])

    async def sync(self, node: str, slices: Sequence[Slice]) -> Outcome:
        await self._dawdle()
        outcome = await super().sync(node, slices)
        await self._dawdle()
        return outcome

    async def beat(self, node: str, since: int) -> Outcome:
        outcome = await super().beat(node, since)
        await self._dawdle()
        return outcome

    async def _dawdle(self) -> None:
        for _ in range(next(self._pauses)):
            await asyncio.sleep(0)


class Sent(NamedTuple):
    """Hold an event on one of its channels, by the number that it carries."""

    number: int
    channel: str
    user: str = ""
    """Who sent it, of a client's on a presence channel."""


class Browser:
    """Model a browser: what it is on, what it is due, and what it has made of its frames."""

    def __init__(self, client: Client, user: str) -> None:
        self.client = client
        self.user = user
        self.channels: set[str] = set()
        self.members: dict[str, dict[str, Any]] = {}
        """The members of each presence channel, as pusher-js would show them."""
        self.begin_round()

    def __repr__(self) -> str:
        return f"<browser of {self.user}>"

    def begin_round(self) -> None:
        """Forget what was between two looks at everything."""
        self.stable = set(self.channels)
        """What it has been on all the time."""
        self.sent: dict[str, list[Sent]] = {}
        """What it receives of each channel if it is on it."""
        self.joined: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.errors = 0
        self.refusals = 0


class ServerMachine(RuleBasedStateMachine):
    """Let browsers come, go and talk, and the project publish, on one node or several.

    A round is one step, or some that come together, as if at the same time. When all that comes of
    it is done, everything is compared: a browser that was on a channel all the time has received
    each of its events in order, once. One that came meanwhile has received the last of them, with
    no gap. One that left may have received what was sent before the server knew that it did.
    """

    nodes = 1
    dawdles = False

    def __init__(self) -> None:
        super().__init__()
        clock = Clock()
        self.site = Site(
            nodes=self.nodes,
            clock=clock,
            store=DawdlingStore(clock) if self.dawdles else None,
            client_events=True,
            vacated_delay=VACATED_DELAY,
        )
        self.site.__enter__()
        self.browsers: list[Browser] = []
        self.numbers = 0
        self.reported: dict[tuple[str, str], bool] = {}
        for number in range(3):
            self.come(USERS[number], number)

    # One rule for all steps, since Hypothesis would leave out some rules of several.
    @rule(
        step=st.sampled_from(
            ["publish", "join"] * 4
            + ["leave", "trigger", "come"] * 2
            + ["go", "forged", "illegal", "nonsense", "wait", "stick", "read"]
        ),
        who=st.integers(0, MOST_BROWSERS - 1),
        channel=st.sampled_from([*CHANNELS, ROOM]),
        number=st.integers(0, 7),
        is_last=st.booleans(),
    )
    def step(self, step: str, who: int, channel: str, number: int, is_last: bool) -> None:
        if step == "come" or not self.browsers:
            self.come(USERS[who % len(USERS)], number)
        elif step == "publish":
            self.publish(channel, number)
        elif step == "wait":
            self.end_round()
            self.site.advance(number)
            self.check_reports()  # each node tells of its own: there is no order between them
        else:
            self.act(step, self.browsers[who % len(self.browsers)], channel)
        if is_last:
            self.end_round()

    def act(self, step: str, browser: Browser, channel: str) -> None:
        client = browser.client
        match step:
            case "join":
                self.join(browser, channel)
            case "leave":
                self.leave(browser, channel)
            case "trigger":
                self.trigger(browser, channel)
            case "go":
                self.browsers.remove(browser)
                client.disconnect(settle=False)
            case "forged":
                signer = self.site.transport.signer
                auth = f"app-key:{signer.sign(f'{client.socket_id}:private-other')}"
                client.subscribe("private-lists.2", auth=auth, settle=False)
                browser.refusals += 1
            case "illegal":
                client.subscribe("no name", settle=False)
                browser.refusals += 1
            case "nonsense":
                client.say("{", settle=False)
                browser.errors += 1
            case "stick":
                client.is_stuck = True
            case "read":
                client.read_on()

    # Steps

    def come(self, user: str, number: int) -> None:
        if len(self.browsers) < MOST_BROWSERS:
            self.browsers.append(Browser(self.site.connect(number % self.nodes), user))
            self.browsers[-1].client.take()

    def join(self, browser: Browser, channel: str) -> None:
        browser.client.join(channel, browser.user, {"name": browser.user}, settle=False)
        if channel in browser.channels:
            browser.errors += 1
        else:
            browser.channels.add(channel)
            browser.joined[channel] += 1

    def leave(self, browser: Browser, channel: str) -> None:
        browser.client.leave(channel, settle=False)
        if channel in browser.channels:
            browser.channels.remove(channel)
            browser.stable.discard(channel)
            browser.left[channel] += 1
        else:
            browser.errors += 1

    def publish(self, channel: str, number: int) -> None:
        """Publish one event or two, on one channel or some, to all or to all but one browser."""
        channels = [channel] if number % 3 else list(dict.fromkeys([channel, PUBLIC, ROOM]))
        excluded = self.browsers[number % len(self.browsers)] if number in (2, 3) else None
        socket_id = excluded.client.socket_id if excluded else None
        events = []
        for _ in range(1 + number % 2):
            self.numbers += 1
            events.append(Event("told", channels, {"n": self.numbers}, socket_id=socket_id))
            for each in channels:
                self.note(Sent(self.numbers, each), excluded)
        self.site.send(*events)

    def trigger(self, browser: Browser, channel: str) -> None:
        # A round of its own: what clients and the project send has no order between them.
        self.end_round()
        self.site.clock.now += 0.2  # within the rate
        self.numbers += 1
        browser.client.trigger("client-told", channel, {"n": self.numbers}, settle=False)
        if channel in browser.channels and channel != PUBLIC:
            user = browser.user if channel in ROOMS else ""
            self.note(Sent(self.numbers, channel, user), browser)
        else:
            browser.errors += 1
        self.end_round()

    def note(self, sent: Sent, excluded: Browser | None) -> None:
        for browser in self.browsers:
            if browser is not excluded:
                browser.sent.setdefault(sent.channel, []).append(sent)

    # What must be so

    def end_round(self) -> None:
        """Let all be done that is under way, and compare what came of it with the model."""
        for browser in self.browsers:
            browser.client.read_on()
        self.site.settle()
        for browser in self.browsers:
            self.check_frames(browser)
        for room in ROOMS:
            self.check_members(room)
        self.check_reports()

    def check_frames(self, browser: Browser) -> None:
        received: dict[str, list[Sent]] = {}
        told: Counter[str] = Counter()
        standing = {*browser.stable, *browser.left}
        for frame in browser.client.take():
            name, channel, data = frame["event"], frame.get("channel", ""), frame["data"]
            told[name if name in ("pusher:error", "pusher:subscription_error") else ""] += 1
            match name:
                case "told" | "client-told":
                    assert channel in standing, "an event came before its subscription stood"
                    sent = Sent(data["n"], channel, frame.get("user_id", ""))
                    received.setdefault(channel, []).append(sent)
                case "pusher_internal:subscription_succeeded":
                    standing.add(channel)
                    browser.joined[channel] -= 1
                    if channel in ROOMS:
                        browser.members[channel] = dict(data["presence"]["hash"])
                case "pusher_internal:member_added":
                    assert data["user_id"] not in browser.members[channel], "came twice"
                    browser.members[channel][data["user_id"]] = data["user_info"]
                case "pusher_internal:member_removed":
                    del browser.members[channel][data["user_id"]]
                case "pusher:ping":
                    browser.client.say({"event": "pusher:pong"}, settle=False)
                case "pusher:error" | "pusher:subscription_error":
                    pass
                case _:
                    raise AssertionError(frame)
        assert told["pusher:error"] == browser.errors
        assert told["pusher:subscription_error"] == browser.refusals
        assert set(browser.joined.values()) <= {0}, "one answer to each subscription"
        for channel in {*received, *browser.sent}:
            sent, got = browser.sent.get(channel, []), received.get(channel, [])
            self.check_events(browser, channel, sent, got)
        browser.begin_round()

    def check_events(
        self, browser: Browser, channel: str, sent: Sequence[Sent], got: Sequence[Sent]
    ) -> None:
        context = f"{browser} on {channel}: {got} of {sent}"
        if browser.left[channel]:
            rest = iter(sent)
            assert all(each in rest for each in got), f"order: {context}"
        elif channel in browser.stable:
            assert got == sent, context
        elif channel not in browser.channels:
            assert got == [], context
        else:
            assert got == sent[len(sent) - len(got) :], f"a gap: {context}"

    def check_members(self, room: str) -> None:
        there = {browser.user for browser in self.browsers if room in browser.channels}
        for browser in self.browsers:
            if room in browser.channels:
                assert browser.members[room] == {user: {"name": user} for user in there}
        info = self.site.transport.channel_info(room)
        assert info.user_count == len(there)
        connections = [browser for browser in self.browsers if room in browser.channels]
        assert info.subscription_count == len(connections)

    def check_reports(self) -> None:
        """Arrivals and departures come in turn."""
        for kind, channel, user in self.site.hear():
            if kind in ARRIVALS:
                is_there = ARRIVALS[kind]
                assert self.reported.get((channel, user), False) is not is_there, (kind, channel)
                self.reported[channel, user] = is_there

    def teardown(self) -> None:
        """After quiet, the project knows exactly who is where; and in the end, nothing is left."""
        site, error = self.site, True
        try:
            self.end_round()
            self.check_what_is_reported()
            while self.browsers:
                self.act("go", self.browsers[0], PUBLIC)
            self.check_what_is_reported()
            for node in site.nodes:
                assert node.roster.channels == node.connections == {}
            assert site.transport.occupied_channels() == {}
            error = False
        finally:
            site.__exit__(AssertionError if error else None)

    def check_what_is_reported(self) -> None:
        self.site.settle()
        self.site.advance(VACATED_DELAY)
        self.check_reports()
        there = {(channel, "") for browser in self.browsers for channel in browser.channels}
        there |= {
            (room, browser.user)
            for browser in self.browsers
            for room in ROOMS
            if room in browser.channels
        }
        assert {key for key, is_there in self.reported.items() if is_there} == there


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("dawdles", [False, True], ids=["prompt", "dawdling"])
@pytest.mark.parametrize("nodes", [1, 2], ids=["one", "two"])
def test_everybody_receives_everything_in_order_and_once(nodes: int, dawdles: bool) -> None:
    machine = type("Machine", (ServerMachine,), {"nodes": nodes, "dawdles": dawdles})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=150,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
