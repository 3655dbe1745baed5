"""The Pusher protocol in the project's own ASGI process, for the Channels transport.

>>> from realtime_drf.server import RealtimeServer  # doctest: +SKIP
>>> application = RealtimeServer(get_asgi_application())  # doctest: +SKIP
"""

from __future__ import annotations

from realtime_drf.cluster.messages import consumer_group
from realtime_drf.server.asgi import RealtimeServer

__all__ = ["RealtimeServer", "consumer_group"]
