"""The base of all transports: checks, limits, splitting, and bookkeeping of failures."""

from __future__ import annotations

import dataclasses
import importlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage

from realtime_drf.events import Event
from realtime_drf.exceptions import (
    AccessRefused,
    ChannelUnavailable,
    EventRejected,
    MissingDependency,
    PayloadTooLarge,
    TransportError,
    TransportUnavailable,
    UnsupportedFeature,
)
from realtime_drf.grants import Answer, AuthorizationRequest, Denial, Grant, Identity
from realtime_drf.names import ChannelKind, parse_channel_name
from realtime_drf.tracebacks import opaque
from realtime_drf.webhook_events import WebhookEvent

__all__ = ["BaseTransport", "ChannelInfo", "Limits"]

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a service; None is no limit."""

    payload_bytes: int | None = None
    """Bytes of an event's data, as they are sent."""
    channels_per_event: int | None = None
    events_per_call: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChannelInfo:
    """The state of a channel; a count is None if the service does not report it."""

    name: str
    occupied: bool
    subscription_count: int | None = None
    user_count: int | None = None


class BaseTransport(ABC):
    """The base of a transport, which carries events to a service.

    A subclass implements `send_batch`; everything else has a default. One instance an alias serves
    all threads of a process and of its forks: the constructor does no I/O, and a forked child opens
    connections of its own. Options in the settings reach the constructor as keyword arguments; pass
    ``alias`` on to `super().__init__()`.
    """

    limits = Limits()

    development_only = False
    """Not for production: `manage.py check --deploy` refuses it."""

    supports_exclusion = False
    """`send_batch` leaves out the connection that an event's ``socket_id`` names."""

    supports_idempotency = False
    """The service recognizes events by their ids: a batch that is sent again arrives once."""

    supports_encryption = False
    """`send_batch` encrypts the data for encrypted channels."""

    supports_user_events = False
    """`send_batch` reaches all connections of a user through the user's channel."""

    supports_channel_info = False
    """`channel_info` and `occupied_channels` ask the service for subscribers."""

    supports_disconnecting_users = False
    """`disconnect_user` closes all connections of a user."""

    supports_authorization = False
    """`read_authorization` and `answer_authorization` authorize subscriptions."""

    supports_user_authentication = False
    """`read_user_authentication` and `answer_user_authentication` sign clients in."""

    supports_webhooks = False
    """`read_webhook` reads what the service reports."""

    supports_presence = False
    """`members` asks the service which users are on a presence channel."""

    supports_cache = False
    """The service keeps the last event of a cache channel for later subscribers."""

    authorizes_by_get = False
    """Clients of the service may request an authorization with GET, too."""

    authorizes_user_channels = False
    """Clients request the channel of their user like any other, without signing in first."""

    def __init__(self, *, alias: str = "default") -> None:
        self.alias = alias

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.alias!r}>"

    # To implement

    @abstractmethod
    def send_batch(self, events: Sequence[Event]) -> None:
        """Send the events of one call, as `pack` made it, in order.

        Raise TransportUnavailable (ChannelUnavailable if only some channels are concerned),
        EventRejected or AccessRefused, always ``from`` the cause, and no exception of an SDK. Give
        the error ``unsent`` if the service accepted a part of the call; without it, none of the
        events counts as sent. Events that are rejected together are sent again one at a time, so
        that only the invalid one is lost.
        """

    # To override where needed

    def pack(self, events: Sequence[Event]) -> Iterable[Sequence[Event]]:
        """Group events into calls, within `limits` and in order."""
        parts = [part for event in events for part in self.split_channels(event)]
        return _chunks(parts, self.limits.events_per_call)

    def wire_size(self, event: Event) -> int:
        """Return the bytes of an event's data that the service counts against its limit."""
        return len(event.body) if event.body.isascii() else len(event.body.encode())

    def is_socket_id(self, socket_id: str) -> bool:
        """Return whether a socket id is well-formed; if not, no connection is excluded."""
        return self.supports_exclusion

    def to_wire_name(self, channel: str) -> str:
        """Translate a canonical channel name into the service's grammar."""
        return channel

    def from_wire_name(self, name: str) -> str:
        """Translate a name in the service's grammar back into the canonical one."""
        return name

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Return the messages of `manage.py check`, without using the network."""
        return []

    def check_deployment(self, **kwargs: Any) -> list[CheckMessage]:
        """Return further messages, of `manage.py check --deploy`."""
        return []

    def close(self) -> None:  # noqa: B027
        """Close connections; the next call opens new ones."""

    def health(self) -> bool:
        """Return whether this process can serve the clients of the transport.

        False has a load balancer send them elsewhere. Where clients connect to a service, and not
        to this process, it is always True. Does not use the network.
        """
        return True

    def stats(self) -> dict[str, Any]:
        """Return figures of this process, as JSON can hold them, by name.

        They are shown to staff beside the health. Does not use the network.
        """
        return {}

    def channel_info(self, channel: str) -> ChannelInfo:
        """Ask the service for the state of a channel."""
        raise self._unsupported("report the state of a channel")

    def occupied_channels(self, prefix: str = "") -> dict[str, ChannelInfo]:
        """Ask the service for the channels, by canonical prefix, that have a subscriber."""
        raise self._unsupported("list channels")

    def members(self, channel: str) -> list[str]:
        """Ask the service for the ids of the users on a presence channel, each once."""
        raise self._unsupported("list the members of a channel")

    def disconnect_user(self, user_id: str) -> None:
        """Ask the service to close all connections of a user."""
        raise self._unsupported("disconnect a user")

    def read_authorization(self, data: Mapping[str, Any]) -> AuthorizationRequest:
        """Read the channels that a client requests; raise InvalidRequest if malformed.

        `data` is the client's request, a form or JSON.
        """
        raise self._unsupported("authorize subscriptions")

    def answer_authorization(
        self, asked: AuthorizationRequest, decisions: Sequence[Grant | Denial]
    ) -> Answer:
        """Return the answer to the client; `decisions` are in the order of its channels."""
        raise self._unsupported("authorize subscriptions")

    def read_user_authentication(self, data: Mapping[str, Any]) -> str:
        """Return the socket id of a connection that signs in; raise InvalidRequest if malformed."""
        raise self._unsupported("sign users in")

    def answer_user_authentication(self, socket_id: str, identity: Identity) -> Answer:
        """Return the answer to the client."""
        raise self._unsupported("sign users in")

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> list[WebhookEvent]:
        """Verify a webhook, and return the events that it reports.

        `headers` are case-insensitive; `body` is the raw body. Raise InvalidSignature if it is not
        signed by the service or too old, and InvalidRequest if it is malformed.
        """
        raise self._unsupported("read webhooks")

    # For callers

    def validate(self, event: Event) -> None:
        """Raise EventRejected if the event cannot be sent, without asking the service."""
        for channel in event.channels:
            kind = parse_channel_name(channel).kind
            if kind is ChannelKind.ENCRYPTED and not self.supports_encryption:
                self._refuse(event, f"encrypt for channel {channel!r}")
            if kind is ChannelKind.USER and not self.supports_user_events:
                self._refuse(event, f"reach a user ({channel!r})")
        limit = self.limits.payload_bytes
        if limit is not None and (size := self.wire_size(event)) > limit:
            raise PayloadTooLarge(
                f"The data of {event.name!r} has {size:,} bytes; {limit:,} are allowed.",
                unsent=[event],
            )

    @opaque
    def send(self, events: Sequence[Event]) -> None:
        """Send events in order.

        An event that is too large, or rejected, is skipped and the others are sent; once the
        service is unavailable, the rest is not sent. Then TransportError is raised, and its
        ``unsent`` holds exactly what was not sent.
        """
        refusals: list[TransportError] = []
        outgoing: list[Event] = []
        for event in events:
            try:
                self.validate(event)
            except EventRejected as exc:
                refusals.append(exc)
            else:
                outgoing.append(self._with_exclusion_checked(event))
        sent: Counter[tuple[str, str]] = Counter()
        stop: TransportError | None = None
        try:
            for call in self.pack(outgoing):
                refusals += self._send_call(call, sent)
        except (TransportUnavailable, AccessRefused) as exc:
            stop = exc
        error = stop or _summary(refusals)
        if error is not None:
            error.unsent = tuple(_unsent(events, sent))
            raise error

    async def asend(self, events: Sequence[Event]) -> None:
        """Call `send` in a thread, which does not block the event loop."""
        await sync_to_async(self.send, thread_sensitive=False)(events)

    # Helpers

    def split_channels(self, event: Event) -> Iterator[Event]:
        """Yield the event in parts that have no more channels than `limits` allow."""
        limit = self.limits.channels_per_event
        if limit is None or len(event.channels) <= limit:
            yield event
        else:
            for channels in _chunks(event.channels, limit):
                yield event.to(channels)

    def require(self, module: str, *, extra: str) -> Any:
        """Import an SDK; raise MissingDependency, which says what to install, if it is missing."""
        try:
            return importlib.import_module(module)
        except ImportError as exc:
            raise MissingDependency(
                f"{type(self).__name__} needs its SDK: pip install realtime-drf[{extra}] ({exc}).",
                alias=self.alias,
            ) from exc

    def _send_call(
        self, call: Sequence[Event], sent: Counter[tuple[str, str]]
    ) -> list[TransportError]:
        """Make one call, count what was sent, and return errors that do not stop the others."""
        refused: TransportError | None = None
        left: Counter[tuple[str, str]] = Counter()
        try:
            self.send_batch(call)
        except EventRejected as exc:
            if isinstance(exc, AccessRefused):
                raise
            if not exc.unsent and len(call) > 1:
                return [error for event in call for error in self._send_call([event], sent)]
            refused = exc
            left = _deliveries(exc.unsent or call)
        except ChannelUnavailable as exc:
            refused = exc
            left = _deliveries(exc.unsent or call)
        except TransportUnavailable as exc:
            if exc.unsent:
                sent.update(_deliveries(call) - _deliveries(exc.unsent))
            raise
        sent.update(_deliveries(call) - left)
        return [refused] if refused else []

    def _with_exclusion_checked(self, event: Event) -> Event:
        if event.socket_id is None or self.is_socket_id(event.socket_id):
            return event
        return event.replace(socket_id=None)

    def _refuse(self, event: Event, ability: str) -> None:
        raise EventRejected(
            f"{event.name!r} was not sent: {self!r} cannot {ability}.", unsent=[event]
        ) from self._unsupported(ability)

    def _unsupported(self, ability: str) -> UnsupportedFeature:
        return UnsupportedFeature(f"{self!r} cannot {ability}.")


def _chunks(items: Sequence[T], size: int | None) -> Iterator[Sequence[T]]:
    step = size or len(items) or 1
    for start in range(0, len(items), step):
        yield items[start : start + step]


def _deliveries(events: Iterable[Event]) -> Counter[tuple[str, str]]:
    """Count each event on each of its channels, as subscribers receive or miss it."""
    return Counter((event.id, channel) for event in events for channel in event.channels)


def _unsent(events: Sequence[Event], sent: Counter[tuple[str, str]]) -> Iterator[Event]:
    """Yield what was not sent. Of an event that is given twice, the first counts as sent."""
    left = sent.copy()
    for event in events:
        channels = []
        for channel in event.channels:
            if left[event.id, channel]:
                left[event.id, channel] -= 1
            else:
                channels.append(channel)
        if channels:
            yield event if len(channels) == len(event.channels) else event.to(channels)


def _summary(refusals: Sequence[TransportError]) -> TransportError | None:
    if len(refusals) < 2:
        return refusals[0] if refusals else None
    for refusal in refusals:
        if isinstance(refusal, ChannelUnavailable):
            return refusal  # it is worth a retry, whatever the others are
    all_too_large = all(isinstance(error, PayloadTooLarge) for error in refusals)
    kind = PayloadTooLarge if all_too_large else EventRejected
    error = kind(f"{len(refusals)} events were rejected; the first: {refusals[0]}")
    error.__cause__ = refusals[0]
    return error
