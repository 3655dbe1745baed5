"""User data that the project's server has signed: members of channels, and signed-in users.

https://pusher.com/docs/channels/library_auth_reference/auth-signatures/
"""

from __future__ import annotations

from typing import Any, NamedTuple

from realtime_drf.exceptions import InvalidEvent
from realtime_drf.names import ChannelKind, build_channel_name, is_unicode
from realtime_drf.pusher_protocol.frames import dump
from realtime_drf.rendering import read


class Member(NamedTuple):
    """A user on a presence channel, with their info as JSON text."""

    user_id: str
    info: str


class User(NamedTuple):
    """A user who signs in, with their info as JSON text, and the ids of the users they watch."""

    user_id: str
    info: str
    watchlist: list[str]


def read_member(channel_data: str) -> Member:
    """Return the member in the ``channel_data`` of a subscription.

    Raises:
        ValueError: it is malformed.
    """
    try:
        data = read(channel_data)
    except ValueError:
        data = None
    user_id = _read_id(data.get("user_id")) if isinstance(data, dict) else None
    if not isinstance(user_id, str) or not user_id:
        raise ValueError("A presence channel needs channel_data with a user_id.")
    info = _dump_info(data.get("user_info"))
    if not is_unicode(user_id + info):
        raise ValueError("channel_data contains a lone surrogate.")
    return Member(user_id, info)


def read_user(user_data: str) -> User:
    """Return the user in the ``user_data`` of a sign-in.

    Raises:
        ValueError: it is malformed.
    """
    try:
        data = read(user_data)
    except ValueError:  # whose text may quote what was sent
        raise ValueError("user_data is not JSON.") from None
    user_id = _read_id(data.get("id")) if isinstance(data, dict) else None
    if not (isinstance(user_id, str) and user_id):
        raise ValueError("user_data has no id.")
    watchlist = data.get("watchlist") or []
    if not isinstance(watchlist, list):
        raise ValueError("A watchlist must be a list of user ids.")
    watchlist = [_read_id(each) for each in watchlist]
    _check_ids([user_id, *watchlist])
    info = _dump_info(data.get("user_info"))
    if not is_unicode(info):
        raise ValueError("user_info contains a lone surrogate.")
    return User(user_id, info, list(dict.fromkeys(watchlist)))


def _read_id(value: Any) -> Any:
    """Return a user id as text, where the project's server has signed a number."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


def _check_ids(user_ids: list[Any]) -> None:
    for user_id in user_ids:
        try:
            build_channel_name(ChannelKind.USER, user_id)
        except InvalidEvent:
            raise ValueError("A user id is not valid.") from None


def _dump_info(info: Any) -> str:
    return "" if info is None else dump(info)
