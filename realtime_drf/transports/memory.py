"""The in-memory transport, for tests: an outbox to inspect, and subscribers that receive."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from realtime_drf.events import Event
from realtime_drf.exceptions import InvalidRequest
from realtime_drf.names import ChannelKind, parse_channel_name
from realtime_drf.options import Options, option, takes_options
from realtime_drf.pusher_protocol.limits import MAX_PAYLOAD_BYTES
from realtime_drf.pusher_protocol.signatures import Signer
from realtime_drf.transports.base import ChannelInfo, Limits
from realtime_drf.transports.signing import SigningTransport

__all__ = ["Member", "MemoryTransport", "Subscriber"]


class Member(NamedTuple):
    """A user on a presence channel, as other subscribers see them."""

    channel: str
    user_id: str
    user_info: Any = None


class Subscriber:
    """A connection, like a browser's, that receives the events of its channels.

    One that subscribes to a cache channel receives the last event of that channel.

    ``received`` holds, in order, an event for each channel of the connection that it was sent to,
    with only that channel in its ``channels``. ``member_added`` and ``member_removed`` hold, in
    order, the users that joined and left its presence channels while it was subscribed.
    """

    def __init__(self, transport: MemoryTransport, socket_id: str) -> None:
        self.socket_id = socket_id
        self.channels: set[str] = set()
        self.received: list[Event] = []
        self.member_added: list[Member] = []
        self.member_removed: list[Member] = []
        self._memberships: dict[str, Member] = {}
        self._transport = transport

    def subscribe(self, channel: str, token: Mapping[str, str] | None = None) -> None:
        """Subscribe as a browser would, with the token that the authorization view answered.

        Raises:
            InvalidRequest: the channel is not public, and the token is not for this channel and
                connection.
        """
        self._transport._verify(self.socket_id, channel, token or {})
        self._join(channel)
        if parse_channel_name(channel).kind is ChannelKind.PRESENCE and token:
            self._enter(channel, json.loads(token["channel_data"]))

    def unsubscribe(self, channel: str | None = None) -> None:
        """Unsubscribe from a channel, or from all of them."""
        for name in [channel] if channel else list(self.channels):
            self.channels.discard(name)
            member = self._memberships.pop(name, None)
            if member is not None and not self._transport._has(member):
                for other in self._transport._on(name):
                    other.member_removed.append(member)

    def members(self, channel: str) -> dict[str, Any]:
        """Return the info of each member of one of its presence channels, by user id.

        Raises:
            ValueError: it is not subscribed, or the channel is not a presence channel.
        """
        if channel not in self._memberships:
            raise ValueError(f"Subscribe to {channel} first; only presence channels have members.")
        return {each.user_id: each.user_info for each in self._transport._members(channel)}

    def _join(self, channel: str) -> None:
        kept = self._transport._kept.get(channel)
        if kept is not None and channel not in self.channels:
            self.received.append(kept)
        self.channels.add(channel)

    def _enter(self, channel: str, data: Mapping[str, Any]) -> None:
        """Become a member; the others are notified of a user's first connection only."""
        member = Member(channel, data["user_id"], data.get("user_info"))
        if not self._transport._has(member):
            for other in self._transport._on(channel):
                if other is not self:
                    other.member_added.append(member)
        self._memberships.setdefault(channel, member)

    def _receive(self, event: Event) -> None:
        if event.socket_id != self.socket_id:
            self.received += [
                event.to([channel]) for channel in event.channels if channel in self.channels
            ]


@dataclass(frozen=True, kw_only=True)
class MemoryOptions(Options):
    """The options of the memory transport."""

    payload_limit: int | None = option(
        MAX_PAYLOAD_BYTES, "bytes of an event's data that are allowed; `None` is no limit"
    )


class MemoryTransport(SigningTransport):
    """The transport that keeps events in `outbox` and delivers them within this process.

    It checks events as Pusher's transport does, so that what passes a test passes there, and signs
    and verifies with keys of its own. Its options are those of `MemoryOptions`.
    """

    development_only = True
    supports_encryption = True
    supports_user_events = True
    supports_channel_info = True
    supports_presence = True
    supports_cache = True

    @takes_options(MemoryOptions)
    def __init__(self, options: MemoryOptions) -> None:
        super().__init__(alias=options.alias)
        self.limits = Limits(payload_bytes=options.payload_limit)
        self.outbox: list[Event] = []
        self.signer = Signer("memory", secrets.token_hex(16), secrets.token_bytes(32))
        self._subscribers: list[Subscriber] = []
        self._kept: dict[str, Event] = {}
        self._socket_numbers = itertools.count(1)

    def connect(self) -> Subscriber:
        """Return a new connection, with a socket id and without channels."""
        return self._add(f"{next(self._socket_numbers)}.1")

    def subscribe(self, *channels: str, socket_id: str = "0.0") -> Subscriber:
        """Return a connection that is subscribed to channels, without authorization."""
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
        is_presence = parse_channel_name(channel).kind is ChannelKind.PRESENCE
        count = len(self._on(channel))
        return ChannelInfo(
            name=channel,
            occupied=bool(count),
            subscription_count=count,
            user_count=len(self.members(channel)) if is_presence else None,
        )

    def occupied_channels(self, prefix: str = "") -> dict[str, ChannelInfo]:
        names = {name for each in list(self._subscribers) for name in each.channels}
        return {name: self.channel_info(name) for name in sorted(names) if name.startswith(prefix)}

    def members(self, channel: str) -> list[str]:
        """Return the ids of the users that subscribed to a presence channel with a token."""
        if parse_channel_name(channel).kind is not ChannelKind.PRESENCE:
            raise self._unsupported(f"list the members of {channel!r}")
        return sorted({member.user_id for member in self._members(channel)})

    def _members(self, channel: str) -> Iterator[Member]:
        for each in self._on(channel):
            if channel in each._memberships:
                yield each._memberships[channel]

    def _has(self, member: Member) -> bool:
        return any(each.user_id == member.user_id for each in self._members(member.channel))

    def _on(self, channel: str) -> list[Subscriber]:
        return [each for each in list(self._subscribers) if channel in each.channels]

    def _add(self, socket_id: str) -> Subscriber:
        subscriber = Subscriber(self, socket_id)
        self._subscribers.append(subscriber)
        return subscriber

    def _verify(self, socket_id: str, channel: str, token: Mapping[str, str]) -> None:
        kind = parse_channel_name(channel).kind
        if kind is ChannelKind.PUBLIC:
            return
        if kind is ChannelKind.USER:
            raise InvalidRequest("A user's channel is subscribed to by signing in.")
        text = f"{socket_id}:{channel}"
        if "channel_data" in token:
            text += f":{token['channel_data']}"
        elif kind is ChannelKind.PRESENCE:
            raise InvalidRequest(f"{channel} needs channel_data.")
        key, _, signature = token.get("auth", "").partition(":")
        if key != self.signer.key or not self.signer.verify(text, signature):
            raise InvalidRequest(f"{channel}: the token is not for it and this connection.")
