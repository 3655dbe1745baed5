"""Who is on which channel of a node, in step with the store and with the other nodes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from realtime_drf.names import ChannelKind, parse_channel_name
from realtime_drf.protocols import WebhookEvent
from realtime_drf.server import frames, wire
from realtime_drf.server.backplane import Backplane
from realtime_drf.server.channels import LocalChannel
from realtime_drf.server.connection import Connection
from realtime_drf.server.shortcut import TextMessage
from realtime_drf.server.store import Outcome, Report, Slice, View

logger = logging.getLogger("realtime_drf")

EXACT_COUNTS: Final = 100
"""Subscriptions up to which every change of their number is told at once."""

COUNT_PAUSE: Final = 5.0
"""Seconds between two changes of a number that is larger."""

UNKNOWN: Final = -1
"""The version before a change, where nobody knows it."""


class Roster:
    """Hold the channels of a node.

    Whatever changes here marks its channel. What is marked goes to the store, all that has gathered
    in one call, and what the store answers is told: to the subscribers here, to the other nodes,
    and to the project.

    Args:
        node: the node's name.
        backplane: leads to the store and to the other nodes.
        report: is given what has happened to channels.
        drop: is given connections that take no more.
        clock: returns seconds that never go back.
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
        counts: bool = False,
    ) -> None:
        self.channels: dict[str, LocalChannel] = {}
        self._node = node
        self._backplane = backplane
        self._report = report
        self._drop = drop
        self._clock = clock
        self._counts = counts
        self._dirty: dict[str, list[asyncio.Future[None]]] = {}
        self._unsynced: set[str] = set()
        self._syncing: asyncio.Task[None] | None = None

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

    def mark_all(self) -> None:
        """Have the store told of everything: it, or we, may have missed something."""
        for name in self.channels:
            self.mark(name)

    async def tick(self) -> None:
        """Do what is due: tell what the store has missed, ask it, tell larger numbers."""
        for name in self._unsynced:
            self.mark(name)
        for channel in list(self.channels.values()):
            self._tell_count(channel)
        self._take_in(await self._backplane.store.beat(self._node))

    def broadcast(self, channel: LocalChannel, frame: str, but: str = "") -> None:
        """Write a frame to all subscribers but one."""
        message = TextMessage(frame)
        for connection in list(channel.broadcast(message, but)):
            self._drop(connection)

    # From the store

    async def _sync(self) -> None:
        """Tell the store what is marked, all that has gathered at once, until nothing is left."""
        try:
            while self._dirty:
                dirty, self._dirty = self._dirty, {}
                try:
                    await self._sync_once([self._slice(name) for name in dirty])
                finally:
                    for futures in dirty.values():
                        for future in futures:
                            if not future.done():
                                future.set_result(None)
        finally:
            self._syncing = None

    async def _sync_once(self, slices: Sequence[Slice]) -> None:
        names = [each.channel for each in slices]
        try:
            outcome = await self._backplane.store.sync(self._node, slices)
        except Exception as exc:  # noqa: BLE001  any store, any error: go on with what is known here
            log_store(exc)
            self._unsynced.update(names)
            for each in slices:
                self._suppose(each)
        else:
            missed = self._unsynced.intersection(names)
            self._unsynced -= missed
            self._take_in(outcome)
            # A call that failed may have done its work, of which nobody was told.
            if items := [
                item for view in outcome.views if view.channel in missed for item in _hints(view)
            ]:
                self._backplane.post(items)

    def _slice(self, name: str) -> Slice:
        channel = self.channels.get(name)
        return Slice(name, 0, {}) if channel is None else channel.slice()

    def _suppose(self, part: Slice) -> None:
        """Go on, without the store, with those who are on this node."""
        channel = self.channels.get(part.channel)
        if channel is not None:
            members = {**channel.known, **part.members}
            self._apply(View(part.channel, channel.version or 0, part.subscriptions, members))

    def _take_in(self, outcome: Outcome) -> None:
        """Tell what the store has found: here, and of what changed, the other nodes."""
        items: list[wire.Item] = []
        for view in outcome.views:
            self._apply(view)
            items += _items(view)
        if items:
            self._backplane.post(items)
        # That a user is online is known by the same means, and is no channel's business.
        reports = [each for each in outcome.reports if not each.channel.startswith("#")]
        if reports:
            self._report([_make_event(each) for each in reports])

    def _apply(self, view: View) -> None:
        channel = self.channels.get(view.channel)
        if channel is None:
            return
        if not channel.is_needed and view.channel not in self._dirty:
            del self.channels[view.channel]
            return
        came, left = channel.learn(view)
        for user_id in left:
            self.broadcast(channel, frames.member_removed(channel.name, user_id))
        for user_id, info in came.items():
            self.broadcast(channel, frames.member_added(channel.name, user_id, info))
        self._tell_online(channel, view.subscriptions > 0)
        channel.subscriptions = view.subscriptions
        self._tell_count(channel)

    # From other nodes

    def take_members(self, item: wire.MembersItem) -> None:
        """Believe another node if it goes on from what we know; ask the store if it does not."""
        channel = self.channels.get(item.channel)
        if channel is None or not self._goes_on(channel, item.previous, item.version):
            return
        members = {user: info for user, info in channel.known.items() if user not in item.left}
        members.update((user_id, info) for user_id, info in item.came)
        self._apply(View(channel.name, item.version, channel.subscriptions, members))

    def take_online(self, item: wire.OnlineItem) -> None:
        """Hear of another node that a user is online, or is not any more."""
        channel = self.channels.get(item.channel)
        if channel is not None and self._goes_on(channel, item.previous, item.version):
            channel.version = item.version
            self._tell_online(channel, bool(item.is_online))

    def take_count(self, item: wire.CountItem) -> None:
        """Hear of another node how many subscriptions a channel has."""
        channel = self.channels.get(item.channel)
        if channel is not None and item.node != self._node:
            channel.subscriptions = channel.told_count = item.subscriptions
            self.broadcast(channel, frames.count(channel.name, item.subscriptions))

    def _goes_on(self, channel: LocalChannel, previous: int, version: int) -> bool:
        if channel.version is None or version <= channel.version:
            return False
        if previous != channel.version:
            self.mark(channel.name)
            return False
        return True

    # Telling

    def _tell_online(self, channel: LocalChannel, is_online: bool) -> None:
        was_online, channel.is_online = channel.is_online, is_online
        if was_online is not None and was_online != is_online:
            frame = frames.watchlist_event(is_online, [channel.user_id])
            for connection, is_informed in channel.watchers.items():
                if is_informed:
                    connection.tell(frame)

    def _tell_count(self, channel: LocalChannel) -> None:
        """Tell how many subscriptions there are, if that has changed; now and then if many."""
        count = channel.subscriptions
        if not self._counts or not channel.is_counted or count in (0, channel.told_count):
            return
        now = self._clock()
        if count > EXACT_COUNTS and now - channel.told_count_at < COUNT_PAUSE:
            return
        channel.told_count, channel.told_count_at = count, now
        self.broadcast(channel, frames.count(channel.name, count))
        self._backplane.post([wire.CountItem(channel.name, count, self._node)])
        self._report([make_event("subscription_count", channel.name, subscription_count=count)])


