"""Clauses of the contract: failures are errors of ours, with the events that were not sent."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from realtime_drf.events import Event
from realtime_drf.exceptions import EventRejected, TransportError, TransportUnavailable
from realtime_drf.testing.contract.evidence import check_unsent, expecting, fail
from realtime_drf.testing.contract.harness import Harness
from realtime_drf.transports.base import BaseTransport


class ServiceFailures(Harness):
    """Tests with a service that is unreachable, rejects events, or gives an invalid answer."""

    def test_an_unreachable_service_is_unavailable(self) -> None:
        self._check(
            self.create_unreachable_transport(), TransportUnavailable, "the service is unreachable"
        )

    def test_a_refusal_is_a_rejection(self) -> None:
        self._check(self.create_refused_transport(), EventRejected, "the service rejects them")

    def test_an_answer_that_makes_no_sense_is_an_error_of_ours(self) -> None:
        self._check(
            self.create_confused_transport(), TransportError, "the service gives an invalid answer"
        )

    def _check(self, transport: BaseTransport, kind: type[TransportError], reason: str) -> None:
        channels = [self.channel("one"), self.channel("other")]
        try:
            for events in (
                [Event("alone", channels[0], 1)],
                [Event(f"e{n}", channels[: 1 + n % 2], n) for n in range(5)],
            ):
                with expecting(kind, since=reason) as caught:
                    transport.send(events)
                check_unsent(caught.error, events)
        finally:
            transport.close()


class Unsent(Harness):
    """Tests of `unsent`."""

    def test_what_did_not_go_is_unsent_and_the_rest_arrived(self) -> None:
        channels = [self.channel(str(number)) for number in range(3)]
        drawn = st.tuples(
            st.lists(
                st.lists(st.sampled_from(channels), min_size=1, unique=True),
                min_size=1,
                max_size=25,
            ),
            st.integers(min_value=1, max_value=6),
        )

        def check(example: tuple[list[list[str]], int]) -> None:
            channel_sets, failing = example
            events = [Event(f"e{n}", names, n) for n, names in enumerate(channel_sets)]
            with self.transport() as transport:
                interruption = _Interruption(failing)
                self.intercept(transport, interruption)
                unsent: Sequence[Event] = ()
                with self.arrivals(transport, channels) as arrived:
                    try:
                        transport.send(events)
                    except TransportUnavailable as exc:
                        unsent = exc.unsent
                    if interruption.happened != bool(unsent):
                        fail(
                            "A call failed, and TransportUnavailable with `unsent` was not raised."
                        )
                    interruption.over = True
                arrived.check(_without(events, unsent), transport)

        for failing in (1, 2, 3):
            check(([channels, channels[:1]] * 12, failing))
        self.try_examples(drawn, check)

    def test_a_refused_event_costs_no_other(self) -> None:
        one, other = self.channel("one"), self.channel("other")
        events = [Event(f"e{n}", [one, other][n % 2 :], n) for n in range(25)]
        rejected = [events[3], events[12]]

        def refuse(call: Sequence[Event]) -> None:
            if {event.id for event in call} & {event.id for event in rejected}:
                raise EventRejected("One of these events is rejected.")

        with self.transport() as transport:
            self.intercept(transport, refuse)
            with (
                self.arrivals(transport, [one, other]) as arrived,
                expecting(EventRejected, since="two events are rejected") as caught,
            ):
                transport.send(events)
            arrived.check([event for event in events if event not in rejected], transport)
            check_unsent(caught.error, rejected)

    def test_it_works_again_after_a_failure(self) -> None:
        channel = self.channel()
        events = [Event(f"e{n}", channel, n) for n in range(5)]
        with self.transport() as transport:
            interruption = _Interruption(1)
            self.intercept(transport, interruption)
            with self.arrivals(transport, [channel]) as arrived:
                with expecting(TransportUnavailable, since="the first call failed") as caught:
                    transport.send(events)
                interruption.over = True
                transport.send(caught.error.unsent)
            arrived.check(events, transport)


class _Interruption:
    """An outage of the service from the nth call on, until it is `over`."""

    def __init__(self, failing: int) -> None:
        self.left = failing
        self.happened = False
        self.over = False

    def __call__(self, call: Sequence[Event]) -> None:
        self.left -= 1
        if self.left <= 0 and not self.over:
            self.happened = True
            raise TransportUnavailable("The service is unreachable.")


def _without(events: Sequence[Event], unsent: Sequence[Event]) -> list[Event]:
    """Return the events, each with the channels to which it was sent."""
    missing = {(event.id, channel) for event in unsent for channel in event.channels}
    sent = []
    for event in events:
        channels = [name for name in event.channels if (event.id, name) not in missing]
        if channels:
            sent.append(event.to(channels))
    return sent
