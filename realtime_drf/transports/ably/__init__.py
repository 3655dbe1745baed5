"""The Ably transport."""

from __future__ import annotations

from realtime_drf.transports.ably.auth import TokenTransport
from realtime_drf.transports.ably.transport import AblyTransport

__all__ = ["AblyTransport", "TokenTransport"]
