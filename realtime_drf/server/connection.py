"""One client's connection: its frames, what it may do, and what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from realtime_drf.exceptions import InvalidEvent
from realtime_drf.names import (
    CLIENT_PREFIX,
    ChannelKind,
    ParsedName,
    build_channel_name,
    is_unicode,
    parse_channel_name,
)
from realtime_drf.pusher_protocol import frames
from realtime_drf.pusher_protocol.frames import Frame, ProtocolError, SubscriptionRefused
from realtime_drf.rendering import read
from realtime_drf.server.fast_path import TextMessage
from realtime_drf.server.writer import AsgiMessage, Send, Writer
from realtime_drf.tracebacks import opaque

if TYPE_CHECKING:
    from realtime_drf.server.node import Node

Receive = Callable[[], Awaitable[AsgiMessage]]

CLOSE_TIMEOUT: Final = 10.0
"""Seconds that a client has to take the close of its connection."""

_PRIVATE_KINDS: Final = (ChannelKind.PRIVATE, ChannelKind.PRESENCE)


class Connection:
    """Speak the protocol with one client.

    Args:
        node: the server's part in this process.
        socket_id: the connection's name, which clients hand on to be left out.
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

    def __init__(self, node: Node, socket_id: str, send: Send) -> None:
        self.node = node
        self.socket_id = socket_id
        self.channels: dict[str, str] = {}
        """Names of the channels it is on, each with its user id on presence channels."""
        self.seen_at = node.clock()
        self.pinged_at: float | None = None
        self.close_code: int | None = None
        self.user_id: str | None = None
        """Who has signed in."""
        self.user_info = ""
        self.watched: tuple[str, ...] = ()
        """Names of the channels of those whom the user watches."""
        self._writer = Writer(send, node.scheduler, node.pace)
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_given_up = False
        self._allowance = float(node.options.client_events_per_second)
        self._allowed_at = self.seen_at

    def __repr__(self) -> str:
        return f"<Connection {self.socket_id}>"

    # Out

    def write(self, message: Any) -> bool:
        """Write a message of ASGI; return whether the connection is still good for more."""
        return self._writer.write(message)

    @property
    def pending(self) -> list[bytes]:
        """Frames that leave at the end of this turn; while there are any, more may be added."""
        return self._writer.pending

    def tell(self, frame: str) -> None:
        """Write a frame."""
        self._writer.write(TextMessage(frame))

    def close(self, code: int, reason: str = "") -> None:
        """End the connection, with a code of the protocol; more than once is no error.

        It is on no channel any more, whether or not the client takes the close; if it does not
        within `CLOSE_TIMEOUT`, the connection is cut off, or where that cannot be left to the ASGI
        server.
        """
        if self.close_code is None:
            self.close_code = code
            self.node.disconnect(self)
            self._writer.finish({"type": "websocket.close", "code": code, "reason": reason})
            self._timer = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._give_up)

    @opaque
    async def serve(self, receive: Receive) -> None:
        """Answer the client until it is gone, or given up."""
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
        # The server may have said that the client is gone, and still wait for it to take the close.
        self._writer.abort()
        if self._task is not None:
            self._is_given_up = True
            self._task.cancel()

    @property
    def is_gone(self) -> bool:
        """Whether the server has said that the client is gone."""
        return self._writer.is_gone

    @property
    def has_fast_path(self) -> bool:
        """Whether messages go past the server's `send`."""
        return self._writer.has_fast_path

    async def flushed(self) -> None:
        """Wait until the client has been written all there is."""
        await self._writer.flushed()

    # In

    async def handle(self, text: str | None) -> None:
        """Answer a frame; whatever it holds, nothing is raised for it."""
        self.seen_at = self.node.clock()
        self.pinged_at = None
        try:
            if text is None:
                raise ProtocolError("A frame is text, not binary.")
            if frames.is_longer(text, self.node.options.max_frame_bytes):
                raise ProtocolError(
                    f"A frame has {self.node.options.max_frame_bytes} bytes at most."
                )
            await self._dispatch(frames.parse(text))
        except ProtocolError as exc:
            self.tell(frames.error(str(exc), exc.code))

    async def _dispatch(self, frame: Frame) -> None:
        if frame.event == "pusher:ping":
            self.tell(frames.PONG)
        elif frame.event == "pusher:pong":
            pass  # that it came is all it says
        elif frame.event == "pusher:subscribe":
            await self._subscribe(frame)
        elif frame.event == "pusher:unsubscribe":
            self._unsubscribe(frame)
        elif frame.event == "pusher:signin":
            await self._sign_in(frame)
        elif frame.event.startswith(CLIENT_PREFIX):
            self._send_client_event(frame)
        else:
            raise ProtocolError(f"There is no event {frame.event[:40]!r} for clients to send.")

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
            if len(self.channels) >= self.node.options.max_channels:
                raise SubscriptionRefused(
                    f"A connection has {self.node.options.max_channels} channels at most.",
                    kind="LimitReached",
                    status=4004,
                )
            await self.node.join(self, name, user_id, info)
        except SubscriptionRefused as exc:
            self.tell(frames.subscription_error(name[:200], exc))

    def _authorize(self, name: str, auth: str, channel_data: str | None) -> tuple[str, str]:
        """Return the user id and info with which the connection may be on a channel."""
        parsed = _parse_name(name)
        if parsed.kind is ChannelKind.PUBLIC:
            return "", ""
        if parsed.kind is ChannelKind.USER:
            if parsed.base != self.user_id:
                raise SubscriptionRefused("A user's channel is for who has signed in as that user.")
            return "", ""
        text = f"{self.socket_id}:{name}"
        if channel_data is not None:
            text += f":{channel_data}"
        if not self._is_signed(text, auth):
            raise SubscriptionRefused("The signature is not of this app for this connection.")
        if parsed.kind is not ChannelKind.PRESENCE:
            return "", ""
        if channel_data is None and self.user_id:
            return self.user_id, self.user_info
        return _read_member(channel_data)

    def _is_signed(self, text: str, auth: str) -> bool:
        key, _, signature = auth.partition(":")
        return key == self.node.signer.key and self.node.signer.verify(text, signature)

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
        if not self._is_signed(f"{self.socket_id}::user::{user_data}", auth):
            self._reject("The signature is not of this app for this connection.")
            return
        try:
            user_id, info, watchlist = _read_user(user_data)
        except ValueError as exc:
            self._reject(str(exc))
            return
        if self.user_id is not None:
            raise ProtocolError("A user has signed in on this connection already.")
        self.user_id, self.user_info = user_id, info
        self.tell(frames.signed_in(user_data))
        if len(watchlist) > self.node.options.max_watchlist:
            message = f"A watchlist has {self.node.options.max_watchlist} users at most."
            self.tell(frames.error(message, frames.WATCHLIST_TOO_LONG))
            watchlist = []
        await self.node.sign_in(self, user_id, watchlist)

    def _reject(self, message: str) -> None:
        self.tell(frames.error(message, frames.UNAUTHORIZED))
        self.close(frames.UNAUTHORIZED, message)

    # Client events

    def _send_client_event(self, frame: Frame) -> None:
        options = self.node.options
        if not options.client_events:
            raise _refusal("Client events are not enabled for this app.")
        if frame.channel not in self.channels:
            raise _refusal("A client sends events to channels that it is subscribed to.")
        if _parse_name(frame.channel).kind not in _PRIVATE_KINDS:
            raise _refusal("Clients send events to private and presence channels only.")
        body = frames.client_event_text(frame.data)
        if options.payload_limit is not None and len(body.encode()) > options.payload_limit:
            raise _refusal(f"The data of an event has {options.payload_limit} bytes at most.")
        if not self._may_send():
            raise _refusal(
                f"A client sends {options.client_events_per_second} events a second at most."
            )
        self.node.send_client_event(self, frame.event, frame.channel, body)

    def _may_send(self) -> bool:
        """Count one event against the rate, which lets a second's worth come at once."""
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
            "The name of the channel is not a legal one.", kind="InvalidChannel", status=400
        ) from None


