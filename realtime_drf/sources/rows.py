"""Touched rows: where they were before their transaction, and that they may be elsewhere now.

Where a row was is read when its transaction first touches it, and is kept for as long as the
transaction lasts: a rolled-back savepoint does not make it untrue. That a row was touched is an
entry of its own, which Django discards with its savepoint. What became of the row is read after
the commit.
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
"""Rows touched at once, up to which it is looked up whether they are known to be touched."""


@dataclass(frozen=True)
class Touch:
    """Rows of a backend's model that something has changed: a value that can be written down.

    Args:
        backend: the backend's label.
        using: alias of the database.
        keys: primary keys.
        socket_id: the connection that caused the change, if it is not to receive it.
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
        """The numbers of the last touches, of rows that were touched before."""
        self._unlocked: set[Row] = set()
        """Rows of which it is known where they were, but not that they still are."""
        self._touched: dict[Row, frozenset[Any]] = {}
        """The savepoints of the entries that stand for rows."""

    def capture(
        self, placements: Placements, keys: Iterable[Any], using: str, *, writing: bool = True
    ) -> None:
        """Read where rows are, of those of which it is not known yet.

        Args:
            writing: the rows themselves are about to be written, so that they are locked: else
                another transaction could move them before that. What was read of rows without a
                lock is read again, unless this transaction may have moved them by writing others.
        """
        label = placements.backend.label
        known = self.before.setdefault(label, {})
        rereads = writing and placements.depend_on_row_alone
        # What has not moved until now is where it was.
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
        """Take for granted where rows were, of those of which it is not known yet."""
        known = self.before.setdefault(backend.label, {})
        for key in keys:
            known.setdefault(key, place)

    def capture_last(
        self, placements: Placements, keys: Sequence[Any], using: str, *, writing: bool = True
    ) -> None:
        """Read where rows are that are about to go: afterwards nobody can tell."""
        self.capture(placements, keys, using, writing=writing)
        for key, version in placements.read_versions(keys, using).items():
            self.versions[placements.backend.label, key] = version

    def find_untouched(
        self, backend: str, keys: Sequence[Any], savepoints: frozenset[Any]
    ) -> list[Any]:
        """Return the keys for which no entry stands that lives as long as one made now would."""
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
