"""Limits of Pusher's protocol. Those of names and user ids are in `realtime_drf.names`."""

from __future__ import annotations

from typing import Final

# Publishing: https://pusher.com/docs/channels/library_auth_reference/rest-api/

MAX_PAYLOAD_BYTES: Final = 10_240
"""Bytes of an event's data:
https://pusher.com/docs/channels/server_api/http-api/#publishing-events"""

MAX_CHANNELS_PER_EVENT: Final = 100
"""Channels that one event is published to."""

MAX_EVENTS_PER_BATCH: Final = 10
"""Events of one request to ``batch_events``."""

# Authorization: https://pusher.com/docs/channels/library_auth_reference/auth-signatures/

MAX_CHANNELS_PER_REQUEST: Final = 100
"""Channels that one authorization request may name."""

MAX_USER_INFO_BYTES: Final = 1024
"""Bytes of a user's info, as JSON."""

MAX_SOCKET_ID_LENGTH: Final = 100
"""Characters of a socket id."""

# Connections

MAX_PRESENCE_MEMBERS: Final = 100
"""Members of a channel: https://pusher.com/docs/channels/using_channels/presence-channels/"""

MAX_WATCHLIST: Final = 100
"""Users of a watchlist: https://pusher.com/docs/channels/using_channels/watchlist-events/"""

CLIENT_EVENTS_PER_SECOND: Final = 10
"""For each connection:
https://pusher.com/docs/channels/using_channels/events/#rate-limit-your-events"""
