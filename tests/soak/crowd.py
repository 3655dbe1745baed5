"""Clients who come and go, publishers who do not look, and what was missed in the end."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.services.pusher_js import PusherJS

KINDS = ("private-", "presence-", "private-encrypted-", "")
CHANNELS = tuple(f"{kind}rooms.{number}" for kind in KINDS for number in range(10))
RECENT: deque[str] = deque(CHANNELS[:1], maxlen=8)
"""Where somebody has just come: most is wrong there, if something is."""

SETTLED = 0.5
"""Seconds after which an event that was published has surely reached who was subscribed."""


@dataclass
class Stay:
    """A time in which a client is on a channel."""

    channel: str
    since: float
    until: float = float("inf")


@dataclass
class Client:
    """A client, the process that authorizes it, and what it has done."""

    js: PusherJS
    process: int
    stays: list[Stay] = field(default_factory=list)

    def come_and_go(self, is_over: threading.Event, chance: random.Random, factor: float) -> None:
        """Subscribe every three seconds, each time for a while."""
        held: dict[str, tuple[Stay, float]] = {}
        while not is_over.wait(chance.uniform(2, 4) / factor):
            for channel, (stay, leaves) in list(held.items()):
                if leaves < time.monotonic():
                    stay.until = time.monotonic()
                    self.js.unsubscribe(channel)
                    del held[channel]
            channel = chance.choice(CHANNELS)
            if channel not in held:
                self.js.subscribe(channel)
                stay = Stay(channel, time.monotonic())
                self.stays.append(stay)
                RECENT.append(channel)
                held[channel] = stay, time.monotonic() + chance.expovariate(factor / 8)


@dataclass(frozen=True)
class Tick:
    """An event that was published."""

    number: int
    channel: str
    process: int
    started: float
    ended: float

    @property
    def kind(self) -> str:
        return "public" if self.channel.startswith("rooms") else "private"


@dataclass
class Publisher:
    """A process, which publishes on any channel."""

    url: str
    process: int
    ticks: list[Tick] = field(default_factory=list)
    sent: int = 0

    def publish(
        self, is_over: threading.Event, chance: random.Random, number: Callable[[], int]
    ) -> None:
        """Publish on any channel, half of the time where somebody has just come."""
        while not is_over.wait(chance.uniform(0, 0.1)):
            channel = chance.choice(chance.choice([CHANNELS, tuple(RECENT)]))
            started, each = time.monotonic(), number()
            data = urllib.parse.urlencode({"channel": channel, "number": each}).encode()
            with urllib.request.urlopen(self.url, data, timeout=20) as answer:
                self.sent = json.load(answer)["events sent"]
            self.ticks.append(Tick(each, channel, self.process, started, time.monotonic()))


@dataclass(frozen=True)
class Missed:
    """An event that a client on its channel did not get."""

    tick: Tick
    was_granted_by_publisher: bool


@dataclass
class Outcome:
    """What was to arrive, by kind of channel, and what did not."""

    expected: Counter[str] = field(default_factory=Counter)
    missed: list[Missed] = field(default_factory=list)


def compare(clients: list[Client], ticks: list[Tick]) -> Outcome:
    """Compare what clients got with what was published while they were there."""
    outcome = Outcome()
    for client in clients:
        got = {event.data["number"] for event in client.js.events if event.name == "tick"}
        for tick in ticks:
            if any(each.channel == tick.channel for each in _during(client.stays, tick)):
                outcome.expected[tick.kind] += 1
                if tick.number not in got:
                    outcome.missed.append(Missed(tick, client.process == tick.process))
    return outcome


def _during(stays: list[Stay], tick: Tick) -> Iterator[Stay]:
    for stay in stays:
        if stay.since <= tick.started and tick.ended + SETTLED < stay.until:
            yield stay
