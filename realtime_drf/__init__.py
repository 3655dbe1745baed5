"""Live Django REST Framework APIs over Pusher, Ably, Channels or a transport of your own."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_drf.backends import RealtimeBackend
    from realtime_drf.channels import (
        EncryptedChannel,
        PresenceChannel,
        PrivateChannel,
        PublicChannel,
        UserChannel,
    )
    from realtime_drf.events import Event
    from realtime_drf.mixins import RealtimeViewMixin
    from realtime_drf.publishing import apublish, apublish_change, publish, publish_change
    from realtime_drf.server import RealtimeServer
    from realtime_drf.sources import RealtimeManager, RealtimeQuerySet, suppress_events

__version__ = "0.1.0"
__all__ = [
    "EncryptedChannel",
    "Event",
    "PresenceChannel",
    "PrivateChannel",
    "PublicChannel",
    "RealtimeBackend",
    "RealtimeManager",
    "RealtimeQuerySet",
    "RealtimeServer",
    "RealtimeViewMixin",
    "UserChannel",
    "apublish",
    "apublish_change",
    "publish",
    "publish_change",
    "suppress_events",
]

_HOMES = {
    "EncryptedChannel": "channels",
    "Event": "events",
    "PresenceChannel": "channels",
    "PrivateChannel": "channels",
    "PublicChannel": "channels",
    "RealtimeBackend": "backends",
    "RealtimeManager": "sources",
    "RealtimeQuerySet": "sources",
    "RealtimeServer": "server",
    "RealtimeViewMixin": "mixins",
    "UserChannel": "channels",
    "apublish": "publishing",
    "apublish_change": "publishing",
    "publish": "publishing",
    "publish_change": "publishing",
    "suppress_events": "sources",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for.

    Django imports this package to load the app, before settings and models are ready, which the
    modules behind these names need.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
