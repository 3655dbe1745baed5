"""The in-memory transport: an outbox to look into and subscribers who receive, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from realtime_drf.events import Event
from realtime_drf.names import parse_channel_name
from realtime_drf.transports.base import BaseTransport, ChannelInfo, Limits


class Subscription:
    """Receive what is sent to some channels, like one browser's connection.

    ``received`` holds, in order, an event for each of these channels that it was sent to, with that
    channel alone in its ``channels``.
    """

    def __init__(self, transport: MemoryTransport, channels: Sequence[str], socket_id: str) -> None:
        self.channels = frozenset(channels)
        self.socket_id = socket_id
        self.received: list[Event] = []
        self._transport = transport

    def unsubscribe(self) -> None:
        """Receive nothing from now on."""
        self._transport._leave(self)

    def _receive(self, event: Event) -> None:
        if event.socket_id != self.socket_id:
            self.received += [
                event.to([channel]) for channel in event.channels if channel in self.channels
            ]


class MemoryTransport(BaseTransport):
    """Keep events in `outbox`, and hand them to subscribers in this process.

    It checks as Pusher's transport does, so that what passes a test passes there. Events cannot
    be changed, so the outbox shows what was sent and not what became of it.

    Options:
        payload_limit: bytes of an event's data that are allowed; None is no limit.
    """

    development_only = True
    supports_exclusion = True
    supports_encryption = True
    supports_user_events = True
    supports_channel_info = True

    def __init__(self, *, payload_limit: int | None = 10_240, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.limits = Limits(payload_bytes=payload_limit)
        self.outbox: list[Event] = []
        self._subscriptions: list[Subscription] = []

    def subscribe(self, *channels: str, socket_id: str = "1.1") -> Subscription:
        """Join channels as the connection of that socket id."""
        for channel in channels:
            parse_channel_name(channel)
        subscription = Subscription(self, channels, socket_id)
        self._subscriptions.append(subscription)
        return subscription

    def clear(self) -> None:
        """Empty the outbox; subscribers keep what they have."""
        self.outbox.clear()

    def send_batch(self, events: Sequence[Event]) -> None:
        self.outbox += events
        for event in events:
            for subscription in list(self._subscriptions):
                subscription._receive(event)

    def channel_info(self, channel: str) -> ChannelInfo:
        parse_channel_name(channel)
        count = sum(channel in each.channels for each in list(self._subscriptions))
        return ChannelInfo(name=channel, occupied=bool(count), subscription_count=count)

    def occupied_channels(self, prefix: str = "") -> dict[str, ChannelInfo]:
        names = {name for each in list(self._subscriptions) for name in each.channels}
        return {name: self.channel_info(name) for name in sorted(names) if name.startswith(prefix)}

    def _leave(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
