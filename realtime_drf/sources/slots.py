"""Touched rows, each once, in the order in which they are published."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from realtime_drf.sources.placements import NOWHERE, UNMOVED, Placement
from realtime_drf.sources.rows import Touch, Transaction

Entered = tuple[int, Touch, Transaction]
"""The number of an entry, what it touches, and what its transaction knows."""

Row = tuple[str, str, Any]
"""A backend's label, a database alias, a primary key."""


class Slot(NamedTuple):
    """A row to publish, at its place."""

    number: int
    backend: str
    using: str
    key: Any
    before: Placement
    version: Any
    socket_id: str | None


def list_slots(entered: Sequence[Entered]) -> Iterator[Slot]:
    """Yield each row once, in the order of their places.

    A row takes the place of its last touch, or of its first if it was created.

    Args:
        entered: entries in the order of their numbers.
    """
    if len(entered) == 1 and not entered[0][2].places:
        yield from _list_slots_of_one(*entered[0])
        return
    rows: dict[Row, Slot] = {}
    for number, touch, transaction in entered:
        for key in touch.keys:
            row = touch.backend, touch.using, key
            rows[row] = _combine(rows.get(row), _make_slot(number, touch, transaction, key))
    yield from sorted(rows.values(), key=operator.attrgetter("number"))


def _list_slots_of_one(number: int, touch: Touch, transaction: Transaction) -> Iterator[Slot]:
    before = transaction.before.get(touch.backend, {})
    for key in touch.keys:
        place = before.get(key, NOWHERE)
        version = transaction.versions.get((touch.backend, key), place.version)
        yield Slot(number, touch.backend, touch.using, key, place, version, touch.socket_id)


def _make_slot(number: int, touch: Touch, transaction: Transaction, key: Any) -> Slot:
    before = transaction.before.get(touch.backend, {}).get(key, NOWHERE)
    return Slot(
        transaction.places.get((touch.backend, key), number),
        touch.backend,
        touch.using,
        key,
        before,
        transaction.versions.get((touch.backend, key), before.version),
        touch.socket_id,
    )


def _combine(earlier: Slot | None, later: Slot) -> Slot:
    """Merge two touches of a row, in one transaction or in two."""
    if earlier is None:
        return later
    # If the first transaction did not move the row, it was where the second one found it.
    before = later.before if earlier.before is UNMOVED else earlier.before
    return later._replace(
        number=earlier.number if before is NOWHERE else max(earlier.number, later.number),
        before=before,
        socket_id=later.socket_id or earlier.socket_id,
    )
