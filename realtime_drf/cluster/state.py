"""Who is on which channel, in all processes together: the store.

Each process that serves browsers (a node) owns its part of every channel's state: how many
connections it has there, and on presence channels which users. A store combines the states of all
nodes. Only a node itself changes its state, so no two of them write the same thing. A node sends
heartbeats; the state of a node without one is removed by the others.

A change of a channel as a whole (it became occupied or vacant, a user joined or left) is returned
to exactly one caller, the one whose state made the difference. That answer may get lost, and so may
what its caller sends to the others. So every call has a number, a later call a larger one, each
channel keeps the number of the call that changed it last, and each node asks with every heartbeat
what has changed since the last one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

VACATED_DELAY: Final = 3.0
"""Seconds after which a vacated channel is reported, if nobody has subscribed again by then.

https://pusher.com/docs/channels/server_api/webhooks/#delayed-webhooks-and-client-disconnects
"""

CACHED_FOR: Final = 1800.0
"""Seconds for which a cache channel keeps its last event.

https://pusher.com/docs/channels/using_channels/cache-channels/
"""

LEASE: Final = 10.0
"""Seconds for which a node counts as alive after its last call."""

CHANGES_KEPT_FOR: Final = 60.0
"""Seconds for which a store keeps what has changed; a node that asks for more starts over."""


class NodeState(NamedTuple):
    """One node's part of a channel."""

    channel: str
    subscriptions: int
    members: Mapping[str, str]
    """Of presence channels, the user's info as JSON text by user id; empty is none.

    The info of a user does not change until the user has left all nodes.
    """
    is_counted: bool = False
    """Subscribers receive the number of subscriptions: the channel has changed if that has."""


class StateChange(NamedTuple):
    """A change of a channel, for signals and webhooks."""

    kind: str
    channel: str
    time_ms: int
    user_id: str = ""


class ChannelState(NamedTuple):
    """The state of a channel on all nodes together, and what a call has changed in it."""

    channel: str
    version: int = 0
    """The number of the call that last changed the state; of this call if the channel is vacant."""
    subscriptions: int = 0
    members: Mapping[str, str] = {}
    previous: int = 0
    """The version before the call; 0 if the channel was vacant."""
    joined: Sequence[str] = ()
    left: Sequence[str] = ()
    turned: bool | None = None
    """True if the call has made the channel occupied, False if vacant."""


class SyncResult(NamedTuple):
    """The result of a call."""

    states: Sequence[ChannelState] = ()
    """Channels as they are now."""
    reports: Sequence[StateChange] = ()
    """What is due to be reported."""
    number: int = 0
    """The number of the call, larger than those of all calls before."""
    known_since: int = 0
    """The number of the call by which the store first knew the node.

    If it is another than the node has seen, the store has lost the state of the node.
    """
    changed: Mapping[str, int] = {}
    """Channels that have changed since the last heartbeat, with their present versions."""


class PresenceStore(Protocol):
    """The state of an app's channels. Methods may be called from any event loop."""

    is_shared: bool
    """Whether all processes have the same state."""

    async def sync(self, node: str, states: Sequence[NodeState]) -> SyncResult:
        """Replace states of a node, no two of the same channel; return the channel's for each."""

    async def heartbeat(self, node: str, since: int) -> SyncResult:
        """Note that a node is alive, and remove the states of dead nodes.

        Args:
            node: the node's name.
            since: the number of the node's last heartbeat, 0 if this is the first.

        Returns:
            What has changed since then, and reports that have become due, each to one node alone.
        """

    async def read(self, channels: Sequence[str]) -> list[ChannelState]:
        """Return the states of channels, in the order given."""

    async def find(self, prefix: str) -> list[ChannelState]:
        """Return the occupied channels with a prefix."""

    async def remember(self, events: Mapping[str, str], age: float = 0.0) -> None:
        """Keep the last event of cache channels, as text, for a while.

        Args:
            events: by channel.
            age: seconds for which they have waited; an event that was kept meanwhile is later, and
                stays.
        """

    async def recall(self, channel: str) -> str | None:
        """Return the last event of a cache channel, or None if it is no longer kept."""

    async def close(self) -> None:
        """Close the connections of this event loop; the next call opens others."""


def finish(coroutine: Any) -> Any:
    """Run a coroutine that never waits, such as a `MemoryStore`'s, where there is no event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise RuntimeError("The coroutine waits for something.")
