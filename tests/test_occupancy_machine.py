"""The law of occupancy as a state machine: an event to an occupied channel is never skipped.

Several workers share one cache. Webhooks come late, doubled, out of order or never; the cache
forgets, fails, is slow and goes back to an older state; while a worker waits for the cache or for a
listing, others act.
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.cache.backends.locmem import LocMemCache
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from realtime_drf import Event
from realtime_drf.occupancy import Occupancy
from realtime_drf.occupancy.knowledge import COOLDOWN, KEPT_FOR, SLOW_CALL
from realtime_drf.occupancy.vacancy import (
    GRACE,
    LISTED_FOR,
    SKEW,
    VACATED_FOR,
    Found,
    is_vacant,
    read_listing,
    read_observation,
    read_time,
)
from realtime_drf.webhook_events import WebhookEvent
from tests.examples import are_enough, scaled

CHANNELS = ("private-lists.1", "news.1")
WAITS = (
    0.1,
    1.0,
    SKEW + 1,
    SKEW + 1,
    LISTED_FOR,
    GRACE - SKEW - 1,
    GRACE + 1,
    VACATED_FOR,
    KEPT_FOR,
)

WORKERS = frozenset(range(3))

numbers = itertools.count()

REACHED = {
    "an event was skipped": 1000,
    "the cache went back": 500,
    "the cache went back, and only what a worker itself knew had an event sent": 50,
    "a listing spared an event": 200,
    "a report was pending": 200,
}
"""What the machine is for, and how often it must come to it in all examples together."""


@dataclass
class Word:
    """A "yes" about a channel, and whom it has reached."""

    at: float
    worker: int
    reached: set[int]
    is_pending: bool


@dataclass
class Copy:
    """The state of the cache at some time, and what workers knew by it."""

    at: float
    data: Any
    knowing: dict[str, set[int]]
    occupations: dict[str, int]


@dataclass
class Knowledge:
    """Which workers know of the present occupation of a channel, or must."""

    all: set[int] = field(default_factory=set)
    own: set[int] = field(default_factory=set)
    """Those that granted it or got a report, and do not depend on the cache."""
    is_pending: bool = False


class World:
    """The truth: the time, and who is on which channel; what the service has yet to report."""

    def __init__(self, skew: float) -> None:
        self.now = 1_000_000.0
        self.skew = skew
        self.granted: dict[str, list[Word]] = {name: [] for name in CHANNELS}
        self.subscribers = dict.fromkeys(CHANNELS, 0)
        self.webhooks: list[WebhookEvent] = []
        self.delivered: list[WebhookEvent] = []
        self.knowing = {name: Knowledge() for name in CHANNELS}
        self.occupations = dict.fromkeys(CHANNELS, 0)
        self.is_listing_broken = False
        self.listings = 0
        self.meanwhile: list[Callable[[], None]] = []

    def clock(self) -> float:
        self.now += 1e-6
        return self.now

    def report(self, kind: str, channel: str) -> None:
        time_ms = int((self.now + self.skew) * 1000)
        details = {"occupation": self.occupations[channel]}
        self.webhooks.append(
            WebhookEvent(kind=kind, channel=channel, time_ms=time_ms, details=details)
        )

    def subscribe(self, channel: str) -> None:
        if not self.subscribers[channel]:
            self.occupations[channel] += 1
            self.knowing[channel] = Knowledge()
            self.report("channel_occupied", channel)
        self.subscribers[channel] += 1

    def unsubscribe(self, channel: str) -> None:
        if self.subscribers[channel]:
            self.subscribers[channel] -= 1
            if not self.subscribers[channel]:
                self.report("channel_vacated", channel)

    def let_others_act(self) -> None:
        if self.meanwhile:
            self.meanwhile.pop(0)()


class Service:
    """Stand in for a transport, which lists what is true when it is asked."""

    alias = "default"
    app_id = "1"
    supports_channel_info = True

    def __init__(self, world: World, worker: int) -> None:
        self.world = world
        self.worker = worker

    def occupied_channels(self, prefix: str) -> dict[str, None]:
        self.world.listings += 1
        if self.world.is_listing_broken:
            raise ConnectionError
        names = {n: None for n, count in self.world.subscribers.items() if count}
        occupations = dict(self.world.occupations)
        self.world.let_others_act()
        listed = {name: None for name in names if name.startswith(prefix)}
        for name in listed:
            if self.world.subscribers[name] and occupations[name] == self.world.occupations[name]:
                self.world.knowing[name].all |= WORKERS
                self.world.knowing[name].own.add(self.worker)
        return listed


class FaultyCache(LocMemCache):
    """Fail, dawdle, and let others act before each call."""

    def __init__(self, world: World) -> None:
        super().__init__(f"machine-{next(numbers)}", {"TIMEOUT": None})
        self.world = world
        self.is_down = False
        self.delay = 0.0
        self.depth = 0

    @contextmanager
    def call(self) -> Iterator[None]:
        if self.depth == 0:
            self.world.let_others_act()
            self.world.now += self.delay
            if self.is_down:
                raise ConnectionError("redis://:password@cache")
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def add(self, *args: Any, **kwargs: Any) -> Any:
        with self.call():
            return super().add(*args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> Any:
        with self.call():
            return super().set(*args, **kwargs)

    def set_many(self, *args: Any, **kwargs: Any) -> Any:
        with self.call():
            return super().set_many(*args, **kwargs)

    def get_many(self, *args: Any, **kwargs: Any) -> Any:
        with self.call():
            return super().get_many(*args, **kwargs)

    def look(self, key: str) -> Any:
        """Return a value as it is now, whatever the cache would answer."""
        return LocMemCache.get(self, key)

    def copy(self) -> Any:
        return copy.deepcopy((self._cache, self._expire_info))  # type: ignore[attr-defined]

    def go_back(self, data: Any) -> None:
        for mine, theirs in zip((self._cache, self._expire_info), data, strict=True):  # type: ignore[attr-defined]
            mine.clear()
            mine.update(theirs)

    def _has_expired(self, key: str) -> bool:
        expires: float | None = self._expire_info.get(key, -1)  # type: ignore[attr-defined]
        return expires is not None and expires <= self.world.now

    def get_backend_timeout(self, timeout: Any = None) -> float | None:
        return None if timeout is None else self.world.now + timeout


class OccupancyMachine(RuleBasedStateMachine):
    """Let workers publish, grant and receive, and the world go its way."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(skew=0.0)
        self.cache = FaultyCache(self.world)
        self.workers = [
            Occupancy(
                Service(self.world, worker),
                lambda: self.cache,
                clock=self.world.clock,
                call=lambda function, timeout: function(),
            )
            for worker in sorted(WORKERS)
        ]
        self.copy: Copy | None = None
        self.has_gone_back = False

    # One rule for all steps, since Hypothesis would leave out some rules of several.
    @rule(
        step=st.sampled_from(
            ["subscribe", "leave", "wait", "vacate"] * 4
            + ["deliver", "meanwhile"] * 3
            + ["grant", "visit", "settle", "evict", "skew", "up"] * 2
            + ["outage", "replay", "failover"] * 3
            + ["copy", "go back"]
            + ["lose", "down", "slow", "broken"]
        ),
        channel=st.sampled_from(["private-lists.1", "private-lists.1", "news.1"]),
        worker=st.sampled_from([0, 0, 1, 2]),
        number=st.integers(0, 20),
        then=st.sampled_from(["publish", "subscribe", "leave", "deliver", "wait", "settle"]),
    )
    def step(self, step: str, channel: str, worker: int, number: int, then: str) -> None:
        if step == "meanwhile":
            self.world.meanwhile.append(lambda: self.act(then, channel, worker, number % 3))
        else:
            self.act(step, channel, worker, number)
            self.publish(CHANNELS, worker)

    def act(self, step: str, channel: str, worker: int, number: int) -> None:
        world = self.world
        match step:
            case "publish":
                self.publish(CHANNELS if number % 2 else (channel,), worker)
            case "grant":
                self.grant(channel, worker)
            case "subscribe":
                self.subscribe(channel, worker, number)
            case "leave":
                for _ in range(world.subscribers[channel] if number % 4 else 1):
                    world.unsubscribe(channel)
            case "vacate":
                world.now += GRACE + 1
                while world.subscribers[channel]:
                    world.unsubscribe(channel)
                self.deliver_all(worker)
            case "deliver" if world.webhooks:
                self.deliver(worker, number)
            case "settle":
                self.deliver_all(worker)
            case "visit":
                self.subscribe(channel, worker, 1)
                self.deliver_all(worker)
                world.now += WAITS[number % len(WAITS)]
                world.unsubscribe(channel)
            case "outage":
                self.set_cache(is_down=True)
                self.act("subscribe" if number % 2 else "settle", channel, worker, number)
                self.set_cache(is_down=False)
                world.now += COOLDOWN
            case "replay":
                if number % 3:
                    self.evict(0)
                for event in [each for each in world.delivered if each.channel == channel][-3:-1]:
                    self.workers[worker].learn([event])
            case "lose" if world.webhooks:
                world.webhooks.pop(number % len(world.webhooks))
            case "wait":
                world.now += WAITS[number % len(WAITS)]
            case "failover":
                # The older copy knows the channel as vacant more often than not.
                if number % 3:
                    self.act("visit", channel, worker, 6)
                    self.deliver_all(worker)
                self.take_copy()
                again = "subscribe" if number % 2 else "settle"
                world.subscribe(channel) if again == "settle" else None
                self.act(again, channel, worker, number)
                self.go_back()
            case "copy":
                self.take_copy()
            case "go back":
                self.go_back()
            case "evict":
                self.evict(number)
            case "down" | "up":
                self.set_cache(is_down=step == "down")
            case "slow":
                self.cache.delay = SLOW_CALL * 2 if number == 0 else 0.0
            case "broken":
                world.is_listing_broken = number % 3 == 0
            case "skew":
                world.skew = (-SKEW + 1, 0.0, SKEW - 1)[number % 3]

    def grant(self, channel: str, worker: int) -> None:
        if channel.startswith("private-"):
            self.workers[worker].mark_occupied([channel])
            word = Word(self.world.now, worker, self.reached(worker), self.cache.is_down)
            self.world.granted[channel].append(word)

    def subscribe(self, channel: str, worker: int, number: int) -> None:
        """Come with a grant of now, or of a while ago; on a public channel, without."""
        if not channel.startswith("private-"):
            self.world.subscribe(channel)
            return
        if number % 2 or not self.recent_grants(channel):
            self.grant(channel, worker)
        self.world.subscribe(channel)
        knowing = self.world.knowing[channel]
        for word in self.recent_grants(channel):
            knowing.all |= word.reached
            knowing.own.add(word.worker)
        knowing.is_pending = knowing.is_pending or self.cache.is_down

    def recent_grants(self, channel: str) -> list[Word]:
        words = self.world.granted[channel]
        return [word for word in words if self.world.now - word.at < GRACE - SKEW]

    def deliver(self, worker: int, number: int) -> None:
        """Bring any of what waits, perhaps to bring it once more."""
        world = self.world
        index = (0, -1, number)[number % 3] % len(world.webhooks)
        event = world.webhooks[index] if number % 4 == 0 else world.webhooks.pop(index)
        self.workers[worker].learn([event])
        world.delivered.append(event)
        is_present = event.details["occupation"] == world.occupations[event.channel]
        if event.kind == "channel_occupied" and is_present:
            knowing = world.knowing[event.channel]
            knowing.all |= self.reached(worker)
            knowing.own.add(worker)
            knowing.is_pending = knowing.is_pending or self.cache.is_down

    def take_copy(self) -> None:
        knowing = {name: set(each.all) for name, each in self.world.knowing.items()}
        occupations = dict(self.world.occupations)
        self.copy = Copy(self.world.now, self.cache.copy(), knowing, occupations)

    def go_back(self) -> None:
        """Lose what was written since the copy; processes keep what they themselves know."""
        if self.copy is None:
            return
        count("the cache went back")
        self.has_gone_back = True
        self.cache.go_back(self.copy.data)
        for name, knowing in self.world.knowing.items():
            is_same = self.copy.occupations[name] == self.world.occupations[name]
            knowing.all = knowing.own | (self.copy.knowing[name] if is_same else set())
            for word in self.world.granted[name]:
                if word.at > self.copy.at:
                    word.reached = {word.worker}

    def reached(self, worker: int) -> set[int]:
        """Return which workers now know what one got: it alone while the cache is down."""
        return {worker} if self.cache.is_down else set(WORKERS)

    def deliver_all(self, worker: int) -> None:
        for _ in range(len(self.world.webhooks)):
            if self.world.webhooks:
                self.deliver(worker, 6)

    def evict(self, number: int) -> None:
        if number == 0:
            self.cache.clear()
            return
        keys = sorted(self.cache._cache)  # type: ignore[attr-defined]
        if keys:
            key = keys[number % len(keys)]
            del self.cache._cache[key], self.cache._expire_info[key]  # type: ignore[attr-defined]

    def set_cache(self, *, is_down: bool) -> None:
        """Let the cache go or come back; then each worker writes what it owes, before it skips."""
        self.cache.is_down = is_down
        if not is_down:
            for worker in self.workers:
                if worker._pending:
                    count("a report was pending")
                worker._write_pending()
            for knowing in self.world.knowing.values():
                if knowing.is_pending:
                    knowing.all |= WORKERS
                    knowing.is_pending = False
            for word in itertools.chain(*self.world.granted.values()):
                if word.is_pending:
                    word.reached = set(WORKERS)
                    word.is_pending = False

    def publish(self, channels: tuple[str, ...], worker: int) -> None:
        world = self.world
        known = {n for n in channels if world.subscribers[n] and worker in world.knowing[n].all}
        occupations = {name: world.occupations[name] for name in known}
        forgotten = {name for name in known if self.is_vacant_by_the_cache(name, worker)}
        sent = self.workers[worker].filter([Event("e", channels)])
        went = {name for event in sent for name in event.channels}
        # Others act meanwhile: where all have left by now, nobody misses the event.
        must_go = {
            name
            for name, occupation in occupations.items()
            if world.subscribers[name] and occupation == world.occupations[name]
        }
        assert must_go <= went, f"skipped: {must_go - went}"
        if forgotten & must_go and self.has_gone_back:
            count("the cache went back, and only what a worker itself knew had an event sent")
        if set(channels) - went:
            count("an event was skipped")

    def is_vacant_by_the_cache(self, name: str, worker: int) -> bool:
        key = self.workers[worker]._key
        found = Found(
            read_observation(self.cache.look(key("observed", name))),
            read_time(self.cache.look(key("vacated", name))),
            read_listing(self.cache.look(key("listing", name.rpartition(".")[0] + "."))),
        )
        return is_vacant(name, found, 0.0, self.world.now)

    def teardown(self) -> None:
        """After quiet, in a cache that works, what is vacant is skipped: one listing suffices."""
        world = self.world
        world.meanwhile.clear()
        world.is_listing_broken, self.cache.delay = False, 0.0
        self.set_cache(is_down=False)
        world.now += KEPT_FOR + COOLDOWN
        for prefix in ("private-lists.", "news."):
            names = [name for name in CHANNELS if name.startswith(prefix)]
            self.workers[1].filter([Event("e", names)])
            world.now += GRACE + LISTED_FOR
            before = world.listings
            for worker in (0, 1, 2) * 3:
                sent = self.workers[worker].filter([Event("e", names)])
                went = {name for event in sent for name in event.channels}
                assert went == {name for name in names if world.subscribers[name]}
                if went != set(names):
                    count("a listing spared an event")
            assert world.listings - before <= 1


counts: Counter[str] = Counter()


def count(what: str) -> None:
    counts[what] += 1
    event(what)


@pytest.mark.hypothesis
def test_an_event_to_an_occupied_channel_is_never_skipped(caplog: Any) -> None:
    caplog.set_level("CRITICAL")
    counts.clear()
    run_state_machine_as_test(
        OccupancyMachine,
        settings=settings(
            max_examples=scaled(250),
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    if are_enough():
        missed = {what for what, least in REACHED.items() if counts[what] < scaled(least)}
        assert not missed, counts
