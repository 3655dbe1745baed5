"""What the layers ask of each other: the callers' view, which anything may satisfy.

`RealtimeBackend` and `BaseTransport` are where implementers start; these are what they must be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from django.core.checks import CheckMessage

    from realtime_drf.backends import Change
    from realtime_drf.events import Event
    from realtime_drf.names import ChannelKind


@runtime_checkable
class NamedChannel(Protocol):
    """Stand for an object in place of a channel's name."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> ChannelKind: ...


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


@dataclass(frozen=True, kw_only=True)
class AuthorizationRequest:
    """Say which channels a client asks for, and for which of its connections.

    `is_many` is set where the client expects a result for each of them. `user_id` is whose request
    it is, and nothing that the client says: the view fills it in.
    """

    socket_id: str = field(repr=False)
    channels: tuple[str, ...]
    is_many: bool = False
    user_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Say that a channel may be subscribed to; on presence channels, as whom.

    `may_publish` is for transports that decide by channel who publishes from a client.
    """

    channel: str
    user_id: str | None = None
    user_info: Mapping[str, Any] | None = None
    may_publish: bool = False


@dataclass(frozen=True, kw_only=True)
class Denial:
    """Say that a channel may not be subscribed to."""

    channel: str


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Say who signs in: the id, what others may see, and whom the client watches."""

    user_id: str
    user_info: Mapping[str, Any] | None = None
    watchlist: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Hold what a client is answered: an HTTP status and a body, which may be a token.

    The body is an object for JSON, or text of the `content_type`.
    """

    status: int
    body: Mapping[str, Any] | str = field(repr=False)
    content_type: str = "application/json"


@dataclass(frozen=True, kw_only=True)
class WebhookEvent:
    """Hold one thing that a service reports.

    `kind` is the name of a signal: "channel_occupied", "channel_vacated", "member_added",
    "member_removed", "client_event", "cache_miss", "subscription_count"; others are not known.
    `time_ms` is when it happened, in milliseconds since 1970, by the service's clock. `details` is
    what the service says besides. `id` tells it from all others, where the service may deliver it
    again in other company; without one, the whole body is taken to come again as it was.
    """

    kind: str
    channel: str
    time_ms: int
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)
    id: str = ""


class Delivery(Protocol):
    """Decide when and in which process a transport is called."""

    def deliver(self, transport: Transport, events: Sequence[Event]) -> None:
        """See to it that the transport is given the events of one hand-over, in their order.

        Raise what the transport raises if it was called at once.
        """
