"""Connecting the sources of changes: to the backends that there are, and to those still to come."""

from __future__ import annotations

from realtime_drf import preparing
from realtime_drf.backends import registry
from realtime_drf.sources import dependencies, observing
from realtime_drf.sources.entries import prepare_touch


def connect() -> None:
    """Receive signals for all backends that observe; called once, when the models are loaded."""
    preparing.touchers.append(prepare_touch)
    for receive in (observing.connect, dependencies.connect):
        registry.receivers.append(receive)
        for backend in registry:
            receive(backend)
