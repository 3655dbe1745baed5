"""Tools for testing: of applications that publish, and of transports.

>>> from realtime_drf.testing import TransportContract, captured_events
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_drf.testing.client import RealtimeClient, SubscriptionRefused
    from realtime_drf.testing.contract import Received, TransportContract
    from realtime_drf.testing.mixin import RealtimeTestMixin
    from realtime_drf.testing.outbox import (
        Outbox,
        assert_nothing_published,
        assert_published,
        captured_events,
    )
    from realtime_drf.testing.swap import in_memory

__all__ = [
    "Outbox",
    "RealtimeClient",
    "RealtimeTestMixin",
    "Received",
    "SubscriptionRefused",
    "TransportContract",
    "assert_nothing_published",
    "assert_published",
    "captured_events",
    "in_memory",
]

_HOMES = {
    "Outbox": "outbox",
    "RealtimeClient": "client",
    "RealtimeTestMixin": "mixin",
    "Received": "contract",
    "SubscriptionRefused": "client",
    "TransportContract": "contract",
    "assert_nothing_published": "outbox",
    "assert_published": "outbox",
    "captured_events": "outbox",
    "in_memory": "swap",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for.

    Settings files import this package before Django is ready, and pytest loads its plugin where
    neither Django nor Hypothesis is used.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as exc:
        if exc.name != "hypothesis":
            raise
        raise ImportError(
            f"{name} needs Hypothesis: pip install realtime-drf[testing]", name=exc.name
        ) from exc
    return getattr(module, name)
