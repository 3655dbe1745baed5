"""One client's connection: its frames, what it may do, and what it is told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from realtime_drf.exceptions import InvalidEvent
from realtime_drf.names import ChannelKind, ParsedName, parse_channel_name
from realtime_drf.rendering import read
from realtime_drf.server import frames
from realtime_drf.server.frames import Frame, ProtocolError, SubscriptionRefused
from realtime_drf.server.outbox import Outbox, Send

if TYPE_CHECKING:
    from realtime_drf.server.node import Node

logger = logging.getLogger("realtime_drf")

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
        "_outbox",
        "channels",
        "close_code",
        "node",
        "pinged_at",
        "seen_at",
        "socket_id",
    )

    def __init__(self, node: Node, socket_id: str, send: Send) -> None:
        self.node = node
        self.socket_id = socket_id
        self.channels: dict[str, str] = {}
        """Names of the channels it is on, each with its user id on presence channels."""
        self.seen_at = node.clock()
        self.pinged_at: float | None = None
        self.close_code: int | None = None
        self._outbox = Outbox(send)
        self._allowance = float(node.options.client_events_per_second)
        self._allowed_at = self.seen_at

    def __repr__(self) -> str:
        return f"<Connection {self.socket_id}>"

    # Out

    def write(self, message: Any) -> bool:
        """Write a message of ASGI; return whether the connection is still good for more."""
        return self._outbox.write(message)

    def tell(self, frame: str) -> None:
        """Write a frame."""
        self._outbox.write({"type": "websocket.send", "text": frame})

    def close(self, code: int, reason: str = "") -> None:
        """End the connection, with a code of the protocol; more than once is no error."""
        if self.close_code is None:
            self.close_code = code
            self.node.disconnect(self)
            self._outbox.write({"type": "websocket.close", "code": code, "reason": reason})

    async def flushed(self) -> None:
        """Wait until the client has been written all there is."""
        await self._outbox.flushed()

    # In

    async def handle(self, text: str | None) -> None:
        """Answer a frame; whatever it holds, nothing is raised for it."""
        self.seen_at = self.node.clock()
        self.pinged_at = None
        try:
            if text is None:
                raise ProtocolError("A frame is text, not binary.")
            if len(text) > self.node.options.max_frame_bytes:
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
        elif frame.event.startswith("client-"):
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
            raise SubscriptionRefused("A user's channel is joined by signing in.")
        text = f"{self.socket_id}:{name}"
        if channel_data is not None:
            text += f":{channel_data}"
        self._verify(text, auth)
        return _read_member(channel_data) if parsed.kind is ChannelKind.PRESENCE else ("", "")

    def _verify(self, text: str, auth: str) -> None:
        key, _, signature = auth.partition(":")
        signer = self.node.signer
        if key != signer.key or not signer.verify(text, signature):
            raise SubscriptionRefused("The signature is not of this app for this connection.")

    def _unsubscribe(self, frame: Frame) -> None:
        name = frames.read_text(frames.read_object(frame), "channel", frame.event)
        if name not in self.channels:
            raise ProtocolError(f"No current subscription to channel {(name or '')[:200]}")
        self.node.leave(self, name)

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
    user_id = data.get("user_id") if isinstance(data, dict) else None
    if isinstance(user_id, int) and not isinstance(user_id, bool):
        user_id = str(user_id)
    if not isinstance(user_id, str) or not user_id:
        raise SubscriptionRefused("A presence channel needs channel_data with a user_id.")
    info = data.get("user_info")
    return user_id, "" if info is None else frames.dump(info)


def _refusal(message: str) -> ProtocolError:
    return ProtocolError(message, frames.CLIENT_EVENT_REFUSED)
