"""What every transport inherits: checks, splitting, and exact books on what did not go."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_drf import Event
from realtime_drf.exceptions import (
    AccessRefused,
    ChannelUnavailable,
    EventRejected,
    PayloadTooLarge,
    TransportError,
    TransportUnavailable,
    UnsupportedFeature,
)
from realtime_drf.transports.base import BaseTransport, Limits

Delivery = tuple[str, str]


class ScriptedTransport(BaseTransport):
    """Ask `react` about each call: an error that it returns is raised, else the call goes."""

    limits = Limits(payload_bytes=100, channels_per_event=3, events_per_call=4)

    def __init__(
        self,
        react: Callable[[Sequence[Event]], TransportError | None] = lambda events: None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.react = react
        self.calls: list[list[Event]] = []
        self.gone: list[Event] = []

    def send_batch(self, events: Sequence[Event]) -> None:
        self.calls.append(list(events))
        error = self.react(events)
        left = Counter(deliveries(error.unsent or events)) if error else Counter[Delivery]()
        for event in events:
            went = [c for c in event.channels if not take(left, (event.id, c))]
            if went:
                self.gone.append(event.to(went))
        if error:
            raise error


def take(counter: Counter[Delivery], delivery: Delivery) -> bool:
    if not counter[delivery]:
        return False
    counter[delivery] -= 1
    return True


def deliveries(events: Iterable[Event]) -> list[Delivery]:
    return [(event.id, channel) for event in events for channel in event.channels]


def send(transport: BaseTransport, events: Sequence[Event]) -> TransportError | None:
    try:
        transport.send(events)
    except TransportError as exc:
        return exc
    return None


def failing(name: str, error: Callable[[], TransportError]) -> ScriptedTransport:
    """Return a transport that raises the error for calls with an event of that name."""
    return ScriptedTransport(lambda call: error() if name in [e.name for e in call] else None)


def names(events: Iterable[Event]) -> list[str]:
    return [event.name for event in events]


# The books

reactions = st.lists(
    st.sampled_from(["goes", "rejected", "part rejected", "part unavailable", "down", "refused"]),
    max_size=12,
)
batches = st.lists(
    st.builds(
        Event,
        st.sampled_from(["a", "b", "c"]),
        st.lists(st.sampled_from("uvwxyz"), min_size=1, max_size=6, unique=True),
        # Some are too large.
        st.sampled_from([None, "x" * 200]),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(batches, reactions, st.randoms(use_true_random=False), st.booleans())
def test_what_went_and_what_is_unsent_are_all_and_nothing_twice(
    events: list[Event], reactions: list[str], random: Any, twice: bool
) -> None:
    if twice and events:
        events = random.choices(events, k=len(events))  # the same event several times
    script = iter(reactions)

    def react(call: Sequence[Event]) -> TransportError | None:
        half = [call[0].to(call[0].channels[:1])]
        match next(script, "goes"):
            case "rejected":
                return EventRejected("no")
            case "part rejected":
                return EventRejected("not all", unsent=half)
            case "part unavailable":
                return TransportUnavailable("broke off", unsent=half)
            case "down":
                return TransportUnavailable("down")
            case "refused":
                return AccessRefused("who are you")
        return None

    transport = ScriptedTransport(react)
    error = send(transport, events)
    unsent = error.unsent if error else ()

    assert bool(unsent) == bool(error)
    assert Counter(deliveries(transport.gone)) + Counter(deliveries(unsent)) == Counter(
        deliveries(events)
    )
    # What is unsent keeps its order, and stays one event however many of its channels are left.
    remaining = iter([event.id for event in events])
    assert all(event.id in remaining for event in unsent)


@settings(deadline=None)
@given(batches)
def test_no_call_exceeds_the_limits(events: list[Event]) -> None:
    transport = ScriptedTransport()
    send(transport, events)
    for call in transport.calls:
        assert 1 <= len(call) <= 4
        assert all(1 <= len(event.channels) <= 3 for event in call)
        assert all(len(event.body) <= 100 for event in call)


@settings(deadline=None)
@given(batches)
def test_per_channel_the_order_is_that_of_publication(events: list[Event]) -> None:
    transport = ScriptedTransport()
    error = send(transport, events)
    refused = {event.id for event in error.unsent} if error else set()
    for channel in "uvwxyz":
        assert [e.id for e in transport.gone if channel in e.channels] == [
            e.id for e in events if channel in e.channels and e.id not in refused
        ]


# One by one


def test_an_event_that_is_refused_alone_is_lost_alone() -> None:
    transport = failing("bad", lambda: EventRejected("no"))
    error = send(transport, [Event(name, "x") for name in ("a", "bad", "b", "c")])
    assert type(error) is EventRejected
    assert names(error.unsent) == ["bad"]
    assert names(transport.gone) == ["a", "b", "c"]
    # Together once, and then each by itself.
    assert [names(call) for call in transport.calls] == [
        ["a", "bad", "b", "c"],
        ["a"],
        ["bad"],
        ["b"],
        ["c"],
    ]


def test_the_service_may_say_which_ones_it_refused() -> None:
    bad = Event("bad", "x")
    transport = failing("bad", lambda: EventRejected("no", unsent=[bad]))
    error = send(transport, [Event("a", "x"), bad, Event("b", "x")])
    assert error is not None
    assert error.unsent == (bad,)
    assert len(transport.calls) == 1


def test_when_the_service_goes_away_the_rest_stays() -> None:
    transport = failing("e5", lambda: TransportUnavailable("down"))
    error = send(transport, [Event(f"e{n}", "x") for n in range(12)])
    assert type(error) is TransportUnavailable
    assert names(error.unsent) == [f"e{n}" for n in range(4, 12)]
    assert len(transport.calls) == 2


def test_when_the_service_goes_away_among_the_single_ones_the_rest_stays() -> None:
    answers = iter([EventRejected("one of them"), None, TransportUnavailable("down")])
    transport = ScriptedTransport(lambda call: next(answers))
    error = send(transport, [Event(f"e{n}", "x") for n in range(6)])
    assert type(error) is TransportUnavailable
    assert names(error.unsent) == ["e1", "e2", "e3", "e4", "e5"]


def test_what_a_call_that_broke_off_had_sent_is_not_unsent() -> None:
    def react(call: Sequence[Event]) -> TransportError:
        return TransportUnavailable("down", unsent=call[2:])

    error = send(ScriptedTransport(react), [Event(f"e{n}", "x") for n in range(6)])
    assert type(error) is TransportUnavailable
    assert names(error.unsent) == ["e2", "e3", "e4", "e5"]


def test_when_we_are_refused_nothing_more_is_tried() -> None:
    transport = failing("e0", lambda: AccessRefused("wrong key"))
    error = send(transport, [Event(f"e{n}", "x") for n in range(12)])
    assert type(error) is AccessRefused
    assert len(error.unsent) == 12
    assert len(transport.calls) == 1


def test_a_channel_that_is_too_busy_costs_no_other() -> None:
    def react(call: Sequence[Event]) -> TransportError | None:
        busy = [event.to(["u"]) for event in call if "u" in event.channels]
        return ChannelUnavailable("busy", unsent=busy) if busy else None

    transport = ScriptedTransport(react)
    events = [Event(f"e{n}", ["u", "v"] if n % 3 == 0 else "w") for n in range(12)]
    large = Event("large", "x", "x" * 200)
    error = send(transport, [large, *events])
    assert type(error) is ChannelUnavailable
    assert error.unsent == (large, *(event.to(["u"]) for event in events[::3]))
    assert len(deliveries(transport.gone)) == 12


def test_of_a_refusal_and_an_outage_the_outage_is_told_and_both_are_unsent() -> None:
    transport = failing("b", lambda: TransportUnavailable("down"))
    large = Event("large", "x", "x" * 200)
    error = send(transport, [large, Event("b", "x")])
    assert type(error) is TransportUnavailable
    assert names(error.unsent) == ["large", "b"]


def test_an_event_left_on_some_channels_is_unsent_on_those() -> None:
    transport = ScriptedTransport(
        lambda call: TransportUnavailable("down") if "w" in call[0].channels else None
    )
    transport.limits = Limits(channels_per_event=2, events_per_call=1)
    event = Event("e", ["u", "v", "w", "x"], {"id": 1}, socket_id="1.2")
    error = send(transport, [event])
    assert error is not None
    [left] = error.unsent
    assert (left.channels, left.id, left.body) == (("w", "x"), event.id, event.body)


def test_no_events_are_no_call() -> None:
    transport = ScriptedTransport()
    transport.send([])
    assert transport.calls == []


# What is refused before anybody is asked


def test_an_event_too_large_is_refused_whole_and_the_others_go() -> None:
    transport = ScriptedTransport()
    large = Event("large", ["u", "v", "w", "x"], "x" * 99)  # and two quotation marks
    error = send(transport, [Event("a", "x"), large, Event("b", "x", "x" * 98)])
    assert type(error) is PayloadTooLarge
    assert str(error) == "The data of 'large' has 101 bytes; 100 are allowed."
    assert error.unsent == (large,)
    assert names(transport.gone) == ["a", "b"]


def test_size_is_counted_in_bytes() -> None:
    transport = ScriptedTransport()
    assert send(transport, [Event("a", "x", "é" * 49)]) is None
    assert type(send(transport, [Event("a", "x", "é" * 50)])) is PayloadTooLarge


def test_several_refusals_are_told_as_one() -> None:
    large = [Event(f"large{n}", "x", "x" * 200) for n in range(2)]
    error = send(ScriptedTransport(), large)
    assert type(error) is PayloadTooLarge
    assert str(error).startswith("2 events were rejected; the first: The data of 'large0'")
    assert type(error.__cause__) is PayloadTooLarge

    error = send(failing("bad", lambda: EventRejected("no")), [*large, Event("bad", "x")])
    assert type(error) is EventRejected
    assert error.unsent[2].name == "bad"


@pytest.mark.parametrize(
    ("channel", "ability"),
    [("private-encrypted-a", "encrypt"), ("#server-to-user-7", "reach a user")],
)
def test_what_a_transport_cannot_do_is_said_before_it_is_tried(channel: str, ability: str) -> None:
    transport = ScriptedTransport()
    error = send(transport, [Event("a", ["x", channel]), Event("b", "x")])
    assert type(error) is EventRejected
    assert ability in str(error)
    assert channel in str(error)
    assert type(error.__cause__) is UnsupportedFeature
    assert names(error.unsent) == ["a"]
    assert names(transport.gone) == ["b"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda transport: transport.channel_info("x"),
        lambda transport: transport.occupied_channels(),
        lambda transport: transport.disconnect_user("7"),
    ],
)
def test_what_a_transport_does_not_offer_it_names(ask: Callable[[BaseTransport], object]) -> None:
    with pytest.raises(UnsupportedFeature, match="<ScriptedTransport 'live'> cannot "):
        ask(ScriptedTransport(alias="live"))


def test_who_cannot_exclude_sends_to_all() -> None:
    transport = ScriptedTransport()
    transport.send([Event("a", "x", socket_id="1.2")])
    assert transport.gone[0].socket_id is None


def test_no_limits_put_everything_in_one_call() -> None:
    transport = ScriptedTransport()
    transport.limits = Limits()
    transport.send([Event("a", [f"c{n}" for n in range(200)], "x" * 50_000) for _ in range(50)])
    assert len(transport.calls) == 1


# From a coroutine


def test_a_coroutine_sends_in_another_thread_and_gets_the_errors() -> None:
    threads: list[int] = []

    def react(call: Sequence[Event]) -> TransportError:
        threads.append(threading.get_ident())
        return TransportUnavailable("down")

    event = Event("a", "x")
    with pytest.raises(TransportUnavailable) as caught:
        asyncio.run(ScriptedTransport(react).asend([event]))
    assert caught.value.unsent == (event,)
    assert threads != [threading.get_ident()]
