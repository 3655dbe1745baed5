"""Every error of this package.

At runtime, all of them a ``RealtimeError``::

    RealtimeError
    ├── InvalidEvent             a name, a channel or data that no transport could carry
    ├── UnsupportedFeature       the transport cannot do what was asked of it
    ├── InvalidRequest           a client's or service's request is malformed
    │   └── InvalidSignature     it is not signed by who it says, or too old
    └── TransportError           events did not go; `unsent` holds them
        ├── TransportUnavailable worth a retry: timeout, connection, 5xx, 429
        │   └── ChannelUnavailable   only some channels are too busy: events to others went
        └── EventRejected        not worth a retry: the service or its limits refuse the event
            ├── PayloadTooLarge  the data exceeds the limit of the service
            └── AccessRefused    it refuses us, not the event: credentials, account, address

Of configuration, outside that tree so that no ``except RealtimeError`` hides them::

    ImproperlyConfigured (Django's)
    └── InvalidTransport             an entry of REALTIME_TRANSPORTS is wrong
        ├── TransportDoesNotExist    there is no entry of that alias
        └── MissingDependency        the SDK that the entry needs is not installed
"""

from __future__ import annotations

from collections.abc import Sequence

from django.core.exceptions import ImproperlyConfigured

from realtime_drf.events import Event
from realtime_drf.invalid import InvalidEvent, RealtimeError

__all__ = [
    "AccessRefused",
    "ChannelUnavailable",
    "EventRejected",
    "InvalidEvent",
    "InvalidRequest",
    "InvalidSignature",
    "InvalidTransport",
    "MissingDependency",
    "PayloadTooLarge",
    "RealtimeError",
    "TransportDoesNotExist",
    "TransportError",
    "TransportUnavailable",
    "UnsupportedFeature",
]


class UnsupportedFeature(RealtimeError):
    """Say that a transport cannot do what was asked of it."""


class InvalidRequest(RealtimeError):
    """Refuse what a client asks for or a service reports: it is malformed."""


class InvalidSignature(InvalidRequest):
    """Refuse what a service reports: nobody knows that it is the service, or it is too old."""


class TransportError(RealtimeError):
    """Say that events did not go.

    ``unsent`` is exactly what did not go, in the order of publication: whole events, or an event
    with those of its channels that were left. An event keeps its ``id``, so a service that knows
    idempotent ids can be sent them again.
    """

    def __init__(self, message: str, *, unsent: Sequence[Event] = ()) -> None:
        super().__init__(message)
        self.unsent: tuple[Event, ...] = tuple(unsent)


class TransportUnavailable(TransportError):
    """Say that the service did not answer, or asked us to come back later."""

    retry_after: float | None = None
    """Seconds after which the service wants to be asked again, where it said so."""


class ChannelUnavailable(TransportUnavailable):
    """An error of some channels: the service takes nothing for them for now, and all for others."""


class EventRejected(TransportError):
    """Say that the service, or a limit that it is known to have, refuses the event."""


class PayloadTooLarge(EventRejected):
    """Say that an event's data exceeds what the service carries."""


class AccessRefused(EventRejected):
    """Say that the service refuses us: every further call would meet the same answer."""


class InvalidTransport(ImproperlyConfigured):
    """Say what is wrong with an entry of REALTIME_TRANSPORTS, and how to mend it."""

    def __init__(self, message: str, *, alias: str | None = None) -> None:
        self.alias = alias
        prefix = "REALTIME_TRANSPORTS" if alias is None else f"REALTIME_TRANSPORTS[{alias!r}]"
        super().__init__(f"{prefix}: {message}")


class TransportDoesNotExist(InvalidTransport):
    """Say that an alias is not configured, and which ones are."""


class MissingDependency(InvalidTransport):
    """Say which extra to install."""
