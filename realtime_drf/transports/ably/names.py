"""Translation of channel names to Ably's and back.

The words before the colon are those of Laravel's clients; ``user`` is ours. Ably's names may hold
any character but a line feed, and may not begin with ``[`` or ``:``, so the characters of a
canonical name need no escapes: https://ably.com/docs/channels#names.
"""

from __future__ import annotations

from realtime_drf.exceptions import InvalidEvent
from realtime_drf.names import USER_PREFIX, ChannelKind, build_channel_name, parse_channel_name

PUBLIC = "public:"

_WORDS = {"private:": "private-", "presence:": "presence-", "user:": USER_PREFIX}


class Names:
    """Translates names both ways; translating back is the identity.

    Args:
        prefix: what all names of this app begin with, such as ``"blog:"``; by default nothing.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix

    def to_wire(self, channel: str) -> str:
        """Return Ably's name for a canonical one."""
        for word, canonical in _WORDS.items():
            if channel.startswith(canonical):
                return f"{self.prefix}{word}{channel[len(canonical) :]}"
        return f"{self.prefix}{PUBLIC}{channel}"

    def from_wire(self, name: str) -> str:
        """Return the canonical name of one of Ably's; raise InvalidEvent if it is not ours."""
        if name.startswith(self.prefix):
            rest = name[len(self.prefix) :]
            for word, canonical in _WORDS.items():
                if rest.startswith(word):
                    return _legal(canonical + rest[len(word) :])
            if rest.startswith(PUBLIC):
                channel = rest[len(PUBLIC) :]
                kind = parse_channel_name(channel).kind
                if kind is ChannelKind.PUBLIC:
                    return channel
        raise InvalidEvent(f"{name[:200]!r} is not the name of a channel of this app.")

    def read(self, name: str) -> str:
        """Return the canonical name of a channel that a client names either way."""
        # No canonical name holds a colon, and each of Ably's does.
        return self.from_wire(name) if ":" in name else name

    @property
    def public(self) -> str:
        """The pattern of all public channels in a capability."""
        return f"{self.prefix}{PUBLIC}*"


def user_channel(user_id: str) -> str:
    """Return the canonical name of a user's channel; raise InvalidEvent if the id is invalid."""
    return build_channel_name(ChannelKind.USER, user_id)


def _legal(channel: str) -> str:
    parse_channel_name(channel)
    return channel
