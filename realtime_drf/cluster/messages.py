"""What goes over a channel layer: the names of groups, and the messages of a batch.

All processes of an app that serve browsers are in one group. A batch goes there in one message of
the layer, or in a few if it is large. Everything in it is text, an integer or a list of these,
which every layer can carry.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from realtime_drf.names import CLIENT_PREFIX, parse_channel_name

BATCH_TYPE: Final = "realtime.batch"
CONSUMER_TYPE: Final = "realtime.event"
"""The ``type`` of what consumers of the project receive: Channels calls their `realtime_event`."""

_LEGAL_GROUP = re.compile(r"[a-zA-Z0-9\-_.]+")
_MAX_GROUP_LENGTH: Final = 99  # of Channels: shorter than 100


class EventMessage(NamedTuple):
    """An event, for the subscribers of its channels."""

    name: str
    channels: Sequence[str]
    body: str
    """The data as JSON text."""
    socket_id: str = ""
    """The connection to leave out."""
    id: str = ""
    user_id: str = ""
    """Who sent it, if it is a client event on a presence channel."""


class MembersMessage(NamedTuple):
    """The users who joined and left a presence channel between two versions of its state."""

    channel: str
    previous: int
    version: int
    joined: Sequence[Sequence[str]]
    """Pairs of a user id and the user's info as JSON text, empty for none."""
    left: Sequence[str]


class OnlineMessage(NamedTuple):
    """A user who went online or offline between two versions of the user's channel."""

    channel: str
    previous: int
    version: int
    is_online: int


class CountMessage(NamedTuple):
    """The number of subscriptions of a channel."""

    channel: str
    subscriptions: int
    number: int
    """The number of the store's call that counted them: a larger one is later."""


class DisconnectMessage(NamedTuple):
    """A request to end all connections of a user."""

    user_id: str


class ServingMessage(NamedTuple):
    """A notice that a process serves browsers, where only one should."""

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


def pack(sender: str, number: int, batch: Sequence[Message]) -> dict[str, Any]:
    """Make a layer's message of a batch; by the sender's numbers nodes see what was lost."""
    return {
        "type": BATCH_TYPE,
        "from": sender,
        "number": number,
        "messages": [[_NAMES[type(each)], *each] for each in batch],
    }


def unpack(message: dict[str, Any]) -> list[Message]:
    """Read a batch from a layer's message. A kind that a newer version sends is left out."""
    return [_KINDS[kind](*fields) for kind, *fields in message["messages"] if kind in _KINDS]


def measure(message: Message) -> int:
    """Return about how many characters a message has in that of a layer."""
    if isinstance(message, EventMessage):
        return sum(map(len, (message.name, message.body, message.id, *message.channels)))
    return len(repr(message))


def find_cached_events(batch: Sequence[Message]) -> dict[str, str]:
    """Return the last event of each cache channel in a batch, as text for the store."""
    return {
        channel: dump_event(each)
        for each in batch
        if isinstance(each, EventMessage) and not each.name.startswith(CLIENT_PREFIX)
        for channel in each.channels
        if parse_channel_name(channel).cache
    }


def dump_event(event: EventMessage) -> str:
    """Return what a cache channel keeps of an event."""
    return json.dumps([event.name, event.body, event.id], ensure_ascii=False)


def load_event(text: str, channel: str) -> EventMessage:
    """Read what a cache channel has kept."""
    name, body, id_ = json.loads(text)
    return EventMessage(name, [channel], body, id=id_)


def node_group(namespace: str) -> str:
    """Return the group of all processes that serve the browsers of an app."""
    return f"realtime_drf.nodes.{namespace}"


def consumer_group(channel: str) -> str:
    """Return the group on which consumers of the project receive the events of a channel.

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


def make_consumer_messages(batch: Sequence[Message]) -> list[dict[str, Any]]:
    """Make what consumers of the project receive: each event on each of its channels, in order."""
    return [
        {
            "type": CONSUMER_TYPE,
            "name": each.name,
            "channel": channel,
            "data": each.body,
            "socket_id": each.socket_id,
            "id": each.id,
        }
        for each in batch
        if isinstance(each, EventMessage)
        for channel in each.channels
    ]
