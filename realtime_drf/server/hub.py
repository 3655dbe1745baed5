"""The channels of a node, kept in sync with the store and with the other nodes."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from realtime_drf.cluster import messages
from realtime_drf.cluster.backplane import Backplane
from realtime_drf.cluster.serial_worker import raise_if_cancelled
from realtime_drf.cluster.state import ChannelState, NodeState, SyncResult
from realtime_drf.logs import FailureLog
from realtime_drf.pusher_protocol import frames
from realtime_drf.server.channel import LocalChannel
from realtime_drf.server.fast_path import FlushScheduler, TextMessage
from realtime_drf.server.reporter import make_change_event
from realtime_drf.server.subscription_counts import SubscriptionCounts
from realtime_drf.webhook_events import WebhookEvent

logger = logging.getLogger("realtime_drf")

MAX_AT_ONCE: Final = 500
"""Channels in one call of the store, during which other calls have to wait."""

SETTLING: Final = 3.0
"""Seconds that other nodes have to send their state to a store that has lost it."""

UNKNOWN: Final = -1
"""The version before a change where it is not known."""


class Hub:
    """The channels of a node.

    Every change on this node marks its channel. Marked channels are sent to the store, all that
    wait in one call, and its answer is sent to the subscribers here, to the other nodes, and to the
    project's receivers. Messages of other nodes may arrive late, twice or never: each heartbeat
    asks the store what has changed, and channels of which this node has missed a change are marked.

    Args:
        node: the node's name.
        backplane: leads to the store and to the other nodes.
        report: receives the webhook events of channels.
        clock: returns seconds that never go back.
        scheduler: flushes what is written to many connections.
        counts: whether subscribers receive the number of subscriptions.
    """

    def __init__(
        self,
        node: str,
        backplane: Backplane,
        *,
        report: Callable[[Sequence[WebhookEvent]], None],
        clock: Callable[[], float],
        scheduler: FlushScheduler,
        counts: bool = False,
    ) -> None:
        self.channels: dict[str, LocalChannel] = {}
        self._node = node
        self._backplane = backplane
        self._report = report
        self._clock = clock
        self._scheduler = scheduler
        self._has_counts = counts
        self._counts = SubscriptionCounts(
            backplane, broadcast=self.broadcast, report=report, clock=clock
        )
        self._dirty: dict[str, list[asyncio.Future[None]]] = {}
        self._unsynced: set[str] = set()
        """Channels whose state the store may not have."""
        self._syncing: asyncio.Task[None] | None = None
        self._heartbeat_at = 0
        self._known_since = 0
        self._store_failures = FailureLog("The store of the server failed", clock)
        self._settles_at: float | None = None
        """Until when members that are missing in the store are kept."""

    def open(self, name: str) -> LocalChannel:
        """Return a channel; create it if there is none."""
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = LocalChannel(name)
        return channel

    def mark(self, name: str) -> asyncio.Future[None]:
        """Schedule a sync of a channel with the store; the future is done once it has answered."""
        future = asyncio.get_running_loop().create_future()
        self._dirty.setdefault(name, []).append(future)
        if self._syncing is None:
            self._syncing = asyncio.create_task(self._sync())
        return future

    async def tick(self) -> None:
        """Send large counts that are due, send a heartbeat, and repeat syncs that failed."""
        for channel in list(self.channels.values()):
            channel.recalled.clear()  # events on their way have arrived by now, or are lost
            self._send_count(channel)
        result = await self._backplane.store.heartbeat(self._node, self._heartbeat_at)
        self._heartbeat_at = result.number
        self._apply_result(result)
        for name in self._unsynced:  # only now: the store works again
            self.mark(name)
        if self._settles_at is not None and self._clock() >= self._settles_at:
            self._settles_at = None
            for name in self.channels:
                self.mark(name)

    async def settled(self) -> None:
        """Wait until the store has the state of all channels."""
        while self._syncing is not None:
            await asyncio.wait([self._syncing])

    def log_store(self, exc: Exception) -> None:
        """Log an error of the store, at most once in a while."""
        self._store_failures.add(exc)

    async def get_members(self, name: str) -> set[str]:
        """Return the user ids on a presence channel."""
        known: Collection[str] = ()
        channel = self.channels.get(name)
        if channel is None or channel.version is None:
            known = await self._read_members(name)
            channel = self.channels.get(name)  # connections may have subscribed meanwhile
        return set(known) if channel is None else {*known, *channel.known, *channel.users}

    async def _read_members(self, name: str) -> Collection[str]:
        try:
            return (await self._backplane.store.read([name]))[0].members
        except Exception as exc:  # noqa: BLE001  any store, any error: assume that there are none
            raise_if_cancelled()
            self.log_store(exc)
            return ()

    def broadcast(self, channel: LocalChannel, frame: str, exclude: str = "") -> None:
        """Write a frame to all subscribers but one."""
        message = TextMessage(frame)
        self._scheduler.make_room(message.frame)
        for connection in list(channel.broadcast(message, exclude)):
            connection.drop()

    # From the store

    async def _sync(self) -> None:
        """Send marked channels to the store, many at once, until there are none."""
        try:
            while self._dirty:
                await self._sync_some()
                await asyncio.sleep(0)  # a store in memory answers without suspending
        finally:
            self._syncing = None

    async def _sync_some(self) -> None:
        names = list(itertools.islice(self._dirty, MAX_AT_ONCE))
        futures = [future for name in names for future in self._dirty.pop(name)]
        try:
            states = [self._get_state(name) for name in names]
            result = await self._backplane.store.sync(self._node, states)
        except Exception as exc:  # noqa: BLE001  any store, any error: use what is known here
            self.log_store(exc)
            # Channels marked meanwhile need not wait for another call that fails.
            names += self._dirty
            futures += itertools.chain.from_iterable(self._dirty.values())
            self._dirty.clear()
            self._unsynced.update(names)
            for name in names:
                self._apply_locally(self._get_state(name))
        else:
            self._unsynced.difference_update(names)
            self._apply_result(result)
        finally:
            for future in futures:
                if not future.done():
                    future.set_result(None)

    def _get_state(self, name: str) -> NodeState:
        channel = self.channels.get(name) or LocalChannel(name)
        return channel.get_state()._replace(is_counted=self._has_counts and channel.is_counted)

    def _apply_locally(self, state: NodeState) -> None:
        """Apply the state of this node alone, without the store."""
        channel = self._find_needed(state.channel)
        if channel is not None:
            self._update_members(channel, channel.version or 0, channel.known)
            self._update_online(channel, bool(channel.is_online or state.subscriptions))

    def _apply_result(self, result: SyncResult) -> None:
        """Send what the store has answered to subscribers, and what has changed to other nodes."""
        if result.known_since != self._known_since:
            if self._known_since:
                self._reset()
            self._known_since = result.known_since
        changes: list[messages.Message] = []
        for state in result.states:
            self._apply_state(state, result.number)
            changes += _make_messages(state)
        for name, version in result.changed.items():
            if channel := self.channels.get(name):
                self._is_next(channel, UNKNOWN, version)
        if changes:
            self._backplane.post(changes)
        # The store handles whether users are online as channels, which are not reported.
        reports = [each for each in result.reports if not each.channel.startswith("#")]
        if reports:
            self._report([make_change_event(each) for each in reports])

    def _reset(self) -> None:
        """Sync all channels: the store has lost its data, or has taken this node for dead."""
        logger.warning("The store had lost the state of this process, which is sent again.")
        self._settles_at = self._clock() + SETTLING
        for channel in self.channels.values():
            channel.version = None
            self.mark(channel.name)

    def _apply_state(self, state: ChannelState, number: int) -> None:
        """Apply the store's answer, unless a later change has arrived meanwhile."""
        channel = self.channels.get(state.channel)
        if channel is None:
            return
        # If it has no subscribers left here, other nodes still need the number of theirs.
        is_needed = self._find_needed(state.channel) is not None
        if is_needed and (channel.version is None or state.version >= channel.version):
            self._update_members(channel, state.version, state.members)
            self._update_online(channel, state.subscriptions > 0)
        if number > channel.counted_at and self._settles_at is None:
            channel.subscriptions, channel.counted_at = state.subscriptions, number
            self._send_count(channel)

    def _find_needed(self, name: str) -> LocalChannel | None:
        """Return a channel; remove it if no connection here needs it any more."""
        channel = self.channels.get(name)
        if channel is not None and not channel.is_needed and name not in self._dirty:
            del self.channels[name]
            return None
        return channel

    def _update_members(
        self, channel: LocalChannel, version: int, members: Mapping[str, str]
    ) -> None:
        """Send the subscribers here the members who were added and removed.

        Users with a connection to this node are members in any case.
        """
        kept = {**channel.get_state().members, **(channel.known if self._settles_at else {})}
        members = {**members, **{user: kept[user] for user in kept if user not in members}}
        added, removed = channel.update_members(version, members)
        for user_id in removed:
            self.broadcast(channel, frames.member_removed(channel.name, user_id))
        for user_id, info in added.items():
            self.broadcast(channel, frames.member_added(channel.name, user_id, info))

    # From other nodes

    def apply_members(self, message: messages.MembersMessage) -> None:
        """Apply another node's change if it is the next one; ask the store otherwise."""
        channel = self.channels.get(message.channel)
        if channel is None or not self._is_next(channel, message.previous, message.version):
            return
        members = {user: info for user, info in channel.known.items() if user not in message.left}
        members.update((user_id, info) for user_id, info in message.joined)
        self._update_members(channel, message.version, members)

    def apply_online(self, message: messages.OnlineMessage) -> None:
        """Apply another node's report that a user has come online or gone offline."""
        channel = self.channels.get(message.channel)
        if channel is not None and self._is_next(channel, message.previous, message.version):
            channel.version = message.version
            self._update_online(channel, bool(message.is_online))

    def apply_count(self, message: messages.CountMessage) -> None:
        """Apply the number of subscriptions that another node has found."""
        channel = self.channels.get(message.channel)
        if channel is not None and self._settles_at is None:
            self._counts.update(channel, message)

    def _is_next(self, channel: LocalChannel, previous: int, version: int) -> bool:
        """Return whether a change follows the known state, or an empty one; else ask the store."""
        if channel.version is not None:
            if version <= channel.version:
                return False
            if previous in (0, channel.version):
                return True
        # If the store has yet to answer, its answer may be older than the change.
        self.mark(channel.name)
        return False

    # To subscribers

    def _update_online(self, channel: LocalChannel, is_online: bool) -> None:
        is_online = is_online or bool(channel.is_online and self._settles_at)
        was_online, channel.is_online = channel.is_online, is_online
        if was_online is not None and was_online != is_online:
            frame = frames.watchlist_event(is_online, [channel.user_id])
            for connection, is_notified in channel.watchers.items():
                if is_notified:
                    connection.send(frame)

    def _send_count(self, channel: LocalChannel) -> None:
        if self._has_counts:
            self._counts.send(channel)


def _make_messages(state: ChannelState) -> Iterable[messages.Message]:
    """Yield the changes of a channel for the other nodes."""
    if state.joined or state.left:
        joined = [(user_id, state.members[user_id]) for user_id in state.joined]
        yield messages.MembersMessage(
            state.channel, state.previous, state.version, joined, list(state.left)
        )
    if state.turned is not None and state.channel.startswith("#"):
        yield messages.OnlineMessage(
            state.channel, state.previous, state.version, int(state.turned)
        )
