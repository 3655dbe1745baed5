"""Packing: everything goes once, in order, within the limits, in as few calls as there can be."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from realtime_drf import Event
from realtime_drf.transports.pusher.packing import pack_calls

ALONE = "private-encrypted-"

# An event by the number of its channels that may share a trigger, and of those that may not.
Shape = tuple[int, int]
# Few enough of each that all ways to pack them can be tried.
shapes = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 4)).filter(any), min_size=0, max_size=5
)


def goes_alone(channel: str) -> bool:
    return channel.startswith(ALONE)


def make_events(shapes: Sequence[Shape], order: Callable[[list[str]], object]) -> list[Event]:
    events = []
    for together, alone in shapes:
        channels = [f"c{n}" for n in range(together)] + [f"{ALONE}{n}" for n in range(alone)]
        order(channels)
        events.append(Event("e", channels))
    return events


def pack(
    events: Sequence[Event], batch_size: int = 10, trigger_size: int = 100
) -> list[list[Event]]:
    return pack_calls(
        events, batch_size=batch_size, trigger_size=trigger_size, goes_alone=goes_alone
    )


def least_cost(shapes: Sequence[Shape], batch_size: int, trigger_size: int) -> tuple[int, int]:
    """Try every sequence of steps: open a batch, put one more in it, or trigger.

    Return the calls, and how often data is sent in them.
    """

    @functools.cache
    def least(index: int, together: int, alone: int, room: int) -> tuple[int, int]:
        if together == alone == 0:
            if index + 1 >= len(shapes):
                return 0, 0
            return least(index + 1, *shapes[index + 1], room)
        ways = []
        for rest in {(together - 1, alone), (together, alone - 1)}:
            if min(rest) >= 0:
                ways.append((1, least(index, *rest, batch_size - 1)))
                if room:
                    ways.append((0, least(index, *rest, room - 1)))
        for taken in range(1, min(together, trigger_size) + 1):
            # The batch that a trigger follows is closed: nothing may be added behind its back.
            ways.append((1, least(index, together - taken, alone, 0)))
        return min((calls + more, copies + 1) for calls, (more, copies) in ways)

    return least(0, *shapes[0], 0) if shapes else (0, 0)


@settings(deadline=None)
@given(shapes, st.randoms(use_true_random=False), st.sampled_from([(3, 4), (2, 5), (3, 9), (4, 2)]))
@example([(0, 1), (8, 0), (0, 1)], None, (3, 4))  # two before one trigger, two behind it
def test_every_packing_is_right_and_none_is_shorter(
    shapes: list[Shape], random: object, sizes: tuple[int, int]
) -> None:
    batch_size, trigger_size = sizes
    events = make_events(shapes, getattr(random, "shuffle", lambda channels: None))
    calls = pack(events, batch_size, trigger_size)

    # Exactly once.
    sent = [(part.id, channel) for call in calls for part in call for channel in part.channels]
    assert len(sent) == len(set(sent))
    assert set(sent) == {(event.id, channel) for event in events for channel in event.channels}
    # In order.
    place = {event.id: index for index, event in enumerate(events)}
    places = [place[id_] for id_, _ in sent]
    assert places == sorted(places)
    # Within the limits.
    for call in calls:
        if len(call) > 1:
            assert len(call) <= batch_size
            assert all(len(part.channels) == 1 for part in call)
        else:
            [part] = call
            assert 1 <= len(part.channels) <= trigger_size
            assert len(part.channels) == 1 or not any(map(goes_alone, part.channels))
    # In as few calls as there can be, and as few copies of the data in those.
    cost = len(calls), sum(map(len, calls))
    assert cost == least_cost(shapes, batch_size, trigger_size)


@pytest.mark.parametrize(
    ("shapes", "calls"),
    [
        ([], 0),
        ([(1, 0)], 1),
        ([(1, 0)] * 100, 10),
        ([(1, 0)] * 101, 11),
        ([(0, 1)] * 100, 10),
        ([(100, 0)], 1),
        ([(101, 0)], 2),
        ([(250, 0)], 3),
        # The hundred that are left over share batches with nobody: they trigger too.
        ([(110, 0)], 2),
        ([(0, 25)], 3),
        # A trigger, and what cannot share it in one batch.
        ([(100, 10)], 2),
        # Two channels find a place among their neighbours, and cost no trigger.
        ([(1, 0)] * 4 + [(2, 0)] + [(1, 0)] * 4, 1),
        # Many do not.
        ([(1, 0)] * 4 + [(30, 0)] + [(1, 0)] * 4, 3),
    ],
    ids=repr,
)
def test_examples(shapes: list[Shape], calls: int) -> None:
    assert len(pack(make_events(shapes, lambda channels: None))) == calls


def test_where_it_costs_no_call_data_goes_once_for_all_channels() -> None:
    event = Event("e", ["a", "b", "c"])
    assert pack([event]) == [[event]]


def test_an_event_that_needs_no_splitting_goes_as_it_is() -> None:
    one, two = Event("one", "x"), Event("two", "x")
    [call] = pack([one, two])
    assert call[0] is one
    assert call[1] is two


def test_parts_are_the_same_event_on_some_of_its_channels() -> None:
    event = Event("e", [f"c{n}" for n in range(150)], {"id": 1}, socket_id="1.2")
    [[first], [second]] = pack([event])
    assert (len(first.channels), len(second.channels)) == (100, 50)
    for part in (first, second):
        assert (part.id, part.name, part.body, part.socket_id) == (
            event.id,
            event.name,
            event.body,
            event.socket_id,
        )


def test_a_long_transaction_is_planned_without_recursion() -> None:
    # Each plan points to the one before it: so long a chain must neither be walked nor released
    # by recursion.
    events = make_events([(2, 1)] * 20_000, lambda channels: None)
    assert len(pack(events)) == 6_000
