"""A connection of one client: the frames that it sends and receives, and what they may do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from realtime_drf.cluster.options import AppOptions
from realtime_drf.exceptions import InvalidEvent
from realtime_drf.names import CLIENT_PREFIX, ChannelKind, ParsedName, parse_channel_name
from realtime_drf.pusher_protocol import frames
from realtime_drf.pusher_protocol.frames import Frame, ProtocolError, SubscriptionRefused
from realtime_drf.pusher_protocol.signatures import Signer
from realtime_drf.pusher_protocol.user_data import read_member, read_user
from realtime_drf.server.fast_path import FlushScheduler, TextMessage
from realtime_drf.server.pace import Pace
from realtime_drf.server.writer import AsgiMessage, Send, Writer
from realtime_drf.tracebacks import opaque

logger = logging.getLogger("realtime_drf")

Receive = Callable[[], Awaitable[AsgiMessage]]

CLOSE_TIMEOUT: Final = 10.0
"""Seconds that a client has to take the close of its connection."""

_PRIVATE_KINDS: Final = (ChannelKind.PRIVATE, ChannelKind.PRESENCE)
_BAD_SIGNATURE: Final = "The signature is not valid for this app and connection."


class ConnectionNode(Protocol):
    """A node, with what a connection needs of it."""

    options: AppOptions
    signer: Signer
    clock: Callable[[], float]
    scheduler: FlushScheduler
    pace: Pace
    dropped: int

    async def join(
        self, connection: Connection, name: str, user_id: str = "", info: str = ""
    ) -> None:
        """Subscribe a connection to a channel."""

    def leave(self, connection: Connection, name: str) -> None:
        """Unsubscribe a connection from a channel."""

    async def sign_in(self, connection: Connection, user_id: str, watchlist: Sequence[str]) -> None:
        """Register the user of a connection, and the users whom they watch."""

    def send_client_event(
        self, connection: Connection, event: str, channel: str, body: str
    ) -> None:
        """Publish an event of a client to the other subscribers of a channel."""

    def disconnect(self, connection: Connection) -> None:
        """Remove a connection."""


class Connection:
    """A connection of one client.

    Args:
        node: the server's part in this process.
        socket_id: identifies the connection; clients pass it on to exclude themselves from events.
        send: of the ASGI server.
    """

    __slots__ = (
        "_allowance",
        "_allowed_at",
        "_is_given_up",
        "_task",
        "_timer",
        "_writer",
        "channels",
        "close_code",
        "node",
        "pinged_at",
        "seen_at",
        "socket_id",
        "user_id",
        "user_info",
        "watched",
    )

    def __init__(self, node: ConnectionNode, socket_id: str, send: Send) -> None:
        self.node = node
        self.socket_id = socket_id
        self.channels: dict[str, str] = {}
        """Names of its channels, each with its user id on presence channels."""
        self.seen_at = node.clock()
        self.pinged_at: float | None = None
        self.close_code: int | None = None
        self.user_id: str | None = None
        """The user who has signed in."""
        self.user_info = ""
        self.watched: tuple[str, ...] = ()
        """Names of the channels of the users on the watchlist."""
        self._writer = Writer(send, node.scheduler, node.pace)
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_given_up = False
        self._allowance = float(node.options.client_events_per_second)
        self._allowed_at = self.seen_at

    def __repr__(self) -> str:
        return f"<Connection {self.socket_id}>"

    # Out

    def write(self, message: AsgiMessage) -> bool:
        """Write an ASGI message; return False if the connection takes no more."""
        return self._writer.write(message)

    @property
    def pending(self) -> list[bytes]:
        """Frames to write at the end of this event loop iteration; append only if not empty."""
        return self._writer.pending

    def send(self, frame: str) -> None:
        """Write a frame."""
        self._writer.write(TextMessage(frame))

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection with a code of the protocol; do nothing if it is closed already.

        It leaves all channels at once, whether or not the client takes the close. If the client
        does not within `CLOSE_TIMEOUT`, the connection is aborted, or its task is cancelled where
        the ASGI server offers no way to abort it.
        """
        if self.close_code is None:
            self.close_code = code
            self.node.disconnect(self)
            self._writer.finish({"type": "websocket.close", "code": code, "reason": reason})
            self._timer = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._give_up)

    def drop(self) -> None:
        """Disconnect a client that takes no more, so that it holds up no other."""
        if self._writer.is_disconnected:
            self.node.disconnect(self)
            return
        if self.close_code is None:
            self.node.dropped += 1
            logger.warning("Closing %r: its send buffer is full", self)
        self.close(frames.OVER_CAPACITY, "Send buffer is full")

    @opaque
    async def serve(self, receive: Receive) -> None:
        """Handle the client's frames until it disconnects, or does not take the close."""
        self._task = asyncio.current_task()
        inflow = self._writer.find_inflow(receive)
        try:
            while True:
                inflow.keep_up()
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    return
                if self.close_code is None:
                    await self.handle(message.get("text"))
                    # Not until nothing waits: with a steady stream, that might never be so.
                    await self._writer.caught_up()
                await self.node.pace.give_way()
        except asyncio.CancelledError:
            if not self._is_given_up or self._task is None:
                raise
            self._task.uncancel()
        finally:
            self.node.disconnect(self)
            self._writer.abandon()
            self._task = None

    def _give_up(self) -> None:
        # The server may know that the client has disconnected, and still wait for the close.
        self._writer.abort()
        if self._task is not None:
            self._is_given_up = True
            self._task.cancel()

    @property
    def has_fast_path(self) -> bool:
        """Whether messages bypass the server's `send`."""
        return self._writer.has_fast_path

    async def flushed(self) -> None:
        """Wait until everything has been written."""
        await self._writer.flushed()

    # In

    async def handle(self, text: str | None) -> None:
        """Handle a frame; send an error if it is invalid, and raise nothing."""
        self.seen_at = self.node.clock()
        self.pinged_at = None
        limit = self.node.options.max_frame_bytes
        try:
            if text is None:
                raise ProtocolError("A frame must be text, not binary.")
            if frames.is_longer(text, limit):
                raise ProtocolError(f"A frame may have at most {limit} bytes.")
            await self._dispatch(frames.parse(text))
        except ProtocolError as exc:
            self.send(frames.error(str(exc), exc.code))

    async def _dispatch(self, frame: Frame) -> None:
        if frame.event == "pusher:ping":
            self.send(frames.PONG)
        elif frame.event == "pusher:pong":
            pass  # `seen_at` is set already
        elif frame.event == "pusher:subscribe":
            await self._subscribe(frame)
        elif frame.event == "pusher:unsubscribe":
            self._unsubscribe(frame)
        elif frame.event == "pusher:signin":
            await self._sign_in(frame)
        elif frame.event.startswith(CLIENT_PREFIX):
            self._send_client_event(frame)
        else:
            raise ProtocolError(f"Clients cannot send the event {frame.event[:40]!r}.")

    # Channels

    async def _subscribe(self, frame: Frame) -> None:
        data = frames.read_object(frame)
        name, auth, channel_data = (
            frames.read_text(data, field, frame.event)
            for field in ("channel", "auth", "channel_data")
        )
        if not name:
            raise ProtocolError(f"{frame.event} needs a 'channel'.")
        if name in self.channels:
            raise ProtocolError(f"Existing subscription to channel {name}")
        try:
            user_id, info = self._authorize(name, auth or "", channel_data)
            self._check_limit()
            await self.node.join(self, name, user_id, info)
        except SubscriptionRefused as exc:
            self.send(frames.subscription_error(name[:200], exc))

    def _authorize(self, name: str, auth: str, channel_data: str | None) -> tuple[str, str]:
        """Return the user id and info with which the connection may subscribe to a channel."""
        parsed = _parse_name(name)
        if parsed.kind is ChannelKind.PUBLIC:
            return "", ""
        if parsed.kind is ChannelKind.USER:
            if parsed.base != self.user_id:
                raise SubscriptionRefused("Only this user's connections may subscribe to it.")
            return "", ""
        text = f"{self.socket_id}:{name}"
        if channel_data is not None:
            text += f":{channel_data}"
        if not self.node.signer.verify_token(text, auth):
            raise SubscriptionRefused(_BAD_SIGNATURE)
        if parsed.kind is not ChannelKind.PRESENCE:
            return "", ""
        if channel_data is None and self.user_id:
            return self.user_id, self.user_info
        try:
            return read_member(channel_data or "")
        except ValueError as exc:
            raise SubscriptionRefused(str(exc)) from None

    def _check_limit(self) -> None:
        limit = self.node.options.max_channels
        if len(self.channels) >= limit:
            message = f"A connection may subscribe to at most {limit} channels."
            raise SubscriptionRefused(message, kind="LimitReached", status=4004)

    def _unsubscribe(self, frame: Frame) -> None:
        name = frames.read_text(frames.read_object(frame), "channel", frame.event)
        if name not in self.channels:
            raise ProtocolError(f"No current subscription to channel {(name or '')[:200]}")
        self.node.leave(self, name)

    # Users

    async def _sign_in(self, frame: Frame) -> None:
        data = frames.read_object(frame)
        auth, user_data = (
            frames.read_text(data, field, frame.event) or "" for field in ("auth", "user_data")
        )
        try:
            if not self.node.signer.verify_token(f"{self.socket_id}::user::{user_data}", auth):
                raise ValueError(_BAD_SIGNATURE)
            user_id, info, watchlist = read_user(user_data)
        except ValueError as exc:
            self.send(frames.error(str(exc), frames.UNAUTHORIZED))
            self.close(frames.UNAUTHORIZED, str(exc))
            return
        if self.user_id is not None:
            raise ProtocolError("A user has already signed in on this connection.")
        self.user_id, self.user_info = user_id, info
        self.send(frames.signed_in(user_data))
        await self.node.sign_in(self, user_id, self._limit_watchlist(watchlist))

    def _limit_watchlist(self, watchlist: list[str]) -> list[str]:
        """Return a watchlist; send an error and return an empty one if it is too long."""
        limit = self.node.options.max_watchlist
        if len(watchlist) <= limit:
            return watchlist
        message = f"A watchlist may have at most {limit} users."
        self.send(frames.error(message, frames.WATCHLIST_TOO_LONG))
        return []

    # Client events

    def _send_client_event(self, frame: Frame) -> None:
        options = self.node.options
        if not options.client_events:
            raise _refusal("Client events are not enabled for this app.")
        if frame.channel not in self.channels:
            raise _refusal("Clients can send events only to channels they are subscribed to.")
        if _parse_name(frame.channel).kind not in _PRIVATE_KINDS:
            raise _refusal("Clients can send events only to private and presence channels.")
        body = frames.client_event_text(frame.data)
        if options.payload_limit is not None and len(body.encode()) > options.payload_limit:
            raise _refusal(f"The data of an event may have at most {options.payload_limit} bytes.")
        if not self._is_within_rate():
            rate = options.client_events_per_second
            raise _refusal(f"A client may send at most {rate} events per second.")
        self.node.send_client_event(self, frame.event, frame.channel, body)

    def _is_within_rate(self) -> bool:
        """Count one event against the rate, which allows a second's worth at once."""
        rate = self.node.options.client_events_per_second
        now = self.node.clock()
        self._allowance = min(rate, self._allowance + (now - self._allowed_at) * rate)
        self._allowed_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True


def _parse_name(name: str) -> ParsedName:
    try:
        return parse_channel_name(name)
    except InvalidEvent:
        raise SubscriptionRefused(
            "The channel name is not valid.", kind="InvalidChannel", status=400
        ) from None


def _refusal(message: str) -> ProtocolError:
    return ProtocolError(message, frames.CLIENT_EVENT_REFUSED)
