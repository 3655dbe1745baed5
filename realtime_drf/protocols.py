"""What the layers call of each other. Any object that has these methods will do.

Implementers start from `RealtimeBackend` and `BaseTransport`, which have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from django.core.checks import CheckMessage
    from django.db.backends.base.base import BaseDatabaseWrapper

    from realtime_drf.changes import Change
    from realtime_drf.events import Event

__all__ = ["Backend", "Delivery", "RecordingDelivery", "Transport"]


class Backend(Protocol):
    """A maker of events from changes."""

    def handles(self, change: Change[Any]) -> bool:
        """Return whether to make events of the change."""

    def get_transport(self, change: Change[Any]) -> str:
        """Return the alias of the transport for the change's events."""

    def get_events(self, changes: Sequence[Change[Any]]) -> Sequence[Sequence[Event]]:
        """Return the events of each change, in order; none if there is nothing to send."""

    def get_fallback_event(self, change: Change[Any], event: Event) -> Event | None:
        """Return what is sent in place of one event that is too large, or None.

        The event itself is rejected by the transport, and reported.
        """


class Transport(Protocol):
    """A carrier of events to a service. One instance an alias, used by all threads of a process."""

    alias: str

    def validate(self, event: Event) -> None:
        """Raise EventRejected if the event cannot be sent, without a call to the service."""

    def send(self, events: Sequence[Event]) -> None:
        """Send events in order; raise TransportError holding those that were not sent."""

    async def asend(self, events: Sequence[Event]) -> None:
        """Do what `send` does, for callers on an event loop."""

    def disconnect_user(self, user_id: str) -> None:
        """End all connections of a user; raise UnsupportedFeature where that cannot be done."""

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Return the messages for `manage.py check`, without using the network."""


class Delivery(Protocol):
    """A caller of a transport, which decides when and in which process.

    It is made once an alias, with ``DELIVERY_OPTIONS`` as keyword arguments, and with ``alias``
    where its constructor takes that.
    """

    def deliver(self, transport: Transport, events: Sequence[Event]) -> None:
        """Have the transport send the events of one batch, in their order.

        It is called after the commit, or at once where no transaction is open. Raise what the
        transport raises if it was called now.
        """


class RecordingDelivery(Delivery, Protocol):
    """A delivery that keeps events in the database, in the transaction that publishes them."""

    def record(
        self, connection: BaseDatabaseWrapper, transport: Transport, events: Sequence[Event]
    ) -> None:
        """Write the events of one publish in the open transaction of a connection.

        It is called in place of waiting for the commit; without a transaction, `deliver` is. What
        is written is rolled back with the transaction, or with its savepoint. To send it afterwards
        is up to the delivery, with ``connection.on_commit()`` or in another process. Whatever
        it raises is raised to the caller of `publish`, so that the request can be rolled back.
        """
