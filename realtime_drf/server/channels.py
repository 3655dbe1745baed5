"""What a node knows of a channel: who is on it here, and on presence channels who is anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from realtime_drf.names import ChannelKind, ParsedName, parse_channel_name
from realtime_drf.server.outbox import Message
from realtime_drf.server.store import Slice, View

if TYPE_CHECKING:
    from realtime_drf.server.connection import Connection


class LocalChannel:
    """Know the connections of one channel on this node.

    A connection is a holder from when it asks for the channel until it leaves it, and a subscriber
    from when it has been told that it is on it: only subscribers receive.
    """

    __slots__ = ("_kind", "_users", "holders", "known", "name", "subscribers", "version")

    def __init__(self, name: str) -> None:
        self.name = name
        self._kind: ParsedName = parse_channel_name(name)
        self.holders: dict[Connection, str] = {}
        """Connections, each with its user id on presence channels."""
        self.subscribers: dict[Connection, None] = {}
        self._users: dict[str, list[str]] = {}
        self.known: dict[str, str] = {}
        """Who is here on any node, as the subscribers have been told: user id to info."""
        self.version: int | None = None
        """Of the state that is known; None before the store has answered."""

    @property
    def is_presence(self) -> bool:
        return self._kind.kind is ChannelKind.PRESENCE

    @property
    def is_cache(self) -> bool:
        return self._kind.cache

    def hold(self, connection: Connection, user_id: str, info: str) -> None:
        """Take note of a connection, and on presence channels of its user."""
        self.holders[connection] = user_id
        if self.is_presence:
            self._users.setdefault(user_id, []).append(info)

    def release(self, connection: Connection) -> None:
        """Forget a connection; a user stays for as long as one of theirs is here."""
        self.subscribers.pop(connection, None)
        user_id = self.holders.pop(connection)
        if self.is_presence:
            infos = self._users[user_id]
            # What is told of a user does not change while they are here.
            infos.pop()
            if not infos:
                del self._users[user_id]

    def slice(self) -> Slice:
        """Return this node's part of the channel."""
        members = {user_id: infos[0] for user_id, infos in self._users.items()}
        return Slice(self.name, len(self.holders), members)

    def learn(self, view: View) -> tuple[Mapping[str, str], list[str]]:
        """Take in the state of all nodes; return who is new to us, and who is gone."""
        came = {user: info for user, info in view.members.items() if user not in self.known}
        left = [user for user in self.known if user not in view.members]
        self.known = dict(view.members)
        self.version = view.version
        return came, left

    def broadcast(self, message: Message, but: str = "") -> Iterator[Connection]:
        """Write a message to all subscribers but one; yield those that take no more."""
        for connection in self.subscribers:
            if connection.socket_id != but and not connection.write(message):
                yield connection
