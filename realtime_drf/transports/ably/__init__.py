"""The Ably transport, its modules from the top down:

- `transport`: the transport itself, made from its `options` and `credentials`
- `auth`: requests of clients for tokens, and the answers, which `tokens` signs
- `publishing`: publishes the calls that `packing` makes of events and `messages` encodes; `sender`
  reads the connection to exclude
- `webhooks`: reads and verifies webhooks
- `rest`: calls the REST API with the SDK, over the `network`
- `names`: translates names of channels
"""

from __future__ import annotations

from realtime_drf.transports.ably.auth import TokenTransport
from realtime_drf.transports.ably.transport import AblyTransport

__all__ = ["AblyTransport", "TokenTransport"]
