"""When and in which process a transport is called, and the report of what became of it.

``DELIVERY`` of a transport is "inline" or the dotted path of a class with a ``deliver`` method, as
`realtime_drf.protocols.Delivery` has it; it is made once an alias, without arguments.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.utils.module_loading import import_string

from realtime_drf.conf import INLINE, PerAlias, TransportConfig
from realtime_drf.events import Event
from realtime_drf.exceptions import InvalidTransport, TransportError
from realtime_drf.protocols import Delivery, Transport
from realtime_drf.signals import event_published, publish_failed

logger = logging.getLogger("realtime_drf")


class InlineDelivery:
    """Call the transport now, in the thread that publishes."""

    def deliver(self, transport: Transport, events: Sequence[Event]) -> None:
        """Send the events; raise what the transport raises."""
        send(transport, events)


class DeliveryHandler(PerAlias[Delivery]):
    """Hold the deliveries by alias."""

    def create(self, config: TransportConfig) -> Delivery:
        if config.delivery == INLINE:
            return InlineDelivery()
        try:
            delivery: Delivery = import_string(config.delivery)()
        except Exception as exc:  # of a class of the project's
            raise InvalidTransport(
                f"could not make DELIVERY {config.delivery!r}: {type(exc).__name__}: {exc}.",
                alias=config.alias,
            ) from exc
        if not hasattr(delivery, "deliver"):
            raise InvalidTransport(
                f"DELIVERY {config.delivery!r} has no deliver().", alias=config.alias
            )
        return delivery


deliveries = DeliveryHandler()


def send(transport: Transport, events: Sequence[Event]) -> None:
    """Call the transport and tell `event_published` of each event that went."""
    try:
        transport.send(events)
    except TransportError as exc:
        unsent = {event.id for event in exc.unsent}
        _report_published(transport, [event for event in events if event.id not in unsent])
        raise
    _report_published(transport, events)


def report_failure(transport: Transport, events: Sequence[Event], error: Exception) -> None:
    """Log events that did not go, and tell `publish_failed`.

    Without a word of the data: a log is read by others than a channel.
    """
    unsent = error.unsent if isinstance(error, TransportError) else tuple(events)
    names = ", ".join(dict.fromkeys(event.name for event in unsent))
    logger.error(
        "%d event(s) not sent by %r (%s): %s", len(unsent), transport, names, error, exc_info=error
    )
    publish_failed.send_robust(
        type(transport), events=unsent, transport=transport.alias, error=error
    )


def _report_published(transport: Transport, events: Sequence[Event]) -> None:
    if event_published.has_listeners(type(transport)):
        for event in events:
            event_published.send_robust(type(transport), event=event, transport=transport.alias)
