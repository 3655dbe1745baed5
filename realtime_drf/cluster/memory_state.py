"""The store of an app that one process serves: the state is in its memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from realtime_drf.cluster.state import (
    CACHED_FOR,
    CHANGES_KEPT_FOR,
    LEASE,
    VACATED_DELAY,
    ChannelState,
    NodeState,
    StateChange,
    SyncResult,
)
from realtime_drf.forks import ForkLock

SECOND: Final = 1_000_000
"""The numbers of calls grow with the time, in microseconds."""


@dataclass(slots=True)
class _Channel:
    """A channel with subscribers."""

    name: str
    version: int = 0
    states: dict[str, NodeState] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)

    def count(self) -> int:
        return sum(each.subscriptions for each in self.states.values())

    def has(self, user_id: str) -> bool:
        return any(user_id in each.members for each in self.states.values())

    def get_state(self) -> ChannelState:
        return ChannelState(self.name, self.version, self.count(), dict(self.members))


@dataclass(slots=True)
class _Node:
    """A node: since which call it is known, and until when it counts as alive."""

    known_since: int
    lease: int = 0
    channels: set[str] = field(default_factory=set)


class MemoryStore:
    """A store in this process.

    Args:
        vacated_delay: seconds after which an empty channel and a user's leaving are reported.
        cached_for: seconds for which cache channels keep their last event.
        lease: seconds after which a node without a heartbeat counts as dead.
        clock: returns the time in seconds since 1970.
    """

    is_shared = False

    def __init__(
        self,
        *,
        vacated_delay: float = VACATED_DELAY,
        cached_for: float = CACHED_FOR,
        lease: float = LEASE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._delay = int(vacated_delay * 1000)
        self._cached_for = cached_for
        self._lease = int(lease * SECOND)
        self._clock = clock
        self._lock = ForkLock()
        self._number = 0
        self._nodes: dict[str, _Node] = {}
        self._channels: dict[str, _Channel] = {}
        self._changed: dict[str, int] = {}
        self._forgotten = 0
        """The last number of changes that are no longer known."""
        self._pending: dict[tuple[str, str], int] = {}
        self._cached: dict[str, tuple[float, str]] = {}

    async def sync(self, node: str, states: Sequence[NodeState]) -> SyncResult:
        with self._lock:
            now = self._begin()
            known = self._renew(node, now)
            reports: list[StateChange] = []
            channels = [self._change(each.channel, {node: each}, now, reports) for each in states]
            return SyncResult(channels, reports, self._number, known.known_since)

    async def heartbeat(self, node: str, since: int) -> SyncResult:
        with self._lock:
            now = self._begin()
            known = self._renew(node, now)
            since = max(since, known.known_since)
            if since < self._forgotten:
                since = known.known_since = self._number
            self._sweep(now)
            changed = {name: version for name, version in self._changed.items() if version > since}
            self._forget_old(now)
            reports = list(self._depart(now))
            return SyncResult((), reports, self._number, known.known_since, changed)

    async def read(self, channels: Sequence[str]) -> list[ChannelState]:
        with self._lock:
            return [self._read(channel) for channel in channels]

    async def find(self, prefix: str) -> list[ChannelState]:
        with self._lock:
            names = sorted(name for name in self._channels if name.startswith(prefix))
            states = [self._read(name) for name in names]
            return [state for state in states if state.subscriptions]

    async def remember(self, events: Mapping[str, str], age: float = 0.0) -> None:
        until = self._clock() + self._cached_for
        with self._lock:
            for channel, text in events.items():
                if not age or self._cached.get(channel, (0.0, ""))[0] <= until - age:
                    self._cached[channel] = (until, text)

    async def recall(self, channel: str) -> str | None:
        with self._lock:
            until, text = self._cached.get(channel, (0.0, None))
        return text if until > self._clock() else None

    async def close(self) -> None:
        pass

    def _begin(self) -> int:
        """Give the call a number, and return the time."""
        now = self._now()
        self._number = max(self._number + 1, now)
        return now

    def _now(self) -> int:
        return int(self._clock() * SECOND)

    def _renew(self, name: str, now: int) -> _Node:
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = _Node(self._number)
        node.lease = now + self._lease
        return node

    def _read(self, name: str) -> ChannelState:
        channel, now = self._channels.get(name), self._now()
        if channel is None or all(node.lease <= now for node in self._nodes.values()):
            return ChannelState(name, self._number or now - 1)
        return channel.get_state()

    # Changes

    def _sweep(self, now: int) -> None:
        """Remove the states of dead nodes, all of a channel at once."""
        dead = [name for name, node in self._nodes.items() if node.lease <= now]
        states: dict[str, dict[str, NodeState]] = {}
        for name in dead:
            for channel in self._nodes.pop(name).channels:
                states.setdefault(channel, {})[name] = NodeState(channel, 0, {})
        for channel in sorted(states):
            self._change(channel, states[channel], now, [], always=True)

    def _change(
        self,
        name: str,
        states: Mapping[str, NodeState],
        now: int,
        reports: list[StateChange],
        *,
        always: bool = False,
    ) -> ChannelState:
        """Replace states of nodes; the channel's version changes if it differs, or `always`."""
        channel = self._channels.setdefault(name, _Channel(name))
        before = channel.count()
        for node, state in states.items():
            self._put(channel, node, state)
        joined, left = _update_members(channel, states.values())
        count, previous = channel.count(), channel.version
        turned = bool(count) if bool(count) != bool(before) else None
        is_counted = any(state.is_counted for state in states.values())
        if always or joined or left or turned is not None or (is_counted and count != before):
            channel.version = self._changed[name] = self._number
        if not count:
            del self._channels[name]
            channel.version = self._number
        reports += self._report(name, joined, left, turned, now)
        return channel.get_state()._replace(
            previous=previous, joined=joined, left=left, turned=turned
        )

    def _put(self, channel: _Channel, node: str, state: NodeState) -> None:
        if state.subscriptions:
            channel.states[node] = state
            self._nodes[node].channels.add(channel.name)
        else:
            channel.states.pop(node, None)
            if node in self._nodes:
                self._nodes[node].channels.discard(channel.name)

    # Reports

    def _report(
        self,
        channel: str,
        joined: Iterable[str],
        left: Iterable[str],
        turned: bool | None,
        now: int,
    ) -> Iterator[StateChange]:
        """Yield who joined, unless they had just left; note who left, for later."""
        arrivals = [*([""] if turned else []), *joined]
        for user_id in arrivals:
            if self._pending.pop((channel, user_id), None) is None:
                kind = "member_added" if user_id else "channel_occupied"
                yield StateChange(kind, channel, now // 1000, user_id)
        for user_id in [*left, *([""] if turned is False else [])]:
            self._pending[channel, user_id] = now // 1000

    def _depart(self, now: int) -> Iterator[StateChange]:
        """Yield who left, and has not joined again since."""
        due = now // 1000 - self._delay
        for key, since in list(self._pending.items()):
            if since <= due:
                channel, user_id = key
                kind = "member_removed" if user_id else "channel_vacated"
                yield StateChange(kind, channel, self._pending.pop(key), user_id)

    def _forget_old(self, now: int) -> None:
        horizon = now - int(CHANGES_KEPT_FOR * SECOND)
        for name, version in list(self._changed.items()):
            if version < horizon:
                self._forgotten = max(self._forgotten, self._changed.pop(name))
        for channel, (kept_until, _) in list(self._cached.items()):
            if kept_until <= self._clock():
                del self._cached[channel]


def _update_members(
    channel: _Channel, states: Iterable[NodeState]
) -> tuple[Sequence[str], Sequence[str]]:
    """Update the members of a channel from its nodes' states; return who joined and who left."""
    left = tuple(user_id for user_id in channel.members if not channel.has(user_id))
    for user_id in left:
        del channel.members[user_id]
    joined = {
        user_id: info
        for state in states
        if state.subscriptions
        for user_id, info in state.members.items()
        if user_id not in channel.members
    }
    channel.members.update(joined)
    return tuple(joined), left
