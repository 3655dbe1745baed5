"""A node: an app's part of the server in one process, seen from one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Final

from realtime_drf.cluster import messages
from realtime_drf.cluster.app import App
from realtime_drf.cluster.backplane import Backplane
from realtime_drf.cluster.origins import Origins
from realtime_drf.cluster.serial_worker import end, raise_if_cancelled
from realtime_drf.names import CLIENT_PREFIX, parse_channel_name
from realtime_drf.pusher_protocol import frames
from realtime_drf.server.cache_channels import CacheChannels
from realtime_drf.server.connection import Connection
from realtime_drf.server.fast_path import FlushScheduler
from realtime_drf.server.hub import Hub
from realtime_drf.server.pace import Pace
from realtime_drf.server.reporter import Notify, Reporter, make_event
from realtime_drf.server.subscriptions import Subscriptions
from realtime_drf.server.users import Users
from realtime_drf.server.writer import Send

logger = logging.getLogger("realtime_drf")

TICK: Final = 1.0
"""Seconds between two calls of `Node.tick`."""

START_TIMEOUT: Final = 5.0
"""Seconds that a new connection waits for a channel layer that is unavailable."""

STORE_SILENCE: Final = 5.0
"""Seconds after which a store that has not answered counts as unavailable."""


class Node:
    """An app's connections and channels in one event loop.

    Args:
        app: its keys, options, and backplane.
        notify: calls the receivers of signals.
        clock: returns seconds that never go back.
        tick: seconds between two calls of `tick`.
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
        """Whether the process is ending, and clients are to connect elsewhere."""
        self.lost = 0
        """Batches that were lost in the channel layer."""
        self._logged_lost = 0
        self.dropped = 0
        """Clients that were disconnected since their send buffer was full."""
        self._backplane: Backplane = app.backplane
        self._reporter = Reporter(app, notify)
        self.hub = Hub(
            self.name,
            self._backplane,
            report=self._reporter.report,
            clock=clock,
            scheduler=self.scheduler,
            counts=self.options.subscription_counting,
        )
        self._users = Users(self.hub)
        self._cache_channels = CacheChannels(
            self.hub, self._backplane, report=self._reporter.report
        )
        self._subscriptions = Subscriptions(
            self.connections,
            self.hub,
            self._cache_channels,
            max_members=self.options.max_presence_members,
        )
        self._tick = tick
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = asyncio.Event()
        """Set once events arrive; new connections do not wait again when they cease to."""
        self._is_connected = False
        self._store_answered_at = clock()

    def __repr__(self) -> str:
        return f"<Node {self.name}: {len(self.connections)} connections>"

    # Life

    def start(self) -> None:
        """Start the background tasks on the running event loop."""
        self._tasks = [
            asyncio.create_task(self._backplane.attend(self)),
            asyncio.create_task(self._tick_forever()),
        ]

    async def stop(self) -> None:
        """Stop the background tasks."""
        await end(self._tasks)
        await self._backplane.store.close()

    @property
    def is_ready(self) -> bool:
        """Whether events arrive here, as far as is known, and clients may connect.

        Not every channel layer reports that it is disconnected, so the store has to answer, too.
        """
        is_store_away = self.clock() - self._store_answered_at > STORE_SILENCE
        return self._is_connected and not is_store_away and not self.is_draining

    async def ready(self) -> None:
        """Wait until events that are published from now on arrive, but at most `START_TIMEOUT`."""
        if not self._ready.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), START_TIMEOUT)

    def on_ready(self) -> None:
        self._is_connected = True
        self._ready.set()

    def on_disconnected(self) -> None:
        self._is_connected = False

    def on_gap(self, lost: int) -> None:
        """Count lost batches. The next heartbeat corrects the state of channels."""
        self.lost += lost

    async def tick(self) -> None:
        """Ping idle connections, close those that do not answer, and send a heartbeat."""
        self._log_lost()
        self._ping_idle()
        await self.hub.tick()
        self._store_answered_at = self.clock()

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(self._tick)
            try:
                await self.tick()
            except Exception as exc:  # noqa: BLE001  any store, any error: the next tick may work
                raise_if_cancelled()
                self.hub.log_store(exc)

    def _log_lost(self) -> None:
        """Log how many batches were lost since the last tick."""
        lost = self.lost - self._logged_lost
        self._logged_lost = self.lost
        if lost:
            logger.warning("%d batch(es) were lost in the channel layer.", lost)

    def stats(self) -> dict[str, int]:
        """Return figures for monitoring."""
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
        """Return a new connection, or None if the limit is reached."""
        limit = self.options.max_connections
        if limit is not None and len(self.connections) >= limit:
            return None
        socket_id = f"{secrets.randbelow(10**10)}.{secrets.randbelow(10**10)}"
        connection = Connection(self, socket_id, send)
        self.connections[socket_id] = connection
        return connection

    def disconnect(self, connection: Connection) -> None:
        """Remove a connection that has disconnected, or that takes no more."""
        self.connections.pop(connection.socket_id, None)
        for name in list(connection.channels):
            self.leave(connection, name)
        if connection.user_id:
            self._users.sign_out(connection)

    @property
    def restart_code(self) -> int:
        """The code with which connections are closed when the process ends.

        Clients reconnect at once where there are other processes. Where there are none, they would
        reconnect to this one, which may end before it answers: pusher-js then waits 15 seconds.
        """
        return frames.RECONNECT_LATER if self.app.is_local else frames.RECONNECT

    async def drain(self) -> None:
        """Close all connections, so that clients reconnect; return once all is written."""
        self.is_draining = True
        connections = list(self.connections.values())
        for connection in connections:
            connection.close(self.restart_code, "The server is restarting")
        await asyncio.gather(*(connection.flushed() for connection in connections))
        await self.hub.settled()

    async def send_webhooks(self) -> None:
        """Flush the webhooks that wait, since the process ends; return after a short time."""
        if self.app.webhooks is not None:
            await asyncio.to_thread(self.app.webhooks.close)

    def _ping_idle(self) -> None:
        now = self.clock()
        for connection in list(self.connections.values()):
            if connection.pinged_at is not None:
                if now - connection.pinged_at >= self.options.pong_timeout:
                    connection.close(frames.NO_PONG, "No pong received")
            elif now - connection.seen_at >= self.options.activity_timeout:
                connection.pinged_at = now
                connection.send(frames.PING)

    # Channels and users

    async def join(
        self, connection: Connection, name: str, user_id: str = "", info: str = ""
    ) -> None:
        """Subscribe a connection to a channel; raise SubscriptionRefused if it is full."""
        await self._subscriptions.add(connection, name, user_id, info)

    def leave(self, connection: Connection, name: str) -> None:
        """Unsubscribe a connection from a channel."""
        self._subscriptions.remove(connection, name)

    async def sign_in(self, connection: Connection, user_id: str, watchlist: Sequence[str]) -> None:
        """Register the user of a connection, and the users whom they watch."""
        await self._users.sign_in(connection, user_id, watchlist)

    # Messages

    def deliver(self, batch: Sequence[messages.Message]) -> None:
        """Deliver the messages of a batch to the connections that they concern."""
        for message in batch:
            match message:
                case messages.EventMessage():
                    self._deliver_event(message)
                case messages.MembersMessage():
                    self.hub.apply_members(message)
                case messages.OnlineMessage():
                    self.hub.apply_online(message)
                case messages.CountMessage():
                    self.hub.apply_count(message)
                case messages.DisconnectMessage():
                    self._users.disconnect(message.user_id)

    def _deliver_event(self, event: messages.EventMessage) -> None:
        data_text = ""
        for name in event.channels:
            channel = self.hub.channels.get(name)
            is_cached = not event.name.startswith(CLIENT_PREFIX) and parse_channel_name(name).cache
            had_events = is_cached and self._cache_channels.note(name, event.id)
            if channel is None:
                continue
            data_text = data_text or frames.dump(event.body)
            frame = frames.event_frame(event.name, name, data_text, event.user_id)
            if is_cached:
                self._cache_channels.deliver(channel, event, frame, had_events=had_events)
            else:
                self.hub.broadcast(channel, frame, event.socket_id)

    def send_client_event(
        self, connection: Connection, event: str, channel: str, body: str
    ) -> None:
        """Publish an event of a client to the other subscribers of a channel."""
        socket_id, user_id = connection.socket_id, connection.channels[channel]
        self._backplane.post(
            [messages.EventMessage(event, [channel], body, socket_id=socket_id, user_id=user_id)]
        )
        details = {"event": event, "data": body, "socket_id": socket_id}
        if user_id:
            details["user_id"] = user_id
        self._reporter.report([make_event("client_event", channel, **details)])
