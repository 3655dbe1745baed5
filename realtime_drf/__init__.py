"""Live Django REST Framework APIs over Pusher, Ably, Channels or a transport of your own."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_drf.events import Event
    from realtime_drf.publishing import apublish, publish, publish_change

__version__ = "0.1.0"
__all__ = ["Event", "apublish", "publish", "publish_change"]

_HOMES = {
    "Event": "realtime_drf.events",
    "apublish": "realtime_drf.publishing",
    "publish": "realtime_drf.publishing",
    "publish_change": "realtime_drf.publishing",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for.

    Django imports this package to load the app, before settings and models are ready, which the
    modules behind these names need.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
