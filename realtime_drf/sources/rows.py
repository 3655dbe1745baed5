"""Touched rows, and where they were before their transaction.

Where a row was is read when its transaction first touches it, and kept until the transaction ends,
since rolling back a savepoint does not change it. Each touch is an entry, which Django discards
with its savepoint. Where the row is then is read after the commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from realtime_drf.backends import RealtimeBackend
from realtime_drf.commits import next_number
from realtime_drf.sources.placements import NOWHERE, UNMOVED, Placement, Placements

Row = tuple[str, Any]
"""The label of a backend, and a primary key."""

FEW: Final = 50
"""Rows touched at once, up to which those that have an entry already are left out."""


@dataclass(frozen=True)
class Touch:
    """Rows of a backend's model that have changed, as a value that can be stored.

    Args:
        backend: the backend's label.
        using: alias of the database.
        keys: primary keys.
        socket_id: the connection that caused the change, if it is to be left out.
    """

    backend: str
    using: str
    keys: tuple[Any, ...]
    socket_id: str | None = None


class Transaction:
    """The rows that a transaction touches, as they were; without one, those of a single change."""

    def __init__(self) -> None:
        self.before: dict[str, dict[Any, Placement]] = {}
        """Where rows were, by the label of the backend and the key."""
        self.versions: dict[Row, Any] = {}
        """The last versions of rows that are deleted."""
        self.places: dict[Row, int] = {}
        """The numbers of the last touches of rows that were touched more than once."""
        self._unlocked: set[Row] = set()
        """Rows that were read without a lock."""
        self._touched: dict[Row, frozenset[Any]] = {}
        """The savepoints of the last entry of each row."""

    def capture(
        self, placements: Placements, keys: Iterable[Any], using: str, *, writing: bool = True
    ) -> None:
        """Read where rows are, unless that is known.

        Args:
            writing: whether the rows themselves are about to be written. Then they are locked, so
                that no other transaction moves them first. Rows that were read without a lock are
                read again, unless this transaction may have moved them by writing related rows.
        """
        label = placements.backend.label
        known = self.before.setdefault(label, {})
        rereads = writing and placements.depend_on_row_alone
        # A row that has not moved so far is still where it was.
        unknown = [
            key
            for key in keys
            if known.get(key, UNMOVED) is UNMOVED or (rereads and (label, key) in self._unlocked)
        ]
        if unknown:
            found = placements.read(unknown, using, locking=writing)
            known.update((key, found.get(key, NOWHERE)) for key in unknown)
            change = self._unlocked.difference_update if writing else self._unlocked.update
            change((label, key) for key in unknown)

    def assume(self, backend: RealtimeBackend[Any], keys: Iterable[Any], place: Placement) -> None:
        """Set where rows were, unless that is known."""
        known = self.before.setdefault(backend.label, {})
        for key in keys:
            known.setdefault(key, place)

    def capture_last(
        self, placements: Placements, keys: Sequence[Any], using: str, *, writing: bool = True
    ) -> None:
        """Read where rows are that are about to be deleted, and their versions."""
        self.capture(placements, keys, using, writing=writing)
        for key, version in placements.read_versions(keys, using).items():
            self.versions[placements.backend.label, key] = version

    def find_untouched(
        self, backend: str, keys: Sequence[Any], savepoints: frozenset[Any]
    ) -> list[Any]:
        """Return the keys that have no entry in these savepoints, or in ones around them."""
        if len(keys) > FEW:
            return list(keys)
        new = []
        for key in keys:
            if not self._is_touched((backend, key), savepoints):
                new.append(key)
            elif self.before.get(backend, {}).get(key) is not NOWHERE:
                self.places[backend, key] = next_number()
        self._touched.update(((backend, key), savepoints) for key in new)
        return new

    def _is_touched(self, row: Row, savepoints: frozenset[Any]) -> bool:
        known = self._touched.get(row)
        return known is not None and known <= savepoints
