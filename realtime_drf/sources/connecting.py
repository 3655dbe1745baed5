"""Connecting the sources of changes to all backends, including those defined later."""

from __future__ import annotations

from realtime_drf import preparing
from realtime_drf.backends import registry
from realtime_drf.sources import dependencies, observing
from realtime_drf.sources.entries import prepare_touch


def connect() -> None:
    """Connect the signals for all observing backends; called once, when the models are loaded."""
    if prepare_touch in preparing.touchers:  # ready() may be called again
        return
    preparing.touchers.append(prepare_touch)
    for receive in (observing.connect, dependencies.connect):
        registry.receivers.append(receive)
        for backend in registry:
            receive(backend)