def make_event(kind: str, channel: str, **details: Any) -> WebhookEvent:
    """Make what receivers are told, of now."""
    return WebhookEvent(
        kind=kind, channel=channel, time_ms=int(time.time() * 1000), details=details
    )


def log_store(exc: Exception) -> None:
    """Log that the store failed; not with its text, in which an address with a password may be."""
    logger.error("The store of the server failed: %s", type(exc).__name__)


def _items(view: View) -> Iterable[wire.Item]:
    if view.came or view.left:
        came = [(user_id, view.members[user_id]) for user_id in view.came]
        yield wire.MembersItem(view.channel, view.previous, view.version, came, list(view.left))
    if view.turned is not None and view.channel.startswith("#"):
        yield wire.OnlineItem(view.channel, view.previous, view.version, int(view.turned))


def _hints(view: View) -> Iterable[wire.Item]:
    """Yield what has other nodes ask the store, if they do not know this version."""
    kind = parse_channel_name(view.channel).kind
    if kind is ChannelKind.PRESENCE:
        yield wire.MembersItem(view.channel, UNKNOWN, view.version, [], [])
    elif kind is ChannelKind.USER:
        yield wire.OnlineItem(view.channel, UNKNOWN, view.version, int(view.subscriptions > 0))


def _make_event(report: Report) -> WebhookEvent:
    details = {"user_id": report.user_id} if report.user_id else {}
    return WebhookEvent(
        kind=report.kind, channel=report.channel, time_ms=report.time_ms, details=details
    )
