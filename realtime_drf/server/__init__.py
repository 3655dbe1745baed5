"""The Pusher protocol in the project's own ASGI process, for the Channels transport.

>>> from realtime_drf.server import RealtimeServer  # doctest: +SKIP
>>> application = RealtimeServer(get_asgi_application())  # doctest: +SKIP

`wire`, `store` and `backplane` are shared with `realtime_drf.transports.channels`, which any
process may use; the rest runs where browsers connect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_drf.server.asgi import RealtimeServer
    from realtime_drf.server.wire import consumer_group

__all__ = ["RealtimeServer", "consumer_group"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: the transport imports parts of this package, `asgi` the transport.
    if name == "RealtimeServer":
        from realtime_drf.server.asgi import RealtimeServer

        return RealtimeServer
    if name == "consumer_group":
        from realtime_drf.server.wire import consumer_group

        return consumer_group
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
