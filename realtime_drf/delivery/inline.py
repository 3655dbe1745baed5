"""The delivery that waits for the service."""

from __future__ import annotations

from collections.abc import Sequence

from realtime_drf.delivery.sending import send
from realtime_drf.events import Event
from realtime_drf.protocols import Transport


class InlineDelivery:
    """A delivery that calls the transport now, in the thread that publishes."""

    def deliver(self, transport: Transport, events: Sequence[Event]) -> None:
        """Send the events; raise what the transport raises."""
        send(transport, events)
