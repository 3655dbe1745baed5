"""What the layers ask of each other: the callers' view, which anything may satisfy.

`RealtimeBackend` and `BaseTransport` are where implementers start; these are what they must be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from django.core.checks import CheckMessage

    from realtime_drf.changes import Change
    from realtime_drf.events import Event

__all__ = ["Backend", "Delivery", "Transport"]


class Backend(Protocol):
    """Turn a change into events."""

    def handles(self, change: Change[Any]) -> bool:
        """Tell whether the change is one to make an event of."""

    def get_transport(self, change: Change[Any]) -> str:
        """Return the alias of the transport that shall carry the event."""

    def get_events(self, changes: Sequence[Change[Any]]) -> Sequence[Event | None]:
        """Return for each change its event, or None if there is none to send."""

    def get_fallback_event(self, change: Change[Any], event: Event) -> Event | None:
        """Return what goes out in place of an event that is too large, or None.

        The event itself is refused by the transport, and reported.
        """


class Transport(Protocol):
    """Carry events to a service. One instance an alias, used by all threads of a process."""

    alias: str

    def validate(self, event: Event) -> None:
        """Raise EventRejected if the event cannot go, without asking the service."""

    def send(self, events: Sequence[Event]) -> None:
        """Send events in order; raise TransportError holding those that did not go."""

    async def asend(self, events: Sequence[Event]) -> None:
        """Do what `send` does, for callers on an event loop."""

    def disconnect_user(self, user_id: str) -> None:
        """End all connections of a user; raise UnsupportedFeature where that cannot be done."""

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Return what `manage.py check` shall say, without using the network."""


class Delivery(Protocol):
    """Decide when and in which process a transport is called."""

    def deliver(self, transport: Transport, events: Sequence[Event]) -> None:
        """See to it that the transport is given the events of one hand-over, in their order.

        Raise what the transport raises if it was called at once.
        """
