"""Help to test: applications that publish, and transports.

>>> from realtime_drf.testing import Received, TransportContract
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_drf.testing.contract import Received, TransportContract

__all__ = ["Received", "TransportContract"]

_HOMES = {
    "Received": "realtime_drf.testing.contract",
    "TransportContract": "realtime_drf.testing.contract",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: some need Hypothesis, some need Django."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
