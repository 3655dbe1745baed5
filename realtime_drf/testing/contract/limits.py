"""Clauses of the contract: what is within the limits of a service is sent, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from realtime_drf.events import Event
from realtime_drf.exceptions import PayloadTooLarge
from realtime_drf.testing.contract.evidence import check_unsent, expecting, fail
from realtime_drf.testing.contract.harness import Harness
from realtime_drf.transports.base import BaseTransport

CHARACTERS = {"one byte": "x", "two bytes": "ü", "four bytes": "\N{PARTY POPPER}"}

MANY = 250
"""Channels, or events, where no limit of the service is known."""


class SizeLimits(Harness):
    """Tests of sizes at the limit, one below and one above."""

    def test_data_up_to_the_limit_arrives(self) -> None:
        channel = self.channel()
        with self.transport() as transport:
            self._limit(transport)
            for character in CHARACTERS.values():
                length = _longest(transport, channel, character)
                sizes = (length - 1, length)
                self.send_all(transport, [_filled(channel, character, size) for size in sizes])
                for size in sizes:  # as new events: a known one might not arrive again
                    self.send_all(transport, [_filled(channel, character, size)])

    def test_data_above_the_limit_is_refused_before_io(self) -> None:
        channel = self.channel()
        with self.transport() as transport:
            limit = self._limit(transport)
            calls: list[Sequence[Event]] = []
            self.intercept(transport, calls.append)
            for named, character in CHARACTERS.items():
                event = _filled(channel, character, _longest(transport, channel, character) + 1)
                size = transport.wire_size(event)
                reason = f"{size:,} bytes of characters of {named} are more than {limit:,}"
                with expecting(PayloadTooLarge, since=reason) as caught:
                    transport.send([event])
                check_unsent(caught.error, [event])
            if calls:
                fail(f"Events that are too large reached the service: {calls}")

    def test_the_size_is_counted_in_bytes(self) -> None:
        channel = self.channel()
        with self.transport() as transport:
            self._limit(transport)
            plain, umlauts = (_filled(channel, each, 100) for each in "xü")
            difference = transport.wire_size(umlauts) - transport.wire_size(plain)
        if difference < 100:
            fail(f"100 umlauts have 100 bytes more than 100 letters, not {difference}.")

    def test_an_event_too_large_is_refused_whole_and_its_companions_go(self) -> None:
        one, other = self.channel("one"), self.channel("other")
        with self.transport() as transport:
            self._limit(transport)
            length = _longest(transport, one, "x") + 1
            events = [
                Event("before", [one, other], 1),
                Event("too large", [one, other], "x" * length),
                Event("between", other, 2),
                Event("too large as well", other, "x" * length),
                Event("after", [other, one], 3),
            ]
            with (
                self.arrivals(transport, [one, other]) as arrived,
                expecting(PayloadTooLarge, since="two events are too large") as caught,
            ):
                transport.send(events)
            arrived.check(events[::2], transport)
            check_unsent(caught.error, events[1::2])

    def _limit(self, transport: BaseTransport) -> int:
        limit = transport.limits.payload_bytes
        if limit is None:
            self.skip("limits.payload_bytes is None")
        return limit


class CountLimits(Harness):
    """Tests that more than a call may hold is split."""

    def test_an_event_of_many_channels_reaches_them_all(self) -> None:
        with self.transport() as transport:
            for count in _around(transport.limits.channels_per_event):
                channels = [self.channel(str(number)) for number in range(count)]
                self.send_all(transport, [Event("e", channels, count)])

    def test_a_batch_larger_than_any_limit_is_split_without_reordering(self) -> None:
        one, other = self.channel("one"), self.channel("other")
        with self.transport() as transport:
            for count in _around(transport.limits.events_per_call):
                self.send_all(transport, [Event(f"e{n}", one, n) for n in range(count)])
                self.send_all(
                    transport,
                    [Event(f"e{n}", [one, other][n % 2 :], n) for n in range(count)],
                )

    def test_no_call_exceeds_the_limits(self) -> None:
        with self.transport() as transport:
            calls: list[Sequence[Event]] = []
            self.intercept(transport, calls.append)
            limits = transport.limits
            channels = [self.channel(str(n)) for n in range((limits.channels_per_event or 0) + 1)]
            count = (limits.events_per_call or 10) * 2 + 1
            events = [Event("many", channels), *(Event("e", channels[0]) for _ in range(count))]
            self.send_all(transport, events)
        for call in calls:
            if limits.events_per_call is not None and len(call) > limits.events_per_call:
                fail(f"{len(call)} events in one call; {limits.events_per_call} are allowed.")
            most = max(len(event.channels) for event in call)
            if limits.channels_per_event is not None and most > limits.channels_per_event:
                fail(f"{most} channels of one event; {limits.channels_per_event} are allowed.")


def _around(limit: int | None) -> list[int]:
    if limit is None:
        return [MANY]
    return sorted({count for count in (limit - 1, limit, limit + 1, 2 * limit + 1) if count > 0})


def _filled(channel: str, character: str, length: int) -> Event:
    return Event("filled", channel, character * length)


def _longest(transport: BaseTransport, channel: str, character: str) -> int:
    """Return how many of these characters fit into an event, as the transport measures it."""
    limit = transport.limits.payload_bytes or 0
    fits, too_many = 0, limit + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if transport.wire_size(_filled(channel, character, middle)) <= limit:
            fits = middle
        else:
            too_many = middle
    return fits
