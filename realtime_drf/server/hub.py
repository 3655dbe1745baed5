"""Who is on which channel of a node, in step with the store and with the other nodes."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from realtime_drf.cluster import messages
from realtime_drf.cluster.backplane import Backplane
from realtime_drf.cluster.state import ChannelState, NodeState, StateChange, SyncResult
from realtime_drf.logs import FailureLog
from realtime_drf.pusher_protocol import frames
from realtime_drf.server.channel import LocalChannel
from realtime_drf.server.connection import Connection
from realtime_drf.server.fast_path import FlushScheduler, TextMessage
from realtime_drf.webhook_events import WebhookEvent

logger = logging.getLogger("realtime_drf")

EXACT_COUNTS: Final = 100
"""Subscriptions up to which every change of their number is told at once."""

COUNT_PAUSE: Final = 5.0
"""Seconds between two changes of a number that is larger."""

MAX_AT_ONCE: Final = 500
"""Slices that one call of the store holds, which others have to wait for."""

SETTLING: Final = 3.0
"""Seconds that other nodes have to tell a store everything that has lost its memory."""

UNKNOWN: Final = -1
"""The version before a change, where nobody knows it."""


class Hub:
    """Hold the channels of a node.

    Whatever changes here marks its channel. What is marked goes to the store, all that has pending
    in one call, and what the store answers is told: to the subscribers here, to the other nodes,
    and to the project. What others tell may come late, twice or never; with every beat the store is
    asked what has changed, and looked at again where that is news.

    Args:
        node: the node's name.
        backplane: leads to the store and to the other nodes.
        report: is given what has happened to channels.
        drop: is given connections that take no more.
        clock: returns seconds that never go back.
        scheduler: is told what many connections are given.
        counts: subscribers are told how many there are.
    """

    def __init__(
        self,
        node: str,
        backplane: Backplane,
        *,
        report: Callable[[Sequence[WebhookEvent]], None],
        drop: Callable[[Connection], None],
        clock: Callable[[], float],
        scheduler: FlushScheduler,
        counts: bool = False,
    ) -> None:
        self.channels: dict[str, LocalChannel] = {}
        self._node = node
        self._backplane = backplane
        self._report = report
        self._drop = drop
        self._clock = clock
        self._scheduler = scheduler
        self._counts = counts
        self._dirty: dict[str, list[asyncio.Future[None]]] = {}
        self._unsynced: set[str] = set()
        """Channels of which the store may not know."""
        self._syncing: asyncio.Task[None] | None = None
        self._heartbeat_at = 0
        self._known_since = 0
        self._store_failures = FailureLog("The store of the server failed", clock)
        self._settles_at: float | None = None
        """Until when those whom the store does not name are not believed to be gone."""

    def open(self, name: str) -> LocalChannel:
        """Return a channel, which is new if nobody here is on it."""
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = LocalChannel(name)
        return channel

    def mark(self, name: str) -> asyncio.Future[None]:
        """Have the store told of our part of a channel; the future is done once it has answered."""
        future = asyncio.get_running_loop().create_future()
        self._dirty.setdefault(name, []).append(future)
        if self._syncing is None:
            self._syncing = asyncio.create_task(self._sync())
        return future

    async def tick(self) -> None:
        """Do what is due: tell larger numbers, ask the store, and tell it what it has missed."""
        for channel in list(self.channels.values()):
            channel.recalled.clear()  # what was on its way by now has come, or got lost
            self._tell_count(channel)
        outcome = await self._backplane.store.heartbeat(self._node, self._heartbeat_at)
        self._heartbeat_at = outcome.number
        self._take_in(outcome)
        for name in self._unsynced:  # not before: it would fail again
            self.mark(name)
        if self._settles_at is not None and self._clock() >= self._settles_at:
            self._settles_at = None
            for name in self.channels:
                self.mark(name)

    async def settled(self) -> None:
        """Wait until the store has been told all."""
        while self._syncing is not None:
            await asyncio.wait([self._syncing])

    def log_store(self, exc: Exception) -> None:
        """Log that the store has failed, once a while however often that is."""
        self._store_failures.add(exc)

    def broadcast(self, channel: LocalChannel, frame: str, but: str = "") -> None:
        """Write a frame to all subscribers but one."""
        message = TextMessage(frame)
        self._scheduler.make_room(message.frame)
        for connection in list(channel.broadcast(message, but)):
            self._drop(connection)

    # From the store

    async def _sync(self) -> None:
        """Tell the store what is marked, all that has pending at once, until nothing is left."""
        try:
            while self._dirty:
                await self._sync_some()
                await asyncio.sleep(0)  # a store in memory answers without a pause
        finally:
            self._syncing = None

    async def _sync_some(self) -> None:
        names = list(itertools.islice(self._dirty, MAX_AT_ONCE))
        futures = [future for name in names for future in self._dirty.pop(name)]
        try:
            slices = [self._slice(name) for name in names]
            outcome = await self._backplane.store.sync(self._node, slices)
        except Exception as exc:  # noqa: BLE001  any store, any error: go on with what is known here
            self.log_store(exc)
            # What has pending meanwhile need not wait for another call that fails.
            names += self._dirty
            futures += itertools.chain.from_iterable(self._dirty.values())
            self._dirty.clear()
            self._unsynced.update(names)
            for name in names:
                self._suppose(self._slice(name))
        else:
            self._unsynced.difference_update(names)
            self._take_in(outcome)
        finally:
            for future in futures:
                if not future.done():
                    future.set_result(None)

    def _slice(self, name: str) -> NodeState:
        channel = self.channels.get(name) or LocalChannel(name)
        return channel.slice()._replace(is_counted=self._counts and channel.is_counted)

    def _suppose(self, part: NodeState) -> None:
        """Go on, without the store, with those who are on this node."""
        channel = self._find_needed(part.channel)
        if channel is not None:
            self._learn(channel, channel.version or 0, channel.known)
            self._tell_online(channel, bool(channel.is_online or part.subscriptions))

    def _take_in(self, outcome: SyncResult) -> None:
        """Tell what the store has found: here, and of what changed, the other nodes."""
        if outcome.known_since != self._known_since:
            if self._known_since:
                self._reset()
            self._known_since = outcome.known_since
        items: list[messages.Message] = []
        for view in outcome.views:
            self._apply(view, outcome.number)
            items += _items(view)
        for name, version in outcome.changed.items():
            if channel := self.channels.get(name):
                self._goes_on(channel, UNKNOWN, version)
        if items:
            self._backplane.post(items)
        # That a user is online is known by the same means, and is no channel's business.
        reports = [each for each in outcome.reports if not each.channel.startswith("#")]
        if reports:
            self._report([_make_event(each) for each in reports])

    def _reset(self) -> None:
        """Tell the store everything: it has lost its memory, or has taken us for dead."""
        logger.warning("The store had forgotten this process, and is told everything again.")
        self._settles_at = self._clock() + SETTLING
        for channel in self.channels.values():
            channel.version = None
            self.mark(channel.name)

    def _apply(self, view: ChannelState, number: int) -> None:
        """Take in what the store has answered, unless we have heard later news meanwhile."""
        channel = self.channels.get(view.channel)
        if channel is None:
            return
        # Where nobody here is on it any more, others still have to hear how many are left.
        is_needed = self._find_needed(view.channel) is not None
        if is_needed and (channel.version is None or view.version >= channel.version):
            self._learn(channel, view.version, view.members)
            self._tell_online(channel, view.subscriptions > 0)
        if number > channel.counted_at and self._settles_at is None:
            channel.subscriptions, channel.counted_at = view.subscriptions, number
            self._tell_count(channel)

    def _find_needed(self, name: str) -> LocalChannel | None:
        """Return a channel; forget it if nobody here has to do with it any more."""
        channel = self.channels.get(name)
        if channel is not None and not channel.is_needed and name not in self._dirty:
            del self.channels[name]
            return None
        return channel

    def _learn(self, channel: LocalChannel, version: int, members: Mapping[str, str]) -> None:
        """Tell the subscribers here how those who are present differ from what they know.

        Whoever is here is present, whatever others say.
        """
        kept = {**channel.slice().members, **(channel.known if self._settles_at else {})}
        members = {**members, **{user: kept[user] for user in kept if user not in members}}
        came, left = channel.learn(version, members)
        for user_id in left:
            self.broadcast(channel, frames.member_removed(channel.name, user_id))
        for user_id, info in came.items():
            self.broadcast(channel, frames.member_added(channel.name, user_id, info))

    # From other nodes

    def take_members(self, item: messages.MembersMessage) -> None:
        """Believe another node if it goes on from what we know; ask the store if it does not."""
        channel = self.channels.get(item.channel)
        if channel is None or not self._goes_on(channel, item.previous, item.version):
            return
        members = {user: info for user, info in channel.known.items() if user not in item.left}
        members.update((user_id, info) for user_id, info in item.came)
        self._learn(channel, item.version, members)

    def take_online(self, item: messages.OnlineMessage) -> None:
        """Hear of another node that a user is online, or is not any more."""
        channel = self.channels.get(item.channel)
        if channel is not None and self._goes_on(channel, item.previous, item.version):
            channel.version = item.version
            self._tell_online(channel, bool(item.is_online))

    def take_count(self, item: messages.CountMessage) -> None:
        """Hear of another node how many subscriptions a channel has."""
        channel = self.channels.get(item.channel)
        if channel is None or self._settles_at is not None:
            return
        if item.number > channel.counted_at:
            channel.counted_at = item.number
            if channel.version is not None:
                channel.version = max(item.number, channel.version)
            channel.subscriptions = item.subscriptions
            if item.subscriptions != channel.sent_count:  # it may have been told here already
                channel.sent_count = item.subscriptions
                self.broadcast(channel, frames.count(channel.name, item.subscriptions))

    def _goes_on(self, channel: LocalChannel, previous: int, version: int) -> bool:
        """Tell whether news go on from what we know, or from where nobody was; else ask."""
        if channel.version is not None:
            if version <= channel.version:
                return False
            if previous in (0, channel.version):
                return True
        # Where the store has yet to answer, that answer may be older than the news.
        self.mark(channel.name)
        return False

    # Telling

    def _tell_online(self, channel: LocalChannel, is_online: bool) -> None:
        is_online = is_online or bool(channel.is_online and self._settles_at)
        was_online, channel.is_online = channel.is_online, is_online
        if was_online is not None and was_online != is_online:
            frame = frames.watchlist_event(is_online, [channel.user_id])
            for connection, is_informed in channel.watchers.items():
                if is_informed:
                    connection.tell(frame)

    def _tell_count(self, channel: LocalChannel) -> None:
        """Tell how many subscriptions there are, if that has changed; now and then if many."""
        count = channel.subscriptions
        if not self._counts or not channel.is_counted or count in (0, channel.sent_count):
            return
        now = self._clock()
        if count > EXACT_COUNTS and now - channel.sent_count_at < COUNT_PAUSE:
            return
        channel.sent_count, channel.sent_count_at = count, now
        self.broadcast(channel, frames.count(channel.name, count))
        self._backplane.post([messages.CountMessage(channel.name, count, channel.counted_at)])
        self._report([make_event("subscription_count", channel.name, subscription_count=count)])


def make_event(kind: str, channel: str, **details: Any) -> WebhookEvent:
    """Make what receivers are told, of now."""
    return WebhookEvent(
        kind=kind, channel=channel, time_ms=int(time.time() * 1000), details=details
    )


def _items(view: ChannelState) -> Iterable[messages.Message]:
    if view.came or view.left:
        came = [(user_id, view.members[user_id]) for user_id in view.came]
        yield messages.MembersMessage(
            view.channel, view.previous, view.version, came, list(view.left)
        )
    if view.turned is not None and view.channel.startswith("#"):
        yield messages.OnlineMessage(view.channel, view.previous, view.version, int(view.turned))


def _make_event(report: StateChange) -> WebhookEvent:
    details = {"user_id": report.user_id} if report.user_id else {}
    return WebhookEvent(
        kind=report.kind, channel=report.channel, time_ms=report.time_ms, details=details
    )
