"""The call of a transport, and the report of its outcome."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from realtime_drf.conf import configs
from realtime_drf.events import Event
from realtime_drf.exceptions import TransportError
from realtime_drf.occupancy import occupancies
from realtime_drf.protocols import Transport
from realtime_drf.signals import event_published, publish_failed

logger = logging.getLogger("realtime_drf")


def send(transport: Transport, events: Sequence[Event]) -> None:
    """Have a transport send events now, and send `event_published` for each that it has sent.

    With ``SKIP_VACANT``, channels that are known to be vacant at this moment are left out.
    """
    if configs[transport.alias].skip_vacant:
        events = occupancies[transport.alias].filter(events)
        if not events:
            return
    try:
        transport.send(events)
    except TransportError as exc:
        unsent = {event.id for event in exc.unsent}
        _report_published(transport, [event for event in events if event.id not in unsent])
        raise
    _report_published(transport, events)


def report_failure(transport: Transport, events: Sequence[Event], error: Exception) -> None:
    """Log events that were not sent, and send `publish_failed`.

    The data is not logged: a log has other readers than a channel.
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