def _read_member(channel_data: str | None) -> tuple[str, str]:
    """Return the user id and info that the server of the project has signed."""
    try:
        data = read(channel_data or "")
    except ValueError:
        data = None
    user_id = _as_id(data.get("user_id")) if isinstance(data, dict) else None
    if not isinstance(user_id, str) or not user_id:
        raise SubscriptionRefused("A presence channel needs channel_data with a user_id.")
    info = data.get("user_info")
    text = "" if info is None else frames.dump(info)
    if not is_unicode(user_id + text):
        raise SubscriptionRefused("channel_data holds a lone surrogate, which is no text.")
    return user_id, text


def _as_id(value: Any) -> Any:
    """Return a user's id as text, where the server of the project has signed a number."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


def _read_user(user_data: str) -> tuple[str, str, list[str]]:
    """Return the id, info and watchlist of a user, which the server of the project has signed.

    Raises:
        ValueError: they are malformed.
    """
    try:
        data = read(user_data)
    except ValueError:  # whose text may quote what was sent
        raise ValueError("user_data is not JSON.") from None
    user_id = _as_id(data.get("id")) if isinstance(data, dict) else None
    if not (isinstance(user_id, str) and user_id):
        raise ValueError("user_data has no id.")
    info, watchlist = data.get("user_info"), data.get("watchlist") or []
    if not isinstance(watchlist, list):
        raise ValueError("A watchlist is a list of the ids of users.")
    watchlist = [_as_id(each) for each in watchlist]
    for each in (user_id, *watchlist):
        try:
            build_channel_name(ChannelKind.USER, each)
        except InvalidEvent:
            raise ValueError("A user's id is not a legal one.") from None
    text = "" if info is None else frames.dump(info)
    if not is_unicode(text):
        raise ValueError("user_info holds a lone surrogate, which is no text.")
    return user_id, text, list(dict.fromkeys(watchlist))


def _refusal(message: str) -> ProtocolError:
    return ProtocolError(message, frames.CLIENT_EVENT_REFUSED)
