"""A node: an app's part of the server in one process, seen from one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from realtime_drf.server import frames, wire
from realtime_drf.server.backplane import Backplane
from realtime_drf.server.channels import LocalChannel
from realtime_drf.server.connection import Connection
from realtime_drf.server.frames import SubscriptionRefused
from realtime_drf.server.outbox import Message, Send
from realtime_drf.server.reports import Reporter, make_event
from realtime_drf.server.store import Outcome, Slice, View

if TYPE_CHECKING:
    from realtime_drf.transports.channels import ChannelsTransport

logger = logging.getLogger("realtime_drf")

TICK: Final = 1.0
"""Seconds between two looks at what is due."""

START_TIMEOUT: Final = 5.0
"""Seconds that a connection waits for a channel layer which cannot be reached."""


class Node:
    """Know the connections of an app here, and bring to them what concerns them.

    Args:
        transport: the app: its keys, options, and backplane.
        clock: returns seconds that never go back.
    """

    def __init__(
        self, transport: ChannelsTransport, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = secrets.token_hex(8)
        self.signer = transport.signer
        self.options = transport.server_options
        self.clock = clock
        self.connections: dict[str, Connection] = {}
        self.channels: dict[str, LocalChannel] = {}
        self._backplane: Backplane = transport.backplane
        self._reporter = Reporter(transport)
        self._dirty: dict[str, list[asyncio.Future[None]]] = {}
        self._unsynced: set[str] = set()
        self._syncing: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Node {self.name}: {len(self.connections)} connections>"

    # Life

    def start(self) -> None:
        """Begin to work in the background, on the running event loop."""
        self._tasks = [
            asyncio.create_task(self._backplane.attend(self)),
            asyncio.create_task(self._tick_forever()),
        ]

    async def stop(self) -> None:
        """End the work in the background."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ready(self) -> None:
        """Wait until what is published from now on arrives here; not for longer than a while."""
        if not self._ready.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), START_TIMEOUT)

    def on_ready(self) -> None:
        self._ready.set()

    def on_gap(self, lost: int) -> None:
        """Look anew at who is present, since nobody may have told us."""
        if lost:
            logger.warning("%d hand-over(s) were lost on their way through the layer.", lost)
        for name in self.channels:
            self._mark(name)

    async def tick(self) -> None:
        """Do what is due: look after silent connections, and say that we are alive."""
        self._look_after_silent()
        for name in self._unsynced:
            self._mark(name)
        self._take_in(await self._backplane.store.beat(self.name))

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                await self.tick()
            except Exception as exc:  # noqa: BLE001  any store, any error: the next one may work
                _log_store(exc)

    # Connections

    def connect(self, send: Send) -> Connection | None:
        """Return a new connection, or None if there are as many as may be."""
        limit = self.options.max_connections
        if limit is not None and len(self.connections) >= limit:
            return None
        socket_id = f"{secrets.randbelow(10**10)}.{secrets.randbelow(10**10)}"
        connection = Connection(self, socket_id, send)
        self.connections[socket_id] = connection
        return connection

    def disconnect(self, connection: Connection) -> None:
        """Forget a connection that is gone, or that takes no more."""
        self.connections.pop(connection.socket_id, None)
        for name in list(connection.channels):
            self.leave(connection, name)

    def _look_after_silent(self) -> None:
        now = self.clock()
        for connection in list(self.connections.values()):
            if connection.pinged_at is not None:
                if now - connection.pinged_at >= self.options.pong_timeout:
                    connection.close(frames.NO_PONG, "No answer to a ping")
            elif now - connection.seen_at >= self.options.activity_timeout:
                connection.pinged_at = now
                connection.tell(frames.PING)

    # Channels

    async def join(self, connection: Connection, name: str, user_id: str, info: str) -> None:
        """Put a connection on a channel, and tell it so.

        Raises:
            SubscriptionRefused: as many users are there as may be.
        """
        if user_id:
            await self._check_room(name, user_id)
        channel = self.channels.setdefault(name, LocalChannel(name))
        channel.hold(connection, user_id, info)
        connection.channels[name] = user_id
        settled = self._mark(name)
        if channel.version is None or (user_id and user_id not in channel.known):
            await settled
        if name not in connection.channels:
            return  # it is gone
        connection.tell(frames.subscribed(name, channel.known if channel.is_presence else None))
        channel.subscribers[connection] = None

    def leave(self, connection: Connection, name: str) -> None:
        """Take a connection off a channel."""
        del connection.channels[name]
        channel = self.channels[name]
        channel.release(connection)
        self._mark(name)

    async def _check_room(self, name: str, user_id: str) -> None:
        """Refuse one user more than may be on a presence channel."""
        channel = self.channels.get(name)
        members: Collection[str] = channel.known if channel is not None else ()
        if channel is None or channel.version is None:
            try:
                members = (await self._backplane.store.read([name]))[0].members
            except Exception as exc:  # noqa: BLE001  any store, any error: suppose there is room
                _log_store(exc)
        if len(members) >= self.options.max_presence_members and user_id not in members:
            raise SubscriptionRefused(
                f"{self.options.max_presence_members} users are here already.",
                kind="LimitReached",
                status=4004,
            )

    # What the nodes have in common

    def _mark(self, name: str) -> asyncio.Future[None]:
        """Have the store told of our part of a channel; the future is done once it has answered."""
        future = asyncio.get_running_loop().create_future()
        self._dirty.setdefault(name, []).append(future)
        if self._syncing is None:
            self._syncing = asyncio.create_task(self._sync())
        return future

    async def _sync(self) -> None:
        """Tell the store what has changed, all that has gathered at once, until nothing is left."""
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
        try:
            outcome = await self._backplane.store.sync(self.name, slices)
        except Exception as exc:  # noqa: BLE001  any store, any error: go on with what is known here
            _log_store(exc)
            self._unsynced.update(each.channel for each in slices)
            for each in slices:
                self._suppose(each)
        else:
            self._unsynced.difference_update(each.channel for each in slices)
            self._take_in(outcome)

    def _suppose(self, part: Slice) -> None:
        """Go on, without the store, with those who are on this node."""
        channel = self.channels.get(part.channel)
        if channel is not None:
            members = {**channel.known, **part.members}
            self._apply(View(part.channel, channel.version or 0, part.subscriptions, members))

    def _slice(self, name: str) -> Slice:
        channel = self.channels.get(name)
        return Slice(name, 0, {}) if channel is None else channel.slice()

    def _take_in(self, outcome: Outcome) -> None:
        """Tell subscribers here and the other nodes what the store has found."""
        items = []
        for view in outcome.views:
            self._apply(view)
            if view.came or view.left:
                came = [(user_id, view.members[user_id]) for user_id in view.came]
                items.append(
                    wire.MembersItem(view.channel, view.previous, view.version, came, view.left)
                )
        if items:
            self._backplane.post(items)
        self._reporter.report([make_event(report) for report in outcome.reports])

    def _apply(self, view: View) -> None:
        channel = self.channels.get(view.channel)
        if channel is None:
            return
        if not channel.holders and view.channel not in self._dirty:
            del self.channels[view.channel]
            return
        came, left = channel.learn(view)
        self._tell_members(channel, came.items(), left)

    def _tell_members(
        self, channel: LocalChannel, came: Iterable[Sequence[str]], left: Iterable[str]
    ) -> None:
        for user_id in left:
            self._broadcast(channel, frames.member_removed(channel.name, user_id))
        for user_id, info in came:
            self._broadcast(channel, frames.member_added(channel.name, user_id, info))

    # What arrives

    def deliver(self, items: Sequence[wire.Item]) -> None:
        """Bring the items of a hand-over to those whom they concern."""
        for item in items:
            if isinstance(item, wire.EventItem):
                self._deliver_event(item)
            elif isinstance(item, wire.MembersItem):
                self._deliver_members(item)

    def send_client_event(
        self, connection: Connection, event: str, channel: str, body: str
    ) -> None:
        """Send what a client sends to all others on a channel."""
        self._backplane.post(
            [
                wire.EventItem(
                    event,
                    [channel],
                    body,
                    socket_id=connection.socket_id,
                    user_id=connection.channels[channel],
                )
            ]
        )

    def _deliver_event(self, item: wire.EventItem) -> None:
        data_text = ""
        for name in item.channels:
            channel = self.channels.get(name)
            if channel is not None and channel.subscribers:
                data_text = data_text or frames.dump(item.body)
                frame = frames.event_frame(item.name, name, data_text, item.user_id)
                self._broadcast(channel, frame, item.socket_id)

    def _deliver_members(self, item: wire.MembersItem) -> None:
        """Believe another node if it goes on from what we know; ask the store if it does not."""
        channel = self.channels.get(item.channel)
        if channel is None or channel.version is None or item.version <= channel.version:
            return
        if item.previous != channel.version:
            self._mark(channel.name)
            return
        members = {
            user_id: info for user_id, info in channel.known.items() if user_id not in item.left
        }
        members.update((user_id, info) for user_id, info in item.came)
        self._apply(View(channel.name, item.version, 0, members))

    def _broadcast(self, channel: LocalChannel, frame: str, but: str = "") -> None:
        message: Message = {"type": "websocket.send", "text": frame}
        for connection in list(channel.broadcast(message, but)):
            self.disconnect(connection)


def _log_store(exc: Exception) -> None:
    # Not its text, in which an address with a password may stand.
    logger.error("The store of the server failed: %s", type(exc).__name__)
