"""What goes over a channel layer: the names of groups, and the items of a hand-over.

All processes of an app that serve browsers are in one group, and one message a hand-over, or a few
for a large one, carry lists of items to it. Everything in a message is text, an integer or a list
of these, which every layer can carry.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

BATCH_TYPE: Final = "realtime.batch"
CONSUMER_TYPE: Final = "realtime.event"
"""The ``type`` of what consumers of one's own receive: Channels calls their `realtime_event`."""

_LEGAL_GROUP = re.compile(r"[a-zA-Z0-9\-_.]+")
_MAX_GROUP_LENGTH: Final = 99  # of Channels: shorter than 100


class EventMessage(NamedTuple):
    """Carry an event to those of its channels that somebody here is on."""

    name: str
    channels: Sequence[str]
    body: str
    """The data as JSON text."""
    socket_id: str = ""
    """The connection to leave out."""
    id: str = ""
    user_id: str = ""
    """Who sent it, where it is a client's on a presence channel."""


class MembersMessage(NamedTuple):
    """Say who has come to a presence channel and left it, between two versions of its state."""

    channel: str
    previous: int
    version: int
    came: Sequence[Sequence[str]]
    """Pairs of a user id and the JSON text of what is told of the user, empty for nothing."""
    left: Sequence[str]


class OnlineMessage(NamedTuple):
    """Say that a user is online, or is not any more, between two versions of the user's channel."""

    channel: str
    previous: int
    version: int
    is_online: int


class CountMessage(NamedTuple):
    """Say how many subscriptions a channel has."""

    channel: str
    subscriptions: int
    number: int
    """Of the store's call that found so many: a larger one is later."""


class DisconnectMessage(NamedTuple):
    """Say that all connections of a user end."""

    user_id: str


class ServingMessage(NamedTuple):
    """Tell that a process serves browsers, where only one of them should."""

    process: str


Message: TypeAlias = (
    EventMessage
    | MembersMessage
    | OnlineMessage
    | CountMessage
    | DisconnectMessage
    | ServingMessage
)

_KINDS: Final[dict[str, type[Any]]] = {
    "event": EventMessage,
    "members": MembersMessage,
    "online": OnlineMessage,
    "count": CountMessage,
    "disconnect": DisconnectMessage,
    "serving": ServingMessage,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


def pack(sender: str, number: int, items: Sequence[Message]) -> dict[str, Any]:
    """Make a layer's message of a hand-over: the sender's number shows what got lost."""
    return {
        "type": BATCH_TYPE,
        "from": sender,
        "number": number,
        "items": [[_NAMES[type(item)], *item] for item in items],
    }


def unpack(message: dict[str, Any]) -> list[Message]:
    """Read the items of a message back. A kind that a newer version sends is passed over."""
    return [_KINDS[kind](*fields) for kind, *fields in message["items"] if kind in _KINDS]


def measure(item: Message) -> int:
    """Return about how many characters an item has in a message."""
    if isinstance(item, EventMessage):
        return sum(map(len, (item.name, item.body, item.id, *item.channels)))
    return len(repr(item))


def node_group(namespace: str) -> str:
    """Return the group of all processes that serve the browsers of an app."""
    return f"realtime_drf.nodes.{namespace}"


def consumer_group(channel: str) -> str:
    """Return the group on which consumers of one's own hear a channel.

    It is "realtime." and the channel's name, where that is a legal group name of Channels: letters,
    digits, hyphens, underscores and periods, shorter than 100. Any other name is replaced by a hash
    of it, behind "realtime_hash.".

    >>> consumer_group("private-lists.5")
    'realtime.private-lists.5'
    """
    group = f"realtime.{channel}"
    if len(group) <= _MAX_GROUP_LENGTH and _LEGAL_GROUP.fullmatch(group):
        return group
    return f"realtime_hash.{hashlib.sha256(channel.encode()).hexdigest()}"


def consumer_message(item: EventMessage, channel: str) -> dict[str, Any]:
    """Make what consumers of one's own receive: an event on one of its channels."""
    return {
        "type": CONSUMER_TYPE,
        "name": item.name,
        "channel": channel,
        "data": item.body,
        "socket_id": item.socket_id,
        "id": item.id,
    }
