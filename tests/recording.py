"""A transport that remembers its batches and fails on demand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from realtime_drf.events import Event
from realtime_drf.transports.memory import MemoryTransport

PATH = "tests.recording.RecordingTransport"


class RecordingTransport(MemoryTransport):
    """A transport that keeps each batch; it raises `error`, if set, instead of sending."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batches: list[list[Event]] = []
        self.error: Exception | None = None

    def send(self, events: Sequence[Event]) -> None:
        self.batches.append(list(events))
        if self.error:
            raise self.error
        super().send(events)
