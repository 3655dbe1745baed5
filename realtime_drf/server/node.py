"""A node: an app's part of the server in one process, seen from one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

from realtime_drf.cluster import messages
from realtime_drf.cluster.app import App
from realtime_drf.cluster.backplane import Backplane, load_event
from realtime_drf.cluster.origins import Origins
from realtime_drf.cluster.serial_worker import end, raise_if_cancelled
from realtime_drf.names import CLIENT_PREFIX, ChannelKind, build_channel_name, parse_channel_name
from realtime_drf.pusher_protocol import frames
from realtime_drf.pusher_protocol.frames import SubscriptionRefused
from realtime_drf.server.channel import LocalChannel
from realtime_drf.server.connection import Connection
from realtime_drf.server.fast_path import FlushScheduler
from realtime_drf.server.hub import Hub, make_event
from realtime_drf.server.pace import Pace
from realtime_drf.server.reporter import Notify, Reporter
from realtime_drf.server.writer import Send

logger = logging.getLogger("realtime_drf")

TICK: Final = 1.0
"""Seconds between two looks at what is due."""

START_TIMEOUT: Final = 5.0
"""Seconds that a connection waits for a channel layer which cannot be reached."""

STORE_SILENCE: Final = 5.0
"""Seconds after which a store that has not answered is taken to be away."""

MAX_LAST_EVENTS: Final = 10_000
"""Cache channels of which a node knows the last event that came, whether anybody was on them."""


class Node:
    """Know the connections of an app here, and bring to them what concerns them.

    Args:
        app: its keys, options, and backplane.
        notify: calls the receivers of signals.
        clock: returns seconds that never go back.
        tick: seconds between two looks at what is due.
    """

    def __init__(
        self,
        app: App,
        notify: Notify,
        *,
        clock: Callable[[], float] = time.monotonic,
        tick: float = TICK,
    ) -> None:
        self.name = secrets.token_hex(8)
        self.app = app
        self.signer = app.signer
        self.options = app.options
        allowed = self.options.allowed_origins
        self.origins = None if allowed is None else Origins(allowed)
        self.clock = clock
        self.scheduler = FlushScheduler()
        self.pace = Pace(clock)
        self.connections: dict[str, Connection] = {}
        self.is_draining = False
        """The process is told to end: clients go elsewhere."""
        self.lost = 0
        """Hand-overs that were lost on their way through the layer."""
        self._logged_lost = 0
        self.dropped = 0
        """Clients that were parted with, since they did not read."""
        self._backplane: Backplane = app.backplane
        self._reporter = Reporter(app, notify)
        self.hub = Hub(
            self.name,
            self._backplane,
            report=self._reporter.report,
            drop=self._drop,
            clock=clock,
            scheduler=self.scheduler,
            counts=self.options.subscription_counting,
        )
        self._last_ids: dict[str, str] = {}
        """Ids of the last events that came of cache channels, the latest at the end."""
        self._tick = tick
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = asyncio.Event()
        """It has heard once; connections do not wait again when it does not any more."""
        self._hears = False
        self._store_answered_at = clock()

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
        await end(self._tasks)
        await self._backplane.store.close()

    @property
    def is_ready(self) -> bool:
        """Whether what is published arrives here, as far as is known, and clients may come.

        Not every layer says that it hears nothing, so the silence of the store counts as well.
        """
        store_is_away = self.clock() - self._store_answered_at > STORE_SILENCE
        return self._hears and not store_is_away and not self.is_draining

    async def ready(self) -> None:
        """Wait until what is published from now on arrives here; not for longer than a while."""
        if not self._ready.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), START_TIMEOUT)

    def on_ready(self) -> None:
        self._hears = True
        self._ready.set()

    def on_disconnected(self) -> None:
        self._hears = False

    def on_gap(self, lost: int) -> None:
        """Count what was lost; who is where, the next beat finds out."""
        self.lost += lost

    async def tick(self) -> None:
        """Do what is due: look after silent connections, and say that we are alive."""
        self._log_lost()
        self._look_after_silent()
        await self.hub.tick()
        self._store_answered_at = self.clock()

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(self._tick)
            try:
                await self.tick()
            except Exception as exc:  # noqa: BLE001  any store, any error: the next one may work
                raise_if_cancelled()
                self.hub.log_store(exc)

    def _log_lost(self) -> None:
        """Log what was lost, once a while however much that is."""
        lost = self.lost - self._logged_lost
        self._logged_lost = self.lost
        if lost:
            logger.warning("%d hand-over(s) were lost on their way through the layer.", lost)

    def figures(self) -> dict[str, int]:
        """Return what is worth watching."""
        webhooks = self.app.webhooks
        return {
            "connections": len(self.connections),
            "fast_connections": sum(each.has_fast_path for each in self.connections.values()),
            "channels": len(self.hub.channels),
            "lost_batches": self.lost,
            "dropped_clients": self.dropped,
            "dropped_webhooks": webhooks.dropped if webhooks is not None else 0,
        }

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
        if connection.user_id:
            self._sign_out(connection)

    def _drop(self, connection: Connection) -> None:
        """Part with a client that takes no more, so that it holds up nobody."""
        if connection.is_gone:
            self.disconnect(connection)
            return
        if connection.close_code is None:
            self.dropped += 1
            logger.warning("%r does not read what it is sent, and is closed.", connection)
        connection.close(frames.OVER_CAPACITY, "The client does not read")

    @property
    def restart_code(self) -> int:
        """The code with which clients are sent away when the process ends.

        They reconnect at once where there are other processes. Where there is none, they would come
        back to this one, which may end before it answers: pusher-js waits 15 seconds after that.
        """
        return frames.RECONNECT_LATER if self.app.is_local else frames.RECONNECT

    async def drain(self) -> None:
        """Have all clients reconnect, elsewhere or later; return once they have been told."""
        self.is_draining = True
        connections = list(self.connections.values())
        for connection in connections:
            connection.close(self.restart_code, "The server is restarting")
        await asyncio.gather(*(connection.flushed() for connection in connections))
        await self.hub.settled()

    async def send_webhooks(self) -> None:
        """Have the webhooks that wait sent, for the process ends; return after a short while."""
        if self.app.webhooks is not None:
            await asyncio.to_thread(self.app.webhooks.close)

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

    async def join(
        self, connection: Connection, name: str, user_id: str = "", info: str = ""
    ) -> None:
        """Put a connection on a channel, and tell it so.

        Raises:
            SubscriptionRefused: as many users are there as may be.
        """
        if user_id:
            await self._check_room(name, user_id)
        if connection.socket_id not in self.connections:
            return  # it is gone
        channel = self.hub.open(name)
        connection.channels[name] = user_id
        if not channel.is_user:
            channel.hold(connection, user_id, info)
            settled = self.hub.mark(name)
            if channel.version is None or (user_id and user_id not in channel.known):
                await settled
        arrived, cached = channel.arrived, None
        if channel.is_cache:
            cached = await self._recall(channel)
        if name not in connection.channels:
            return  # it is gone
        connection.tell(frames.subscribed(name, channel.known if channel.is_presence else None))
        if channel.is_cache:
            self._tell_cached(channel, connection, cached, arrived)
        channel.subscribers[connection] = connection.pending
        if channel.sent_count:
            connection.tell(frames.count(name, channel.sent_count))

    def leave(self, connection: Connection, name: str) -> None:
        """Take a connection off a channel."""
        del connection.channels[name]
        channel = self.hub.channels[name]
        if channel.is_user:  # which the user holds by having signed in
            channel.subscribers.pop(connection, None)
        else:
            channel.release(connection)
            self.hub.mark(name)

    async def _check_room(self, name: str, user_id: str) -> None:
        """Refuse one user more than may be on a presence channel."""
        known: Collection[str] = ()
        channel = self.hub.channels.get(name)
        if channel is None or channel.version is None:
            try:
                known = (await self._backplane.store.read([name]))[0].members
            except Exception as exc:  # noqa: BLE001  any store, any error: suppose there is room
                raise_if_cancelled()
                self.hub.log_store(exc)
            channel = self.hub.channels.get(name)  # others may have come meanwhile
        members = set(known) if channel is None else {*known, *channel.known, *channel.users}
        if len(members) >= self.options.max_presence_members and user_id not in members:
            raise SubscriptionRefused(
                f"{self.options.max_presence_members} users are here already.",
                kind="LimitReached",
                status=4004,
            )

    # Cache channels

    async def _recall(self, channel: LocalChannel) -> str | None:
        """Return what the store keeps of a cache channel: text, nothing, or None if it fails."""
        try:
            return await self._backplane.store.recall(channel.name) or ""
        except Exception as exc:  # noqa: BLE001  any store, any error: nobody knows
            raise_if_cancelled()
            self.hub.log_store(exc)
            return None

    def _tell_cached(
        self, channel: LocalChannel, connection: Connection, cached: str | None, arrived: int
    ) -> None:
        """Write the last event; an event that has come since we asked is later than the answer."""
        if channel.arrived != arrived:
            connection.tell(channel.last_event)
        elif cached:
            item = load_event(cached, channel.name)
            connection.tell(frames.event_frame(item.name, channel.name, frames.dump(item.body)))
            if item.id != self._last_ids.get(channel.name):  # else it has been here before
                channel.recalled[connection] = item.id
        elif cached is not None:
            connection.tell(frames.cache_miss(channel.name))
            self._reporter.report([make_event("cache_miss", channel.name)])

    # Users

    async def sign_in(self, connection: Connection, user_id: str, watchlist: Sequence[str]) -> None:
        """Take note of a connection's user, and tell it who of those it watches is online."""
        own = _user_channel(user_id)
        self.hub.open(own).hold(connection)
        self.hub.mark(own)
        watched = [self.hub.open(_user_channel(each)) for each in watchlist]
        connection.watched = tuple(channel.name for channel in watched)
        for channel in watched:
            channel.watchers[connection] = False
        if settled := [self.hub.mark(channel.name) for channel in watched]:
            await asyncio.wait(settled)
        if connection.user_id is None:
            return  # it is gone
        online = [channel.user_id for channel in watched if channel.is_online]
        for channel in watched:
            channel.watchers[connection] = True
        if online:
            connection.tell(frames.watchlist_event(True, online))

    def _sign_out(self, connection: Connection) -> None:
        own = _user_channel(connection.user_id or "")
        connection.user_id = None
        self.hub.channels[own].release(connection)
        for name in connection.watched:
            if channel := self.hub.channels.get(name):
                channel.watchers.pop(connection, None)
        for name in (own, *connection.watched):
            self.hub.mark(name)

    def _end_connections(self, user_id: str) -> None:
        channel = self.hub.channels.get(_user_channel(user_id))
        for connection in list(channel.holders) if channel is not None else ():
            connection.close(frames.UNAUTHORIZED, "The user's connections were ended")

    # What arrives

    def deliver(self, items: Sequence[messages.Message]) -> None:
        """Bring the items of a hand-over to those whom they concern."""
        for item in items:
            match item:
                case messages.EventMessage():
                    self._deliver_event(item)
                case messages.MembersMessage():
                    self.hub.take_members(item)
                case messages.OnlineMessage():
                    self.hub.take_online(item)
                case messages.CountMessage():
                    self.hub.take_count(item)
                case messages.DisconnectMessage():
                    self._end_connections(item.user_id)

    def send_client_event(
        self, connection: Connection, event: str, channel: str, body: str
    ) -> None:
        """Send what a client sends to all others on a channel."""
        socket_id, user_id = connection.socket_id, connection.channels[channel]
        self._backplane.post(
            [messages.EventMessage(event, [channel], body, socket_id=socket_id, user_id=user_id)]
        )
        details = {"event": event, "data": body, "socket_id": socket_id}
        if user_id:
            details["user_id"] = user_id
        self._reporter.report([make_event("client_event", channel, **details)])

    def _deliver_event(self, item: messages.EventMessage) -> None:
        data_text = ""
        for name in item.channels:
            channel = self.hub.channels.get(name)
            is_kept = not item.name.startswith(CLIENT_PREFIX) and parse_channel_name(name).cache
            is_awaited = is_kept and self._note_last(name, item.id)
            if channel is None:
                continue
            data_text = data_text or frames.dump(item.body)
            frame = frames.event_frame(item.name, name, data_text, item.user_id)
            if is_kept:
                self._deliver_cached(channel, item, frame, is_awaited=is_awaited)
            else:
                self.hub.broadcast(channel, frame, item.socket_id)

    def _note_last(self, name: str, id_: str) -> bool:
        """Note the last event of a cache channel; return whether one had come before."""
        had_one = self._last_ids.pop(name, None) is not None
        self._last_ids[name] = id_
        if len(self._last_ids) > MAX_LAST_EVENTS:
            del self._last_ids[next(iter(self._last_ids))]  # the one without events for longest
        return had_one

    def _deliver_cached(
        self, channel: LocalChannel, item: messages.EventMessage, frame: str, *, is_awaited: bool
    ) -> None:
        """Deliver to all but those whom the cache has just given this very event or a later one.

        Of a channel that had events here before, one that the cache gave and that has not been here
        is on its way. Otherwise it was published before this node began, or comes next.
        """
        channel.arrived += 1
        channel.last_event = frame
        have_it = [
            connection
            for connection, id_ in channel.recalled.items()
            if is_awaited or id_ == item.id
        ]
        channel.recalled = {
            connection: id_
            for connection, id_ in channel.recalled.items()
            if is_awaited and id_ != item.id
        }
        for connection in have_it:
            channel.subscribers.pop(connection, None)
        self.hub.broadcast(channel, frame, item.socket_id)
        channel.subscribers.update((each, each.pending) for each in have_it)


def _user_channel(user_id: str) -> str:
    return build_channel_name(ChannelKind.USER, user_id)
