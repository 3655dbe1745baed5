"""The Pusher transport, its modules from the top down:

- `transport`: the transport itself, made from its `options`, which an `address` completes
- `packing`: makes calls of events
- `session`: adapts the HTTP session of the SDK
"""

from __future__ import annotations

from realtime_drf.transports.pusher.transport import PusherTransport

__all__ = ["PusherTransport"]
