"""Every error of this package.

At runtime, all of them a ``RealtimeError``::

    RealtimeError
    ├── InvalidEvent             a name, a channel or data that no transport can carry
    ├── UnsupportedFeature       the transport does not have the feature
    ├── InvalidRequest           a client's or service's request is malformed
    │   └── InvalidSignature     its signature is wrong, or too old
    └── TransportError           events were not sent; `unsent` has them
        ├── TransportUnavailable worth a retry: timeout, connection, 5xx, 429
        │   └── ChannelUnavailable   only some channels are too busy: events to others went
        └── EventRejected        not worth a retry: the service or its limits reject the event
            ├── PayloadTooLarge  the data exceeds the limit of the service
            └── AccessRefused    it rejects us, not the event: credentials, account, address

Of configuration, outside that tree so that no ``except RealtimeError`` hides them::

    ImproperlyConfigured (Django's)
    └── InvalidTransport             an entry of REALTIME_TRANSPORTS is wrong
        ├── TransportDoesNotExist    no entry has this alias
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
    """A request for something that the transport cannot do."""


class InvalidRequest(RealtimeError):
    """A malformed request of a client or a service."""


class InvalidSignature(InvalidRequest):
    """A request whose signature is wrong, or too old."""


class TransportError(RealtimeError):
    """An error because of which events were not sent.

    ``unsent`` is exactly what was not sent, in the order of publication: whole events, or an event
    with its remaining channels. An event keeps its ``id``, so that it can be sent again to a
    service that knows idempotent ids.
    """

    def __init__(self, message: str, *, unsent: Sequence[Event] = ()) -> None:
        super().__init__(message)
        self.unsent: tuple[Event, ...] = tuple(unsent)


class TransportUnavailable(TransportError):
    """An error of a service that did not answer, or asked us to come back later."""

    retry_after: float | None = None
    """Seconds after which to try again, where the service said so."""


class ChannelUnavailable(TransportUnavailable):
    """An error of some channels: the service accepts nothing for these for now."""


class EventRejected(TransportError):
    """A rejection of an event, by the service or by a limit that it is known to have."""


class PayloadTooLarge(EventRejected):
    """A rejection of an event whose data exceeds the limit of the service."""


class AccessRefused(EventRejected):
    """A rejection of us by the service: every further call would get the same answer."""


class InvalidTransport(ImproperlyConfigured):
    """An error in an entry of REALTIME_TRANSPORTS; the message says how to fix it."""

    def __init__(self, message: str, *, alias: str | None = None) -> None:
        self.alias = alias
        prefix = "REALTIME_TRANSPORTS" if alias is None else f"REALTIME_TRANSPORTS[{alias!r}]"
        super().__init__(f"{prefix}: {message}")


class TransportDoesNotExist(InvalidTransport):
    """An alias that is not configured; the message says which ones are."""


class MissingDependency(InvalidTransport):
    """An SDK that is not installed; the message says which extra to install."""
