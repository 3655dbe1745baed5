"""Who is on which channel, for all processes together: the store.

Each process that serves browsers (a node) owns its part of every channel's state, its slice: how
many connections it has there, and on presence channels which users. A store puts the slices of all
nodes together. Only a node's own word changes its slice, so no two of them write the same thing,
and what a dead node leaves behind can be taken away as one.

Whatever changes for a channel as a whole (somebody is there now, nobody is any more, a user has
come or left) is told to exactly one caller, the one whose slice made the difference.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

VACATED_DELAY: Final = 3.0
"""Seconds after which a vacated channel is reported, if nobody has come back by then.

https://pusher.com/docs/channels/server_api/webhooks/#delayed-webhooks-and-client-disconnects
"""

CACHED_FOR: Final = 1800.0
"""Seconds for which a cache channel keeps its last event.

https://pusher.com/docs/channels/using_channels/cache-channels/
"""


class Slice(NamedTuple):
    """Hold one node's part of a channel."""

    channel: str
    subscriptions: int
    members: Mapping[str, str]
    """Of presence channels, by user id the JSON text of what is told of the user; empty is none."""


class Report(NamedTuple):
    """Say what has happened to a channel, for signals and webhooks."""

    kind: str
    channel: str
    time_ms: int
    user_id: str = ""


class View(NamedTuple):
    """Hold the state of a channel for all nodes together, and what a call has changed in it."""

    channel: str
    version: int = 0
    """Grows whenever somebody comes or leaves whose coming is told; 0 where nobody is."""
    subscriptions: int = 0
    members: Mapping[str, str] = {}
    previous: int = 0
    """The version before the call."""
    came: Sequence[str] = ()
    left: Sequence[str] = ()
    turned: bool | None = None
    """True if the call has made the channel occupied, False if vacant."""


class Outcome(NamedTuple):
    """Hold what a call returns: channels as they are now, and what is due to be reported."""

    views: Sequence[View] = ()
    reports: Sequence[Report] = ()


class Store(Protocol):
    """Keep the state of an app's channels. Methods may be called from any event loop."""

    is_shared: bool
    """Whether other processes see the same state."""

    async def sync(self, node: str, slices: Sequence[Slice]) -> Outcome:
        """Replace slices of a node; return a view for each, and reports."""

    async def beat(self, node: str) -> Outcome:
        """Say that a node is alive; return what dead nodes have left behind, and what is due."""

    async def read(self, channels: Sequence[str]) -> list[View]:
        """Return channels as they are, in the order asked for."""

    async def find(self, prefix: str) -> list[View]:
        """Return the occupied channels whose names start so."""

    async def remember(self, events: Mapping[str, str]) -> None:
        """Keep the last event of cache channels, as text, for a while."""

    async def recall(self, channel: str) -> str | None:
        """Return the last event of a cache channel, if it is kept still."""

    async def close(self) -> None:
        """Let go of connections of this event loop."""


@dataclass(slots=True)
class _State:
    slices: dict[str, Slice] = field(default_factory=dict)
    version: int = 0

    def count(self) -> int:
        return sum(each.subscriptions for each in self.slices.values())

    def members(self) -> dict[str, str]:
        merged: dict[str, str] = {}
        for each in self.slices.values():
            for user_id, info in each.members.items():
                merged.setdefault(user_id, info)
        return merged

    def view(self, channel: str) -> View:
        return View(channel, self.version, self.count(), self.members())


class MemoryStore:
    """Keep the state in this process.

    Args:
        vacated_delay: seconds after which an empty channel and a user's leaving are reported.
        cached_for: seconds for which cache channels keep their last event.
        clock: returns the time in seconds since 1970.
    """

    is_shared = False

    def __init__(
        self,
        *,
        vacated_delay: float = VACATED_DELAY,
        cached_for: float = CACHED_FOR,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._delay = vacated_delay
        self._cached_for = cached_for
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[str, _State] = {}
        self._versions = itertools.count(1)
        self._pending: dict[tuple[str, str], float] = {}
        self._cached: dict[str, tuple[float, str]] = {}

    async def sync(self, node: str, slices: Sequence[Slice]) -> Outcome:
        reports: list[Report] = []
        with self._lock:
            views = [self._replace(node, each, reports) for each in slices]
        return Outcome(views, reports)

    async def beat(self, node: str) -> Outcome:
        now = self._clock()
        with self._lock:
            due = [key for key, since in self._pending.items() if now - since >= self._delay]
            reports = [_departure(key, self._pending.pop(key)) for key in due]
            for channel, (kept_until, _) in list(self._cached.items()):
                if kept_until <= now:
                    del self._cached[channel]
        return Outcome((), reports)

    async def read(self, channels: Sequence[str]) -> list[View]:
        with self._lock:
            return [self._view(channel) for channel in channels]

    async def find(self, prefix: str) -> list[View]:
        with self._lock:
            return [self._view(name) for name in sorted(self._states) if name.startswith(prefix)]

    async def remember(self, events: Mapping[str, str]) -> None:
        until = self._clock() + self._cached_for
        with self._lock:
            self._cached.update({channel: (until, text) for channel, text in events.items()})

    async def recall(self, channel: str) -> str | None:
        with self._lock:
            until, text = self._cached.get(channel, (0.0, None))
        return text if until > self._clock() else None

    async def close(self) -> None:
        pass

    def _view(self, channel: str) -> View:
        state = self._states.get(channel)
        return View(channel) if state is None else state.view(channel)

    def _replace(self, node: str, new: Slice, reports: list[Report]) -> View:
        state = self._states.setdefault(new.channel, _State())
        before = state.view(new.channel)
        if new.subscriptions:
            state.slices[node] = new
        else:
            state.slices.pop(node, None)
        after = state.view(new.channel)
        if not state.slices:
            del self._states[new.channel]
        came = tuple(user for user in after.members if user not in before.members)
        left = tuple(user for user in before.members if user not in after.members)
        is_occupied, was_occupied = bool(after.subscriptions), bool(before.subscriptions)
        turned = is_occupied if is_occupied != was_occupied else None
        if came or left or turned is not None:
            state.version = next(self._versions)
        reports += self._report(new.channel, came, left, turned)
        return after._replace(
            version=state.version, previous=before.version, came=came, left=left, turned=turned
        )

    def _report(
        self, channel: str, came: Iterable[str], left: Iterable[str], turned: bool | None
    ) -> Iterable[Report]:
        """Yield who has come, unless they were hardly gone; note who has left, for later."""
        now = self._clock()
        arrivals = [*([""] if turned else []), *came]
        for user_id in arrivals:
            if self._pending.pop((channel, user_id), None) is None:
                kind = "member_added" if user_id else "channel_occupied"
                yield Report(kind, channel, int(now * 1000), user_id)
        for user_id in [*left, *([""] if turned is False else [])]:
            self._pending[channel, user_id] = now


def _departure(key: tuple[str, str], since: float) -> Report:
    channel, user_id = key
    kind = "member_removed" if user_id else "channel_vacated"
    return Report(kind, channel, int(since * 1000), user_id)


def finish(coroutine: Any) -> Any:
    """Run a coroutine that never waits, such as a `MemoryStore`'s, where there is no event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise RuntimeError("The coroutine waits for something.")
