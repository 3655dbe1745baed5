"""The law of occupancy as a state machine: an event to an occupied channel is never skipped.

Several workers share one cache. Webhooks come late, doubled, out of order or never; the cache
forgets, fails and is slow; while a worker waits for the cache or for a listing, others act.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.cache.backends.locmem import LocMemCache
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from realtime_drf import Event
from realtime_drf.occupancy import (
    GRACE,
    KEPT_FOR,
    LISTED_FOR,
    REST,
    SKEW,
    SLOW,
    VACATED_FOR,
    Occupancy,
)
from realtime_drf.protocols import WebhookEvent
from tests.examples import scaled

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


class World:
    """The truth: the time, and who is on which channel; what the service has yet to report."""

    def __init__(self, skew: float) -> None:
        self.now = 1_000_000.0
        self.skew = skew
        self.granted: dict[str, list[float]] = {name: [] for name in CHANNELS}
        self.subscribers = dict.fromkeys(CHANNELS, 0)
        self.webhooks: list[WebhookEvent] = []
        self.delivered: list[WebhookEvent] = []
        self.knowing: dict[str, set[int]] = {name: set() for name in CHANNELS}
        """Which workers word of the present occupation has reached, or must have."""
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
            self.knowing[channel] = set()
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

    def __init__(self, world: World) -> None:
        self.world = world

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
                self.world.knowing[name] |= WORKERS
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
                Service(self.world),
                lambda: self.cache,
                clock=self.world.clock,
                call=lambda function, timeout: function(),
            )
            for _ in WORKERS
        ]

    # One rule for all steps, since Hypothesis would leave out some rules of several.
    @rule(
        step=st.sampled_from(
            ["subscribe", "leave", "wait", "vacate"] * 4
            + ["deliver", "meanwhile"] * 3
            + ["grant", "visit", "settle", "evict", "skew", "up"] * 2
            + ["outage", "replay"] * 3
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
                world.now += REST
            case "replay":
                if number % 3:
                    self.evict(0)
                for event in [each for each in world.delivered if each.channel == channel][-3:-1]:
                    self.workers[worker].learn([event])
            case "lose" if world.webhooks:
                world.webhooks.pop(number % len(world.webhooks))
            case "wait":
                world.now += WAITS[number % len(WAITS)]
            case "evict":
                self.evict(number)
            case "down" | "up":
                self.set_cache(is_down=step == "down")
            case "slow":
                self.cache.delay = SLOW * 2 if number == 0 else 0.0
            case "broken":
                world.is_listing_broken = number % 3 == 0
            case "skew":
                world.skew = (-SKEW + 1, 0.0, SKEW - 1)[number % 3]

    def grant(self, channel: str, worker: int) -> None:
        if channel.startswith("private-"):
            self.workers[worker].mark_occupied([channel])
            self.world.granted[channel].append(self.world.now)

    def subscribe(self, channel: str, worker: int, number: int) -> None:
        """Come with a grant of now, or of a while ago; on a public channel, without."""
        if not channel.startswith("private-"):
            self.world.subscribe(channel)
            return
        grants = self.world.granted[channel]
        recent = [at for at in grants if self.world.now - at < GRACE - SKEW]
        if number % 2 or not recent:
            self.grant(channel, worker)
        self.world.subscribe(channel)
        self.world.knowing[channel] |= self.reached(worker)

    def deliver(self, worker: int, number: int) -> None:
        """Bring any of what waits, perhaps to bring it once more."""
        world = self.world
        index = (0, -1, number)[number % 3] % len(world.webhooks)
        event = world.webhooks[index] if number % 4 == 0 else world.webhooks.pop(index)
        self.workers[worker].learn([event])
        world.delivered.append(event)
        is_present = event.details["occupation"] == world.occupations[event.channel]
        if event.kind == "channel_occupied" and is_present:
            world.knowing[event.channel] |= self.reached(worker)

    def reached(self, worker: int) -> set[int]:
        """Return which workers now know what one was told: it alone while the cache is down."""
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
                worker._repay()
            for knowing in self.world.knowing.values():
                if knowing:
                    knowing |= WORKERS

    def publish(self, channels: tuple[str, ...], worker: int) -> None:
        world = self.world
        known = {n for n in channels if world.subscribers[n] and worker in world.knowing[n]}
        occupations = {name: world.occupations[name] for name in known}
        sent = self.workers[worker].filter([Event("e", channels)])
        went = {name for event in sent for name in event.channels}
        # Others act meanwhile: where all have left by now, nobody misses the event.
        must_go = {
            name
            for name, occupation in occupations.items()
            if world.subscribers[name] and occupation == world.occupations[name]
        }
        assert must_go <= went, f"skipped: {must_go - went}"

    def teardown(self) -> None:
        """After quiet, in a cache that works, what is vacant is skipped: one listing suffices."""
        world = self.world
        world.meanwhile.clear()
        world.is_listing_broken, self.cache.delay = False, 0.0
        self.set_cache(is_down=False)
        world.now += KEPT_FOR + REST
        for prefix in ("private-lists.", "news."):
            names = [name for name in CHANNELS if name.startswith(prefix)]
            self.workers[1].filter([Event("e", names)])
            world.now += GRACE + LISTED_FOR
            before = world.listings
            for worker in (0, 1, 2) * 3:
                sent = self.workers[worker].filter([Event("e", names)])
                went = {name for event in sent for name in event.channels}
                assert went == {name for name in names if world.subscribers[name]}
            assert world.listings - before <= 1


@pytest.mark.hypothesis
def test_an_event_to_an_occupied_channel_is_never_skipped(caplog: Any) -> None:
    caplog.set_level("CRITICAL")
    run_state_machine_as_test(
        OccupancyMachine,
        settings=settings(
            max_examples=scaled(250),
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
