"""The Pusher transport."""

from __future__ import annotations

from realtime_drf.transports.pusher.transport import PusherTransport

__all__ = ["PusherTransport"]
