"""Reading and writing frames of the Pusher protocol, version 7.

https://pusher.com/docs/channels/library_auth_reference/pusher-websockets-protocol/
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from realtime_drf.names import MAX_EVENT_LENGTH, is_unicode
from realtime_drf.rendering import read

PROTOCOLS: Final = range(5, 8)
"""Versions of the protocol that clients may use. Their differences do not concern a server."""

# Close codes
NO_SUCH_APP: Final = 4001
OVER_CAPACITY: Final = 4100
RECONNECT_LATER: Final = 4150  # clients wait a second after 4100 to 4199
NO_SUCH_PATH: Final = 4005
INVALID_VERSION: Final = 4006
UNSUPPORTED_VERSION: Final = 4007
NO_VERSION: Final = 4008
UNAUTHORIZED: Final = 4009  # also of a connection that is terminated
RECONNECT: Final = 4200
NO_PONG: Final = 4201

# Error codes that leave the connection open
CLIENT_EVENT_REFUSED: Final = 4301
WATCHLIST_TOO_LONG: Final = 4302

PONG: Final = '{"event":"pusher:pong","data":"{}"}'
PING: Final = '{"event":"pusher:ping","data":"{}"}'


class ProtocolError(Exception):
    """An invalid frame, which gets an error and leaves the connection open."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class SubscriptionRefused(Exception):
    """A refused subscription, which gets an error on its channel."""

    def __init__(self, message: str, *, kind: str = "AuthError", status: int = 401) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status


class Frame(NamedTuple):
    """A frame of a client."""

    event: str
    channel: str
    data: Any


def is_longer(text: str, limit: int) -> bool:
    """Return whether text in UTF-8 has more bytes than a limit."""
    if 4 * len(text) <= limit:  # no character has more than four
        return False
    return len(text.encode(errors="surrogatepass")) > limit


def parse(text: str) -> Frame:
    """Parse a client's frame.

    Raises:
        ProtocolError: it is invalid.
    """
    try:
        content = read(text)
    except ValueError:
        raise ProtocolError("A frame must be a JSON object.") from None
    if not isinstance(content, dict):
        raise ProtocolError("A frame must be a JSON object.")
    event, channel = content.get("event"), content.get("channel")
    if not isinstance(event, str) or not event or len(event) > MAX_EVENT_LENGTH:
        raise ProtocolError(f"'event' must be a string of 1 to {MAX_EVENT_LENGTH} characters.")
    if not isinstance(channel, str | None):
        raise ProtocolError("'channel' must be a string.")
    if not is_unicode(event):
        raise ProtocolError("'event' contains a lone surrogate.")
    return Frame(event, channel or "", content.get("data"))


def read_object(frame: Frame) -> Mapping[str, Any]:
    """Return a frame's data as an object, also if it is the JSON text of one.

    Raises:
        ProtocolError: it is not an object.
    """
    data = frame.data
    if isinstance(data, str):
        try:
            data = read(data)
        except ValueError:
            data = None
    if not isinstance(data, dict):
        raise ProtocolError(f"'data' of {frame.event[:40]} must be an object.")
    return data


def read_text(data: Mapping[str, Any], field: str, event: str) -> str | None:
    """Return a string in a frame's data, or None if it is missing."""
    value = data.get(field)
    if not isinstance(value, str | None) or (value is not None and not is_unicode(value)):
        raise ProtocolError(f"{field!r} of {event} must be a string.")
    return value


def dump(content: Any) -> str:
    """Return JSON text."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def event_frame(event: str, channel: str, data_text: str, user_id: str = "") -> str:
    """Return an event of a channel; `data_text` is its data, JSON text encoded as a JSON string."""
    user = f',"user_id":{dump(user_id)}' if user_id else ""
    return f'{{"event":{dump(event)},"channel":{dump(channel)},"data":{data_text}{user}}}'


def internal_frame(event: str, channel: str, data: Any) -> str:
    """Return an event of the protocol on a channel."""
    return event_frame(event, channel, dump(dump(data)))


def established(socket_id: str, activity_timeout: int) -> str:
    """Return the first frame of a connection."""
    data = {"socket_id": socket_id, "activity_timeout": activity_timeout}
    return dump({"event": "pusher:connection_established", "data": dump(data)})


def error(message: str, code: int | None) -> str:
    """Return an error that concerns no channel."""
    return dump({"event": "pusher:error", "data": {"code": code, "message": message}})


def subscription_error(channel: str, refused: SubscriptionRefused) -> str:
    """Return the error of a refused subscription."""
    data = {"type": refused.kind, "error": str(refused), "status": refused.status}
    return dump({"event": "pusher:subscription_error", "channel": channel, "data": data})


def subscribed(channel: str, members: Mapping[str, str] | None) -> str:
    """Return the confirmation of a subscription, with the members of a presence channel."""
    data: dict[str, Any] = {}
    if members is not None:
        users = {user_id: _info(info) for user_id, info in members.items()}
        data = {"presence": {"ids": list(users), "hash": users, "count": len(users)}}
    return internal_frame("pusher_internal:subscription_succeeded", channel, data)


def member_added(channel: str, user_id: str, info: str) -> str:
    """Return the frame for a new member of a presence channel."""
    data = {"user_id": user_id, "user_info": _info(info)}
    return internal_frame("pusher_internal:member_added", channel, data)


def member_removed(channel: str, user_id: str) -> str:
    """Return the frame for a member who has left a presence channel."""
    return internal_frame("pusher_internal:member_removed", channel, {"user_id": user_id})


def signed_in(user_data: str) -> str:
    """Return the confirmation of a sign-in, with the text that was signed."""
    return dump({"event": "pusher:signin_success", "data": dump({"user_data": user_data})})


def watchlist_event(is_online: bool, user_ids: Sequence[str]) -> str:
    """Return the frame for users on a watchlist who have come online or gone offline."""
    event = {"name": "online" if is_online else "offline", "user_ids": user_ids}
    return dump({"event": "pusher_internal:watchlist_events", "data": dump({"events": [event]})})


def cache_miss(channel: str) -> str:
    """Return the frame for a cache channel without an event."""
    return dump({"event": "pusher:cache_miss", "channel": channel})


def count(channel: str, subscriptions: int) -> str:
    """Return the frame with the number of subscriptions of a channel."""
    data = {"subscription_count": subscriptions}
    return internal_frame("pusher_internal:subscription_count", channel, data)


def client_event_text(data: Any) -> str:
    """Return the text that subscribers receive as the data of a client event.

    Raises:
        ProtocolError: it is nested too deeply, or contains a lone surrogate.
    """
    try:
        text = data if isinstance(data, str) else dump(data)
    except RecursionError:
        raise ProtocolError("'data' is nested too deeply.") from None
    if not is_unicode(text):
        raise ProtocolError("'data' contains a lone surrogate.")
    return text


def _info(text: str) -> Any:
    return json.loads(text) if text else None
