"""Channels on which a commit changes too many rows: one "refresh" replaces all their events."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from realtime_drf.backends import registry
from realtime_drf.sources.placements import (
    CHUNK,
    NOWHERE,
    UNMOVED,
    Placement,
    Placements,
    get_placements,
)
from realtime_drf.sources.slots import Entered, Slot, list_slots

Place = tuple[str, str]
"""The alias of a transport, and the name of a channel."""


class Crowds:
    """The channels with more rows to publish than the ``refresh_above`` of their backend."""

    def __init__(self, entered: Sequence[Entered]) -> None:
        self._found: dict[tuple[str, str], set[Place]] = {}
        self._refreshed: set[tuple[str, str, Place]] = set()
        counts: Counter[tuple[str, str]] = Counter()
        for _, touch, _ in entered:
            counts[touch.backend, touch.using] += len(touch.keys)
        for (label, using), count in counts.items():
            backend = registry.find(label)
            limit = None if backend is None else backend.refresh_above
            if backend is not None and limit is not None and count > limit:
                own = [
                    each for each in entered if (each[1].backend, each[1].using) == (label, using)
                ]
                rows = _count_rows(get_placements(backend), list_slots(own), using)
                self._found[label, using] = {each for each, n in rows.items() if n > limit}

    def get(self, label: str, using: str) -> set[Place]:
        """Return the channels of a backend that have too many rows."""
        return self._found.get((label, using), set())

    def take_new(self, label: str, using: str, places: Iterable[Place]) -> Iterator[Place]:
        """Yield the channels that have had no refresh yet."""
        for place in places:
            if (label, using, place) not in self._refreshed:
                self._refreshed.add((label, using, place))
                yield place


def list_places(before: Placement, after: Placement) -> list[Place]:
    """Return where a row was or is."""
    if before is UNMOVED:
        before = after
    known = [each for each in (before, after) if each is not UNMOVED]
    found = [(each.alias, name) for each in known for name in each.channels]
    return list(dict.fromkeys(found))


def _count_rows(placements: Placements, slots: Iterator[Slot], using: str) -> Counter[Place]:
    counts: Counter[Place] = Counter()
    while chunk := list(itertools.islice(slots, CHUNK)):
        after = placements.read_unless_fixed(((each.key, each.before) for each in chunk), using)
        for slot in chunk:
            counts.update(list_places(slot.before, after.get(slot.key, NOWHERE)))
    return counts
