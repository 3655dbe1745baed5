"""Who is on which channel, for all processes together: the store.

Each process that serves browsers (a node) owns its part of every channel's state, its slice: how
many connections it has there, and on presence channels which users. A store puts the slices of all
nodes together. Only a node's own word changes its slice, so no two of them write the same thing.
A node says all the time that it is alive; what one has left behind that no longer does is taken
away by the others.

Whatever changes for a channel as a whole (somebody is there now, nobody is any more, a user has
come or left) is told to exactly one caller, the one whose slice made the difference. That answer
may get lost, and so may what its caller tells the others. So every call has a number, a later call
a larger one, each channel keeps the number of the call that changed it last, and each node asks
with every beat what has changed since the last one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

VACATED_DELAY: Final = 3.0
"""Seconds after which a vacated channel is reported, if nobody has come back by then.

https://pusher.com/docs/channels/server_api/webhooks/#delayed-webhooks-and-client-disconnects
"""

CACHED_FOR: Final = 1800.0
"""Seconds for which a cache channel keeps its last event.

https://pusher.com/docs/channels/using_channels/cache-channels/
"""

LEASE: Final = 10.0
"""Seconds for which a node counts as alive after it was last heard."""

CHANGES_KEPT_FOR: Final = 60.0
"""Seconds for which a store knows what has changed; a node that asks for more begins anew."""


class NodeState(NamedTuple):
    """Hold one node's part of a channel."""

    channel: str
    subscriptions: int
    members: Mapping[str, str]
    """Of presence channels, by user id the JSON text of what is told of the user; empty is none.

    What is told of a user does not change until the user has left all nodes.
    """
    is_counted: bool = False
    """The number of subscriptions is told too: the channel has changed if that has."""


class StateChange(NamedTuple):
    """Say what has happened to a channel, for signals and webhooks."""

    kind: str
    channel: str
    time_ms: int
    user_id: str = ""


class ChannelState(NamedTuple):
    """Hold the state of a channel for all nodes together, and what a call has changed in it."""

    channel: str
    version: int = 0
    """The number of the call that last changed what is told; where nobody is, of this call."""
    subscriptions: int = 0
    members: Mapping[str, str] = {}
    previous: int = 0
    """The version before the call; 0 where nobody was."""
    came: Sequence[str] = ()
    left: Sequence[str] = ()
    turned: bool | None = None
    """True if the call has made the channel occupied, False if vacant."""


class SyncResult(NamedTuple):
    """Hold what a call returns."""

    views: Sequence[ChannelState] = ()
    """Channels as they are now."""
    reports: Sequence[StateChange] = ()
    """What is due to be reported."""
    number: int = 0
    """The number of the call, larger than those of all calls before."""
    known_since: int = 0
    """The number of the call with which the store came to know the node.

    If it is another than the node has seen, the store has forgotten what the node told it before.
    """
    changed: Mapping[str, int] = {}
    """Channels that have changed since the last beat, with the versions that they have now."""


class PresenceStore(Protocol):
    """Keep the state of an app's channels. Methods may be called from any event loop."""

    is_shared: bool
    """What one process has it keep is there for all."""

    async def sync(self, node: str, slices: Sequence[NodeState]) -> SyncResult:
        """Replace slices of a node, no two of the same channel; return a view for each."""

    async def heartbeat(self, node: str, since: int) -> SyncResult:
        """Say that a node is alive, and take away what dead nodes have left behind.

        Args:
            node: the node's name.
            since: the number of the node's last beat, 0 if this is the first.

        Returns:
            What has changed since then, and what has become due to be reported, to one node alone.
        """

    async def read(self, channels: Sequence[str]) -> list[ChannelState]:
        """Return channels as they are, in the order asked for."""

    async def find(self, prefix: str) -> list[ChannelState]:
        """Return the occupied channels whose names start so."""

    async def remember(self, events: Mapping[str, str], age: float = 0.0) -> None:
        """Keep the last event of cache channels, as text, for a while.

        Args:
            events: by channel.
            age: seconds for which they have waited; what was kept meanwhile is later, and stays.
        """

    async def recall(self, channel: str) -> str | None:
        """Return the last event of a cache channel, if it is kept still."""

    async def close(self) -> None:
        """Let go of connections of this event loop; the next call opens others."""


def finish(coroutine: Any) -> Any:
    """Run a coroutine that never waits, such as a `MemoryStore`'s, where there is no event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise RuntimeError("The coroutine waits for something.")
