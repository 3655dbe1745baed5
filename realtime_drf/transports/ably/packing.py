"""Packing of events into calls to Ably's REST API, and of each call into groups.

A call is one POST: to one channel, or a batch of specifications, each with several channels and the
messages for all of them: https://ably.com/docs/messages/batch#batch-publish. Specifications are
processed in parallel, so all messages of a call for one channel must be in one of them: there they
are published in order, all or none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from realtime_drf.events import Event

MAX_CHANNELS: Final = 100
"""Different channels a call."""

MAX_MESSAGES: Final = 1_000
"""Messages to one channel in a call."""

MAX_BYTES: Final = 2_000_000
"""Bytes of all messages in a call: less than the service's 2 MiB, for what is not counted here."""

_OVERHEAD: Final = 400
"""Bytes, at most, that a message needs for its id, keys and encoding."""


@dataclass(frozen=True)
class Group:
    """Events, in order, and the channels that all of them are for."""

    channels: tuple[str, ...]
    events: tuple[Event, ...]


class Packer:
    """Fills calls in order, up to the limits of the service.

    Args:
        wire_size: returns the bytes of an event that the service counts.
        payload_limit: bytes for one channel in a call, and so of an event.
        goes_alone: tells whether a channel's data differs from that of others: it is encrypted.
    """

    def __init__(
        self,
        wire_size: Callable[[Event], int],
        payload_limit: int,
        goes_alone: Callable[[str], bool],
    ) -> None:
        self._wire_size = wire_size
        self._payload_limit = payload_limit
        self._goes_alone = goes_alone

    def pack(self, events: Sequence[Event]) -> list[list[Event]]:
        """Return calls; an event has at most `MAX_CHANNELS` channels."""
        calls: list[list[Event]] = []
        open_call = _Call(self._goes_alone)
        for event in events:
            size = self._wire_size(event)
            if not calls or not open_call.add(event, size, self._payload_limit):
                calls.append([])
                open_call = _Call(self._goes_alone)
                open_call.add(event, size, limit=None)
            calls[-1].append(event)
        return calls

    def divide(self, call: Sequence[Event]) -> list[Group]:
        """Return the groups of a call; each channel is in one of them."""
        by_channel: dict[str, tuple[Event, ...]] = {}
        for event in call:
            for channel in event.channels:
                by_channel[channel] = (*by_channel.get(channel, ()), event)
        groups: dict[tuple[str, ...], Group] = {}
        for channel, events in by_channel.items():
            ids = tuple(event.id for event in events)
            key = (channel,) if self._goes_alone(channel) else ("", *ids)
            together = groups[key].channels if key in groups else ()
            groups[key] = Group((*together, channel), events)
        return list(groups.values())


class _Call:
    """The content of a call, which tells whether one more event fits."""

    def __init__(self, goes_alone: Callable[[str], bool]) -> None:
        self._goes_alone = goes_alone
        self._held: dict[str, tuple[int, ...]] = {}  # the events of a channel, by number
        self._sizes: list[int] = []
        self._channel_bytes: dict[str, int] = {}
        self._senders: dict[str, str | None] = {}
        self._ids: set[str] = set()

    def add(self, event: Event, size: int, limit: int | None) -> bool:
        """Add an event if it fits; without a limit it always does."""
        if limit is not None and not self._fits(event, size, limit):
            return False
        number = len(self._sizes)
        before = {channel: self._held.get(channel) for channel in event.channels}
        self._sizes.append(size + _OVERHEAD)
        for channel, numbers in before.items():
            self._held[channel] = (*(numbers or ()), number)
        if limit is not None and self._total() > MAX_BYTES:
            self._sizes.pop()
            for channel, numbers in before.items():
                if numbers is None:
                    del self._held[channel]
                else:
                    self._held[channel] = numbers
            return False
        self._ids.add(event.id)
        for channel in event.channels:
            self._channel_bytes[channel] = self._channel_bytes.get(channel, 0) + size
            self._senders[channel] = event.socket_id
        return True

    def _fits(self, event: Event, size: int, limit: int) -> bool:
        if event.id in self._ids or len(self._held.keys() | set(event.channels)) > MAX_CHANNELS:
            return False
        return all(
            len(self._held[channel]) < MAX_MESSAGES
            and self._channel_bytes[channel] + size <= limit
            # One publish excludes one connection.
            and self._senders[channel] == event.socket_id
            for channel in event.channels
            if channel in self._held
        )

    def _total(self) -> int:
        """Return the bytes of all; channels with the same events share them, unless encrypted."""
        shared = {numbers for name, numbers in self._held.items() if not self._goes_alone(name)}
        alone = [numbers for name, numbers in self._held.items() if self._goes_alone(name)]
        return sum(self._sizes[n] for numbers in (*shared, *alone) for n in numbers)
