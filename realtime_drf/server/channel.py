"""The state of a channel on a node: its subscribers here, and its members on all nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from realtime_drf.cluster.state import NodeState
from realtime_drf.names import ChannelKind, parse_channel_name
from realtime_drf.server.fast_path import TextMessage


class Subscriber(Protocol):
    """A connection, with what a channel needs of it."""

    socket_id: str

    @property
    def pending(self) -> list[bytes]:
        """Frames that are written at the end of this iteration of the event loop."""

    def write(self, message: TextMessage) -> bool:
        """Write an ASGI message; return False if the connection takes no more."""

    def send(self, frame: str) -> None:
        """Write a frame."""

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection."""

    def drop(self) -> None:
        """Disconnect a client that takes no more."""


class LocalChannel:
    """The connections of one channel on this node.

    A connection is a holder from when it asks for the channel until it leaves it, and a subscriber
    once its subscription is confirmed: only subscribers receive events. The holders of a user's
    channel are the connections on which the user has signed in, and its watchers those that are
    notified whether the user is online.
    """

    __slots__ = (
        "_kind",
        "_users",
        "arrived",
        "counted_at",
        "holders",
        "is_online",
        "known",
        "last_event",
        "name",
        "recalled",
        "sent_count",
        "sent_count_at",
        "subscribers",
        "subscriptions",
        "version",
        "watchers",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self._kind = parse_channel_name(name)
        self.holders: dict[Subscriber, str] = {}
        """Connections, each with its user id on presence channels."""
        self.subscribers: dict[Subscriber, list[bytes]] = {}
        """Connections, each with its frames that leave at the end of this event loop iteration."""
        self.watchers: dict[Subscriber, bool] = {}
        """Connections, each with whether it has been notified if the user is online."""
        self._users: dict[str, list[str]] = {}
        self.known: dict[str, str] = {}
        """Members on all nodes, as the subscribers know them: user id to info."""
        self.version: int | None = None
        """The version of the state that is known; None before the store has answered."""
        self.is_online: bool | None = None
        self.subscriptions = 0
        """Subscriptions on all nodes, as last reported."""
        self.counted_at = 0
        """The number of the store's call that counted them."""
        self.sent_count = 0
        self.sent_count_at = float("-inf")
        self.arrived = 0
        """Events that a cache channel has received."""
        self.last_event = ""
        """The frame of the last of them."""
        self.recalled: dict[Subscriber, str] = {}
        """Subscribers that received from the cache an event that may still arrive, by its id."""

    @property
    def is_presence(self) -> bool:
        return self._kind.kind is ChannelKind.PRESENCE

    @property
    def is_user(self) -> bool:
        return self._kind.kind is ChannelKind.USER

    @property
    def is_counted(self) -> bool:
        """Whether its subscribers receive their number; on presence channels they know it."""
        return not (self.is_presence or self.is_user)

    @property
    def is_cache(self) -> bool:
        return self._kind.cache

    @property
    def is_needed(self) -> bool:
        """Whether a connection on this node holds or watches it."""
        return bool(self.holders or self.watchers)

    @property
    def users(self) -> Collection[str]:
        """The users on it on this node, whether or not the store knows them yet."""
        return self._users.keys()

    @property
    def user_id(self) -> str:
        """The user whose channel it is."""
        return self._kind.base

    def hold(self, connection: Subscriber, user_id: str = "", info: str = "") -> None:
        """Add a connection, and on presence channels its user."""
        self.holders[connection] = user_id
        if self.is_presence:
            self._users.setdefault(user_id, []).append(info)

    def release(self, connection: Subscriber) -> None:
        """Remove a connection; a user stays as long as one of their connections does."""
        self.subscribers.pop(connection, None)
        self.recalled.pop(connection, None)
        user_id = self.holders.pop(connection)
        if self.is_presence:
            infos = self._users[user_id]
            infos.pop()  # the last one: a user's info does not change while they are here
            if not infos:
                del self._users[user_id]

    def get_state(self) -> NodeState:
        """Return this node's part of the channel."""
        members = {user_id: infos[0] for user_id, infos in self._users.items()}
        return NodeState(self.name, len(self.holders), members)

    def update_members(
        self, version: int, members: Mapping[str, str]
    ) -> tuple[Mapping[str, str], list[str]]:
        """Store the members on all nodes; return those who were added, and those removed."""
        added = {user: info for user, info in members.items() if user not in self.known}
        removed = [user for user in self.known if user not in members]
        self.known = dict(members)
        self.version = version
        return added, removed

    def broadcast(self, message: TextMessage, exclude: str = "") -> Iterator[Subscriber]:
        """Write a message to all subscribers but one; yield those that take no more."""
        frame = message.frame
        for connection, pending in self.subscribers.items():
            if exclude and connection.socket_id == exclude:
                continue
            if pending:
                pending.append(frame)
            elif not connection.write(message):
                yield connection
