"""Signed-in users on a node: their connections, and who watches whether they are online.

https://pusher.com/docs/channels/using_channels/watchlist-events/
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from realtime_drf.names import ChannelKind, build_channel_name
from realtime_drf.pusher_protocol import frames
from realtime_drf.server.connection import Connection
from realtime_drf.server.hub import Hub


class Users:
    """The signed-in users of a node, each of whom is a channel of its hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def sign_in(self, connection: Connection, user_id: str, watchlist: Sequence[str]) -> None:
        """Register the user of a connection; send it which users on the watchlist are online."""
        own = _user_channel(user_id)
        self._hub.open(own).hold(connection)
        self._hub.mark(own)
        watched = [self._hub.open(_user_channel(each)) for each in watchlist]
        connection.watched = tuple(channel.name for channel in watched)
        for channel in watched:
            channel.watchers[connection] = False
        if settled := [self._hub.mark(channel.name) for channel in watched]:
            await asyncio.wait(settled)
        if connection.user_id is None:
            return  # it has disconnected
        online = [channel.user_id for channel in watched if channel.is_online]
        for channel in watched:
            channel.watchers[connection] = True
        if online:
            connection.send(frames.watchlist_event(True, online))

    def sign_out(self, connection: Connection) -> None:
        """Remove the user of a connection, and those whom they watch."""
        own = _user_channel(connection.user_id or "")
        connection.user_id = None
        self._hub.channels[own].release(connection)
        for name in connection.watched:
            if channel := self._hub.channels.get(name):
                channel.watchers.pop(connection, None)
        for name in (own, *connection.watched):
            self._hub.mark(name)

    def disconnect(self, user_id: str) -> None:
        """Close the connections on which a user has signed in."""
        channel = self._hub.channels.get(_user_channel(user_id))
        for connection in list(channel.holders) if channel is not None else ():
            connection.close(frames.UNAUTHORIZED, "The user's connections were terminated")


def _user_channel(user_id: str) -> str:
    return build_channel_name(ChannelKind.USER, user_id)
