"""Channel and event names: kinds, prefixes, grammar.

The canonical spelling of a channel is Pusher's, whatever the transport. Grammar and lengths are
those of https://pusher.com/docs/channels/using_channels/channels/#channel-naming-conventions.
"""

from __future__ import annotations

import enum
import functools
import re
from typing import NamedTuple, Protocol, runtime_checkable

from realtime_drf.invalid import InvalidEvent

__all__ = [
    "MAX_CHANNEL_LENGTH",
    "MAX_EVENT_LENGTH",
    "MAX_USER_ID_LENGTH",
    "ChannelKind",
    "NamedChannel",
    "ParsedName",
    "build_channel_name",
    "check_event_name",
    "parse_channel_name",
]

MAX_CHANNEL_LENGTH = 164
"""Characters in a channel name, its prefix included."""

MAX_EVENT_LENGTH = 200
"""Characters in an event name."""

MAX_USER_ID_LENGTH = 128
"""Characters in a user id."""

USER_PREFIX = "#server-to-user-"
CLIENT_PREFIX = "client-"
"""The prefix of events that clients send."""
RESERVED_EVENT_PREFIXES = ("pusher:", "pusher_internal:")


class ChannelKind(enum.Enum):
    """The kind of a channel, which decides who may subscribe and what subscribers receive."""

    PUBLIC = "public"
    PRIVATE = "private"
    PRESENCE = "presence"
    ENCRYPTED = "encrypted"
    USER = "user"


class ParsedName(NamedTuple):
    """The parts of a channel name: its kind, whether it is cached, and the rest."""

    kind: ChannelKind
    cache: bool
    base: str


_PREFIXES: dict[tuple[ChannelKind, bool], str] = {
    (ChannelKind.USER, False): USER_PREFIX,
    (ChannelKind.ENCRYPTED, True): "private-encrypted-cache-",
    (ChannelKind.ENCRYPTED, False): "private-encrypted-",
    (ChannelKind.PRIVATE, True): "private-cache-",
    (ChannelKind.PRIVATE, False): "private-",
    (ChannelKind.PRESENCE, True): "presence-cache-",
    (ChannelKind.PRESENCE, False): "presence-",
    (ChannelKind.PUBLIC, True): "cache-",
    (ChannelKind.PUBLIC, False): "",
}
# In the order in which they must be tried: a longer prefix before the one that it starts with.

_GRAMMAR = re.compile(r"[A-Za-z0-9_\-=@,.;]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_channel_name(name: str) -> ParsedName:
    """Split a channel name into kind, cache flag and the rest; raise InvalidEvent if invalid.

    >>> parse_channel_name("private-cache-lists.5")
    ParsedName(kind=<ChannelKind.PRIVATE: 'private'>, cache=True, base='lists.5')
    """
    if not isinstance(name, str):
        raise InvalidEvent(f"A channel name is a string, not {type(name).__name__}: {name!r}.")
    if len(name) > MAX_CHANNEL_LENGTH:
        raise InvalidEvent(
            f"Channel {name[:40]!r}… has {len(name)} characters; {MAX_CHANNEL_LENGTH} are allowed."
        )
    return _parse(name)


def build_channel_name(kind: ChannelKind, base: str, *, cache: bool = False) -> str:
    """Prefix a name with its kind; raise InvalidEvent unless it parses back to the same.

    >>> build_channel_name(ChannelKind.PRESENCE, "room")
    'presence-room'
    """
    prefix = _PREFIXES.get((kind, cache))
    if prefix is None:
        raise InvalidEvent(f"A {kind.value} channel cannot be cached.")
    name = f"{prefix}{base}"
    if parse_channel_name(name) != (kind, cache, base):
        raise InvalidEvent(
            f"{base!r} cannot name a {kind.value} channel: {name!r} is another kind."
        )
    return name


def check_event_name(name: str) -> None:
    """Raise InvalidEvent unless this is a valid event name."""
    if not isinstance(name, str):
        raise InvalidEvent(f"An event name is a string, not {type(name).__name__}: {name!r}.")
    if not name:
        raise InvalidEvent("An event needs a name.")
    if len(name) > MAX_EVENT_LENGTH:
        raise InvalidEvent(
            f"Event name {name[:40]!r}… has {len(name)} characters; {MAX_EVENT_LENGTH} are allowed."
        )
    if name.startswith(RESERVED_EVENT_PREFIXES):
        raise InvalidEvent(f"Event name {name!r} is reserved for the protocol.")
    if not is_unicode(name):
        raise InvalidEvent(f"Event name {name!r} has a lone surrogate, which is not valid text.")


# The same channels are used again and again, and each name is parsed several times.
@functools.lru_cache(maxsize=4096)
def _parse(name: str) -> ParsedName:
    for (kind, cache), prefix in _PREFIXES.items():
        if name.startswith(prefix):
            parsed = ParsedName(kind, cache, name[len(prefix) :])
            break
    if not _GRAMMAR.fullmatch(parsed.base):
        raise InvalidEvent(
            f"Channel {name!r} is not a legal name: after its prefix it needs at least one of the "
            f"letters A-Z and a-z, the digits and _ - = @ , . ; and nothing else."
        )
    if parsed.kind is ChannelKind.USER and len(parsed.base) > MAX_USER_ID_LENGTH:
        raise InvalidEvent(
            f"The user id of channel {name[:40]!r}… has {len(parsed.base)} characters; "
            f"{MAX_USER_ID_LENGTH} are allowed."
        )
    return parsed


def is_unicode(text: str) -> bool:
    """Return whether text can be encoded: a lone surrogate cannot, and services reject it."""
    return text.isascii() or not _SURROGATE.search(text)


@runtime_checkable
class NamedChannel(Protocol):
    """An object that can be used in place of a channel name."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> ChannelKind: ...
