"""The in-memory transport: an outbox to look into and subscribers who receive, for tests."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from realtime_drf.events import Event
from realtime_drf.exceptions import InvalidRequest
from realtime_drf.names import ChannelKind, parse_channel_name
from realtime_drf.transports.base import ChannelInfo, Limits
from realtime_drf.transports.signatures import Signer, SigningTransport


class Subscriber:
    """Receive what is sent to some channels, like one browser's connection.

    Who joins a cache channel receives the last event that it holds.

    ``received`` holds, in order, an event for each of these channels that it was sent to, with that
    channel alone in its ``channels``.
    """

    def __init__(self, transport: MemoryTransport, socket_id: str) -> None:
        self.socket_id = socket_id
        self.channels: set[str] = set()
        self.received: list[Event] = []
        self._transport = transport

    def subscribe(self, channel: str, token: Mapping[str, str] | None = None) -> None:
        """Join a channel as a browser would, which shows what the authorization view answered.

        Raises:
            InvalidRequest: the channel is not public, and the token is not for it and this
                connection.
        """
        self._transport._verify(self.socket_id, channel, token or {})
        self._join(channel)

    def unsubscribe(self, channel: str | None = None) -> None:
        """Leave a channel, or all of them."""
        self.channels -= {channel} if channel else set(self.channels)

    def _join(self, channel: str) -> None:
        kept = self._transport._kept.get(channel)
        if kept is not None and channel not in self.channels:
            self.received.append(kept)
        self.channels.add(channel)

    def _receive(self, event: Event) -> None:
        if event.socket_id != self.socket_id:
            self.received += [
                event.to([channel]) for channel in event.channels if channel in self.channels
            ]


class MemoryTransport(SigningTransport):
    """Keep events in `outbox`, and hand them to subscribers in this process.

    It checks as Pusher's transport does, so that what passes a test passes there, and signs and
    verifies with keys of its own. Events cannot be changed, so the outbox shows what was sent and
    not what became of it.

    Options:
        payload_limit: bytes of an event's data that are allowed, Pusher's unless given; None is no
            limit.
    """

    development_only = True
    supports_encryption = True
    supports_user_events = True
    supports_channel_info = True
    supports_cache = True

    def __init__(self, *, payload_limit: int | None = 10_240, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.limits = Limits(payload_bytes=payload_limit)
        self.outbox: list[Event] = []
        self.signer = Signer("memory", secrets.token_hex(16), secrets.token_bytes(32))
        self._subscribers: list[Subscriber] = []
        self._kept: dict[str, Event] = {}
        self._socket_numbers = itertools.count(1)

    def connect(self) -> Subscriber:
        """Return a new connection, which has a socket id and no channels."""
        return self._add(f"{next(self._socket_numbers)}.1")

    def subscribe(self, *channels: str, socket_id: str = "0.0") -> Subscriber:
        """Return a connection that is on these channels; nobody asks whether it may be."""
        for channel in channels:
            parse_channel_name(channel)
        subscriber = self._add(socket_id)
        for channel in channels:
            subscriber._join(channel)
        return subscriber

    def clear(self) -> None:
        """Empty the outbox; subscribers and cache channels keep what they have."""
        self.outbox.clear()

    def send_batch(self, events: Sequence[Event]) -> None:
        self.outbox += events
        for event in events:
            self._kept |= {
                name: event.to([name]) for name in event.channels if parse_channel_name(name).cache
            }
            for subscriber in list(self._subscribers):
                subscriber._receive(event)

    def channel_info(self, channel: str) -> ChannelInfo:
        parse_channel_name(channel)
        count = sum(channel in each.channels for each in list(self._subscribers))
        return ChannelInfo(name=channel, occupied=bool(count), subscription_count=count)

    def occupied_channels(self, prefix: str = "") -> dict[str, ChannelInfo]:
        names = {name for each in list(self._subscribers) for name in each.channels}
        return {name: self.channel_info(name) for name in sorted(names) if name.startswith(prefix)}

    def _add(self, socket_id: str) -> Subscriber:
        subscriber = Subscriber(self, socket_id)
        self._subscribers.append(subscriber)
        return subscriber

    def _verify(self, socket_id: str, channel: str, token: Mapping[str, str]) -> None:
        kind = parse_channel_name(channel).kind
        if kind is ChannelKind.PUBLIC:
            return
        if kind is ChannelKind.USER:
            raise InvalidRequest("A user's channel is joined by signing in.")
        text = f"{socket_id}:{channel}"
        if "channel_data" in token:
            text += f":{token['channel_data']}"
        elif kind is ChannelKind.PRESENCE:
            raise InvalidRequest(f"{channel} needs channel_data.")
        key, _, signature = token.get("auth", "").partition(":")
        if key != self.signer.key or not self.signer.verify(text, signature):
            raise InvalidRequest(f"{channel}: the token is not for it and this connection.")
