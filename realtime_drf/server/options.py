"""What an app's server allows, and how long it waits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

MAX_PRESENCE_MEMBERS: Final = 100
"""https://pusher.com/docs/channels/using_channels/presence-channels/"""

MAX_WATCHLIST: Final = 100
"""https://pusher.com/docs/channels/using_channels/watchlist-events/"""

CLIENT_EVENTS_PER_SECOND: Final = 10
"""https://pusher.com/docs/channels/using_channels/events/#rate-limit-your-events"""


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Hold the options of `ChannelsTransport` that concern the server."""

    subscription_counting: bool = False
    """Subscribers are told how many subscriptions their channel has."""
    client_events: bool = False
    """Clients may send events to private and presence channels."""
    allowed_origins: Collection[str] | None = None
    """Values of the header Origin with which a browser may connect; None is any."""
    activity_timeout: int = 120
    """Seconds of silence after which a connection is asked whether it is there."""
    pong_timeout: float = 30.0
    """Seconds that it has for its answer."""
    max_connections: int | None = None
    """Connections of one process; None is as many as the system allows."""
    max_channels: int = 500
    """Channels that one connection may be on."""
    max_frame_bytes: int = 65_536
    """Bytes of a frame that a client sends."""
    max_presence_members: int = MAX_PRESENCE_MEMBERS
    max_watchlist: int = MAX_WATCHLIST
    client_events_per_second: int = CLIENT_EVENTS_PER_SECOND
    payload_limit: int | None = 10_240
    """Bytes of a client event's data."""
