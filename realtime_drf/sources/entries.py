"""Touched rows on their way to the commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Self

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from realtime_drf.backends import RealtimeBackend
from realtime_drf.changes import ACTIONS
from realtime_drf.commits import Entry, Numbered, add_entries, flush, get_notes
from realtime_drf.keys import clean_key
from realtime_drf.protocols import Backend
from realtime_drf.silence import note_publication
from realtime_drf.sources.placements import NOWHERE, UNMOVED, get_placements
from realtime_drf.sources.resolving import resolve
from realtime_drf.sources.rows import Touch, Transaction


class TouchEntry(Entry):
    """An entry for touched rows, which waits for the commit.

    Args:
        touch: the rows.
        transaction: knows where the rows were before.
    """

    may_be_held = True

    def __init__(
        self, connection: BaseDatabaseWrapper, touch: Touch, transaction: Transaction
    ) -> None:
        super().__init__(connection)
        self.touch = touch
        self.transaction = transaction

    @classmethod
    def resolve(cls, entries: Sequence[Self]) -> Iterator[Numbered]:
        return resolve([(each.number, each.touch, each.transaction) for each in entries])


def get_transaction(using: str) -> Transaction:
    """Return the record of a database's open transaction; a new one if none is open."""
    connection = connections[using]
    if not connection.in_atomic_block:
        return Transaction()
    notes = get_notes(connection)
    if "rows" not in notes:
        notes["rows"] = Transaction()
    transaction: Transaction = notes["rows"]
    return transaction


def touch(
    transaction: Transaction,
    backend: RealtimeBackend[Any],
    keys: Sequence[Any],
    using: str,
    socket_id: str | None = None,
) -> None:
    """Publish rows at the commit, or now if no transaction is open."""
    note_publication()
    connection = connections[using]
    is_open = connection.in_atomic_block
    if is_open and socket_id is None:
        savepoints = frozenset(connection.savepoint_ids)
        keys = transaction.find_untouched(backend.label, keys, savepoints)
    if not keys:
        return
    entry = TouchEntry(connection, Touch(backend.label, using, tuple(keys), socket_id), transaction)
    if is_open:
        add_entries(connection, [entry])
    else:
        entry()
        flush(connection)


def prepare_touch(
    backend: Backend, keys: Sequence[Any], action: str, using: str, socket_id: str | None
) -> Callable[[], None] | None:
    """Implement `realtime_drf.preparing.Toucher` for create, update and delete."""
    if not (isinstance(backend, RealtimeBackend) and backend.observes and action in ACTIONS):
        return None
    placements = get_placements(backend)
    keys = [clean_key(placements.model, key) for key in keys]
    transaction = get_transaction(using)
    if action == "create":
        transaction.assume(backend, keys, NOWHERE)
    elif action == "delete":
        transaction.capture_last(placements, keys, using, writing=False)
    elif connections[using].in_atomic_block:  # it may be called before the write
        transaction.capture(placements, keys, using, writing=False)
    else:
        transaction.assume(backend, keys, UNMOVED)
    return partial(touch, transaction, backend, keys, using, socket_id)
