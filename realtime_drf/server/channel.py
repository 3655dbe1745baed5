"""What a node knows of a channel: who is on it here, and who is anywhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from realtime_drf.cluster.state import NodeState
from realtime_drf.names import ChannelKind, parse_channel_name
from realtime_drf.server.fast_path import TextMessage

if TYPE_CHECKING:
    from realtime_drf.server.connection import Connection


class LocalChannel:
    """Know the connections of one channel on this node.

    A connection is a holder from when it asks for the channel until it leaves it, and a subscriber
    from when it has been told that it is on it: only subscribers receive. Of a user's channel the
    holders are the connections on which the user has signed in, and the watchers those that are
    told whether the user is online.
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
        self.holders: dict[Connection, str] = {}
        """Connections, each with its user id on presence channels."""
        self.subscribers: dict[Connection, list[bytes]] = {}
        """Connections, each with the frames that leave for it at the end of this scheduler."""
        self.watchers: dict[Connection, bool] = {}
        """Connections, each with whether it has been told if the user is online."""
        self._users: dict[str, list[str]] = {}
        self.known: dict[str, str] = {}
        """Who is here on any node, as the subscribers have been told: user id to info."""
        self.version: int | None = None
        """Of the state that is known; None before the store has answered."""
        self.is_online: bool | None = None
        self.subscriptions = 0
        """How many there are on all nodes, when that was last heard."""
        self.counted_at = 0
        """The number of the store's call that found so many."""
        self.sent_count = 0
        self.sent_count_at = float("-inf")
        self.arrived = 0
        """How many events have come, of a cache channel."""
        self.last_event = ""
        """The frame of the last of them."""
        self.recalled: dict[Connection, str] = {}
        """Subscribers that were given an event of the cache which may be on its way, by its id."""

    @property
    def is_presence(self) -> bool:
        return self._kind.kind is ChannelKind.PRESENCE

    @property
    def is_user(self) -> bool:
        return self._kind.kind is ChannelKind.USER

    @property
    def is_counted(self) -> bool:
        """Whether its subscribers are told how many there are: members can count themselves."""
        return not (self.is_presence or self.is_user)

    @property
    def is_cache(self) -> bool:
        return self._kind.cache

    @property
    def is_needed(self) -> bool:
        """Whether anybody here has to do with it."""
        return bool(self.holders or self.watchers)

    @property
    def users(self) -> Collection[str]:
        """Who is on it on this node, whether or not the store knows by now."""
        return self._users.keys()

    @property
    def user_id(self) -> str:
        """The user whose channel it is."""
        return self._kind.base

    def hold(self, connection: Connection, user_id: str = "", info: str = "") -> None:
        """Take note of a connection, and on presence channels of its user."""
        self.holders[connection] = user_id
        if self.is_presence:
            self._users.setdefault(user_id, []).append(info)

    def release(self, connection: Connection) -> None:
        """Forget a connection; a user stays for as long as one of theirs is here."""
        self.subscribers.pop(connection, None)
        self.recalled.pop(connection, None)
        user_id = self.holders.pop(connection)
        if self.is_presence:
            infos = self._users[user_id]
            infos.pop()  # the last: what is told of a user does not change while they are here
            if not infos:
                del self._users[user_id]

    def slice(self) -> NodeState:
        """Return this node's part of the channel."""
        members = {user_id: infos[0] for user_id, infos in self._users.items()}
        return NodeState(self.name, len(self.holders), members)

    def learn(
        self, version: int, members: Mapping[str, str]
    ) -> tuple[Mapping[str, str], list[str]]:
        """Take in who is present on all nodes; return who is new to us, and who is gone."""
        came = {user: info for user, info in members.items() if user not in self.known}
        left = [user for user in self.known if user not in members]
        self.known = dict(members)
        self.version = version
        return came, left

    def broadcast(self, message: TextMessage, but: str = "") -> Iterator[Connection]:
        """Write a message to all subscribers but one; yield those that take no more."""
        frame = message.frame
        for connection, pending in self.subscribers.items():
            if but and connection.socket_id == but:
                continue
            if pending:
                pending.append(frame)
            elif not connection.write(message):
                yield connection
