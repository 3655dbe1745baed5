"""What arrived and what was raised, compared with what the contract says."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

from realtime_drf.events import Event
from realtime_drf.exceptions import TransportError
from realtime_drf.transports.base import BaseTransport

E = TypeVar("E", bound=Exception)


class Received(NamedTuple):
    """An event on one of its channels, as the service delivers it to subscribers."""

    channel: str
    """In our canonical spelling."""
    name: str
    data: str
    """JSON text, decrypted where the channel is encrypted."""
    excluded: str | None = None
    """Socket id of the connection that the service excludes, or None."""


class Arrivals:
    """The events that arrived, by channel: order is promised only within a channel."""

    def __init__(self, channels: Sequence[str], *, keeps_text: bool) -> None:
        self.channels = channels
        self.by_channel: dict[str, list[Received]] = {}
        self._keeps_text = keeps_text

    def end(
        self, new: Mapping[str, Sequence[Received]], marker: str, *, missing: bool = False
    ) -> None:
        """Store what arrived, without the marker."""
        self.by_channel = {
            channel: [each for each in found if each.name != marker]
            for channel, found in new.items()
        }
        markers = {
            channel: [each.name for each in found].count(marker) for channel, found in new.items()
        }
        wrong = {channel: count for channel, count in markers.items() if count != 1}
        if missing or wrong:
            fail(
                "An event sent last must arrive once on each of its channels.\n"
                f"  times it arrived: {wrong}\n  before it arrived: {self.by_channel}"
            )
        for channel, found in new.items():
            if found[-1].name != marker:
                fail(f"On {channel}, {found[-1].name!r} arrived after what was sent later.")

    def check(self, events: Iterable[Event], transport: BaseTransport) -> None:
        """Check that exactly these events arrived on their channels, in order."""
        expected: dict[str, list[Received]] = {channel: [] for channel in self.channels}
        known: set[tuple[str, str]] = set()
        for event in events:
            for channel in event.channels:
                if transport.supports_idempotency and (event.id, channel) in known:
                    continue
                known.add((event.id, channel))
                excluded = excluded_by(transport, event)
                expected[channel].append(Received(channel, event.name, event.body, excluded))
        for channel, wanted in expected.items():
            found = self.by_channel[channel]
            if self._normal(found) != self._normal(wanted):
                fail(_describe(channel, wanted, found))

    def _normal(self, received: Sequence[Received]) -> list[Any]:
        return [
            each if self._keeps_text else each._replace(data=_canonical(each.data))
            for each in received
        ]


def excluded_by(transport: BaseTransport, event: Event) -> str | None:
    """Return the connection that must not receive an event, if the transport can exclude it."""
    socket_id = event.socket_id
    if socket_id is None or not transport.supports_exclusion:
        return None
    return socket_id if transport.is_socket_id(socket_id) else None


class Caught(Generic[E]):
    """The error that a block raised."""

    error: E


@contextlib.contextmanager
def expecting(kind: type[E], *kinds: type[E], since: str) -> Iterator[Caught[E]]:
    """Check that the block raises an error of one of these kinds; `since` says why it must."""
    caught = Caught[E]()
    expected = " or ".join(each.__name__ for each in (kind, *kinds))
    because = f"{since[:1].upper()}{since[1:]}: {expected} is expected"
    try:
        yield caught
    except (kind, *kinds) as exc:
        caught.error = exc
    except Exception as exc:
        raised = f"{type(exc).__module__}.{type(exc).__qualname__}"
        raise AssertionError(f"{because}, not {raised} ({exc}).") from exc
    else:
        fail(f"{because}, and nothing was raised.")


def check_unsent(error: TransportError, expected: Sequence[Event]) -> None:
    """Check that an error has exactly the events that were not sent."""
    found = [(event.id, event.channels) for event in error.unsent]
    wanted = [(event.id, event.channels) for event in expected]
    if found != wanted:
        fail(
            "`unsent` must be exactly the events that were not sent, in order.\n"
            f"  expected: {list(expected)}\n  found: {list(error.unsent)}"
        )


def fail(message: str) -> NoReturn:
    """Fail the running clause."""
    raise AssertionError(message)


def _canonical(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True)


def _describe(channel: str, wanted: Sequence[Received], found: Sequence[Received]) -> str:
    pairs = list(itertools.zip_longest(wanted, found))
    number, (one, other) = next(
        (number, pair) for number, pair in enumerate(pairs, 1) if pair[0] != pair[1]
    )
    return (
        f"What arrived on {channel} is not what was sent: {len(wanted)} event(s) expected, "
        f"{len(found)} found. The first that differs is number {number}.\n"
        f"  expected: {one}\n  found:    {other}"
    )
