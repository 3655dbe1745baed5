"""Subscriptions of a node's connections to its channels."""

from __future__ import annotations

from collections.abc import Container

from realtime_drf.pusher_protocol import frames
from realtime_drf.pusher_protocol.frames import SubscriptionRefused
from realtime_drf.server.cache_channels import CacheChannels
from realtime_drf.server.channel import LocalChannel
from realtime_drf.server.connection import Connection
from realtime_drf.server.hub import Hub


class Subscriptions:
    """The subscriptions of a node.

    Args:
        connections: the socket ids of the present connections.
        hub: the channels of the node.
        cache_channels: those of them that keep their last event.
        max_members: members that a presence channel may have.
    """

    def __init__(
        self,
        connections: Container[str],
        hub: Hub,
        cache_channels: CacheChannels,
        *,
        max_members: int,
    ) -> None:
        self._connections = connections
        self._hub = hub
        self._cache_channels = cache_channels
        self._max_members = max_members

    async def add(
        self, connection: Connection, name: str, user_id: str = "", info: str = ""
    ) -> None:
        """Subscribe a connection to a channel, and confirm it.

        Raises:
            SubscriptionRefused: the presence channel is full.
        """
        if user_id:
            await self._check_member_limit(name, user_id)
        if connection.socket_id not in self._connections:
            return  # it has disconnected
        channel = self._hub.open(name)
        connection.channels[name] = user_id
        if not channel.is_user:
            channel.hold(connection, user_id, info)
            settled = self._hub.mark(name)
            if channel.version is None or (user_id and user_id not in channel.known):
                await settled
        arrived = channel.arrived
        cached = await self._cache_channels.recall(channel) if channel.is_cache else None
        if name in connection.channels:  # else it has left
            self._confirm(connection, channel, cached, arrived)

    def _confirm(
        self, connection: Connection, channel: LocalChannel, cached: str | None, arrived: int
    ) -> None:
        """Make a connection a subscriber, and send it the state of the channel."""
        members = channel.known if channel.is_presence else None
        connection.send(frames.subscribed(channel.name, members))
        if channel.is_cache:
            self._cache_channels.send_last(channel, connection, cached, arrived)
        channel.subscribers[connection] = connection.pending
        if channel.sent_count:
            connection.send(frames.count(channel.name, channel.sent_count))

    def remove(self, connection: Connection, name: str) -> None:
        """Unsubscribe a connection from a channel."""
        del connection.channels[name]
        channel = self._hub.channels[name]
        if channel.is_user:  # its holders are the connections signed in as the user
            channel.subscribers.pop(connection, None)
        else:
            channel.release(connection)
            self._hub.mark(name)

    async def _check_member_limit(self, name: str, user_id: str) -> None:
        limit = self._max_members
        members = await self._hub.get_members(name)
        if len(members) >= limit and user_id not in members:
            message = f"A presence channel may have at most {limit} members."
            raise SubscriptionRefused(message, kind="LimitReached", status=4004)
