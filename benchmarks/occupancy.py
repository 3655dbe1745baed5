"""What the occupancy cache adds to publish(): one event to 100 channels, all occupied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.cache import cache

from benchmarks.figures import Figure, Kind, side_by_side
from realtime_drf import Event, publish
from realtime_drf.occupancy import mark_occupied
from realtime_drf.transports import transports

CHANNELS = [f"private-lists.{number}" for number in range(100)]
AT_ONCE = 20
"""Events of a measurement, so that one slow moment does not dominate it."""


def compare_filter(_: Any, rounds: int) -> list[Figure]:
    """Publish with the filter, its cache warm and in memory, and without."""
    mark_occupied(transports["skipping"], CHANNELS)
    before = cache.round_trips
    publish(Event("warm", CHANNELS), transport="skipping")
    round_trips = cache.round_trips - before
    filtered, plain = side_by_side(
        publish_through("skipping"), publish_through("default"), rounds=rounds
    )
    return [
        Figure(
            "filter_round_trips", round_trips, 1, "cache: round trips for 100 channels", Kind.COUNT
        ),
        Figure(
            "filtered_us",
            filtered / AT_ONCE * 1e6,
            None,
            "microseconds with SKIP_VACANT",
            Kind.WALL,
        ),
        Figure("unfiltered_us", plain / AT_ONCE * 1e6, None, "microseconds without", Kind.WALL),
    ]


def publish_through(alias: str) -> Callable[[], None]:
    """Return a function that publishes the events of one turn."""
    transport: Any = transports[alias]
    event = Event("todo.update", CHANNELS, {"id": 1})

    def turn() -> None:
        for _ in range(AT_ONCE):
            publish(event, transport=alias)
        assert len(transport.outbox) >= AT_ONCE
        transport.clear()

    return turn
