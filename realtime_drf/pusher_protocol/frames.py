"""Frames of the Pusher protocol, version 7: how they are read and written.

https://pusher.com/docs/channels/library_auth_reference/pusher-websockets-protocol/
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from realtime_drf.names import MAX_EVENT_LENGTH, is_unicode
from realtime_drf.rendering import read

PROTOCOLS: Final = range(5, 8)
"""Versions of the protocol that clients may speak; what they differ in, no server has to know."""

# Codes of the close of a connection.
NO_SUCH_APP: Final = 4001
OVER_CAPACITY: Final = 4100
RECONNECT_LATER: Final = 4150  # clients wait a second after 4100 to 4199
NO_SUCH_PATH: Final = 4005
INVALID_VERSION: Final = 4006
UNSUPPORTED_VERSION: Final = 4007
NO_VERSION: Final = 4008
UNAUTHORIZED: Final = 4009  # also of a connection that is ended
RECONNECT: Final = 4200
NO_PONG: Final = 4201

# Codes of errors that end no connection.
CLIENT_EVENT_REFUSED: Final = 4301
WATCHLIST_TOO_LONG: Final = 4302

PONG: Final = '{"event":"pusher:pong","data":"{}"}'
PING: Final = '{"event":"pusher:ping","data":"{}"}'


class ProtocolError(Exception):
    """Answer a frame with an error, which ends nothing."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class SubscriptionRefused(Exception):
    """Answer a subscription with an error on its channel."""

    def __init__(self, message: str, *, kind: str = "AuthError", status: int = 401) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status


class Frame(NamedTuple):
    """Hold what a client sends."""

    event: str
    channel: str
    data: Any


def is_longer(text: str, limit: int) -> bool:
    """Tell whether text has more bytes than it may."""
    if 4 * len(text) <= limit:  # of no character are there more than four
        return False
    return len(text.encode(errors="surrogatepass")) > limit


def parse(text: str) -> Frame:
    """Read a client's frame.

    Raises:
        ProtocolError: it is none.
    """
    try:
        content = read(text)
    except ValueError:
        raise ProtocolError("A frame is a JSON object.") from None
    if not isinstance(content, dict):
        raise ProtocolError("A frame is a JSON object.")
    event, channel = content.get("event"), content.get("channel")
    if not isinstance(event, str) or not event or len(event) > MAX_EVENT_LENGTH:
        raise ProtocolError(f"'event' is text of 1 to {MAX_EVENT_LENGTH} characters.")
    if not isinstance(channel, str | None):
        raise ProtocolError("'channel' is text.")
    if not is_unicode(event):
        raise ProtocolError("'event' holds a lone surrogate, which is no text.")
    return Frame(event, channel or "", content.get("data"))


def read_object(frame: Frame) -> Mapping[str, Any]:
    """Return a frame's data, which is an object, or the JSON text of one.

    Raises:
        ProtocolError: it is none.
    """
    data = frame.data
    if isinstance(data, str):
        try:
            data = read(data)
        except ValueError:
            data = None
    if not isinstance(data, dict):
        raise ProtocolError(f"'data' of {frame.event[:40]} is an object.")
    return data


def read_text(data: Mapping[str, Any], field: str, event: str) -> str | None:
    """Return a field of a frame's data that is text, or None if it is not there."""
    value = data.get(field)
    if not isinstance(value, str | None) or (value is not None and not is_unicode(value)):
        raise ProtocolError(f"{field!r} of {event} is text.")
    return value


def dump(content: Any) -> str:
    """Return JSON text."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def event_frame(event: str, channel: str, data_text: str, user_id: str = "") -> str:
    """Write an event of a channel; `data_text` is its data as JSON text, encoded as a string."""
    user = f',"user_id":{dump(user_id)}' if user_id else ""
    return f'{{"event":{dump(event)},"channel":{dump(channel)},"data":{data_text}{user}}}'


def internal_frame(event: str, channel: str, data: Any) -> str:
    """Write what the protocol says of a channel."""
    return event_frame(event, channel, dump(dump(data)))


def established(socket_id: str, activity_timeout: int) -> str:
    """Write the first frame of a connection."""
    data = {"socket_id": socket_id, "activity_timeout": activity_timeout}
    return dump({"event": "pusher:connection_established", "data": dump(data)})


def error(message: str, code: int | None) -> str:
    """Write an error that concerns no channel."""
    return dump({"event": "pusher:error", "data": {"code": code, "message": message}})


def subscription_error(channel: str, refused: SubscriptionRefused) -> str:
    """Write that a subscription is refused."""
    data = {"type": refused.kind, "error": str(refused), "status": refused.status}
    return dump({"event": "pusher:subscription_error", "channel": channel, "data": data})


def subscribed(channel: str, members: Mapping[str, str] | None) -> str:
    """Write that a subscription stands; on presence channels, with who is there."""
    data: dict[str, Any] = {}
    if members is not None:
        users = {user_id: _info(info) for user_id, info in members.items()}
        data = {"presence": {"ids": list(users), "hash": users, "count": len(users)}}
    return internal_frame("pusher_internal:subscription_succeeded", channel, data)


def member_added(channel: str, user_id: str, info: str) -> str:
    """Write that a user has come to a presence channel."""
    data = {"user_id": user_id, "user_info": _info(info)}
    return internal_frame("pusher_internal:member_added", channel, data)


def member_removed(channel: str, user_id: str) -> str:
    """Write that a user has left a presence channel."""
    return internal_frame("pusher_internal:member_removed", channel, {"user_id": user_id})


def signed_in(user_data: str) -> str:
    """Write that a user has signed in, with the text that was signed."""
    return dump({"event": "pusher:signin_success", "data": dump({"user_data": user_data})})


def watchlist_event(is_online: bool, user_ids: Sequence[str]) -> str:
    """Write that users whom a user watches are online, or are not any more."""
    event = {"name": "online" if is_online else "offline", "user_ids": user_ids}
    return dump({"event": "pusher_internal:watchlist_events", "data": dump({"events": [event]})})


def cache_miss(channel: str) -> str:
    """Write that a cache channel holds no event."""
    return dump({"event": "pusher:cache_miss", "channel": channel})


def count(channel: str, subscriptions: int) -> str:
    """Write how many subscriptions a channel has."""
    data = {"subscription_count": subscriptions}
    return internal_frame("pusher_internal:subscription_count", channel, data)


def client_event_text(data: Any) -> str:
    """Return the text that others receive as the data of a client's event.

    Raises:
        ProtocolError: it holds what is no text.
    """
    try:
        text = data if isinstance(data, str) else dump(data)
    except RecursionError:
        raise ProtocolError("'data' is nested too deeply.") from None
    if not is_unicode(text):
        raise ProtocolError("'data' holds a lone surrogate, which is no text.")
    return text


def _info(text: str) -> Any:
    return json.loads(text) if text else None
