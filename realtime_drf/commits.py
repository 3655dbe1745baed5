"""Waiting for a commit, and one batch of everything that it commits.

Django keeps the hooks of a transaction in ``connection.run_on_commit`` and discards those of a
savepoint that is rolled back. Each entry is a hook there that marks itself as ready, so that Django
itself decides whether it was committed. Behind all entries stands one flush, which belongs to no
savepoint, so that it survives the rollback of the savepoint in which it was first asked for, and
sends what is ready. What is ready is kept on the connection, in the order of commitment.
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError

from realtime_drf.conf import configs
from realtime_drf.delivery import deliveries, report_failure
from realtime_drf.events import Event
from realtime_drf.silence import note_publication
from realtime_drf.transports import transports

Addressed = tuple[str, Event]
"""A transport's alias, and an event for it."""


def wait_for_commit(addressed: Sequence[Addressed], using: str) -> Sequence[Addressed]:
    """Have events wait for the commit of the open transaction; return them if there is none.

    A delivery that records is given its events at once, in the transaction.
    """
    note_publication()
    addressed = [
        (alias, event.as_published()) for alias, event in addressed if configs[alias].enabled
    ]
    recorders = {}
    for alias in {alias for alias, _ in addressed}:
        transports[alias]  # a wrong setting is an error here, not after the commit
        if record := getattr(deliveries[alias], "record", None):
            recorders[alias] = record
    connection = connections[using]
    if not addressed:
        return ()
    if not is_in_transaction(connection):
        flush(connection)
        return addressed
    if recorders:
        addressed = _record(connection, addressed, recorders)
    add_entries(connection, [EventEntry(connection, each) for each in addressed])
    return ()


def is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Return whether there is a commit to wait for.

    Raises:
        TransactionManagementError: autocommit was turned off by other means than ``atomic()``.
    """
    if connection.in_atomic_block:
        return True
    # A connection that was never opened has no transaction, and is not opened for our sake.
    if connection.connection is None or connection.autocommit:
        return False
    raise TransactionManagementError(
        f"publish() cannot know when a transaction is committed that was opened by turning off "
        f"autocommit on {connection.alias!r}: use atomic()."
    )


def send_all(addressed: Iterable[Addressed], *, may_raise: bool) -> None:
    """Give each delivery its events, in one batch."""
    errors = [error for batch in _group(addressed).items() if (error := _deliver(*batch))]
    if errors and may_raise:
        raise errors[0]


def flush(connection: BaseDatabaseWrapper) -> None:
    """Send what is ready on a connection.

    There may be something although its commit is over: a hook of the project's that is not robust
    and raises keeps those behind it from being called, our flush among them.
    """
    ready = _ready(connection)
    entries = ready.copy()
    ready.clear()
    send_all(resolve(entries), may_raise=False)


def flush_all(**kwargs: Any) -> None:
    """Send what is ready on all connections of this thread: the end of a request."""
    for connection in connections.all(initialized_only=True):
        flush(connection)


class Entry(abc.ABC):
    """A thing that waits for a commit, and is ready once Django calls it after that."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._is_ready = False
        self.__qualname__ = type(self).__qualname__  # Django 5.2 logs it of a hook that raises

    def __call__(self) -> None:
        # captureOnCommitCallbacks() leaves what it has called in the list, to be called again.
        if not self._is_ready:
            self._is_ready = True
            _ready(self._connection).append(self)

    @classmethod
    @abc.abstractmethod
    def resolve(cls, entries: Sequence[Self]) -> Iterable[Addressed]:
        """Return the events of entries that were committed, in order.

        All are of this class, and none of another stood between them: so one query can do for all.
        """


class EventEntry(Entry):
    """An event that waits for a commit."""

    def __init__(self, connection: BaseDatabaseWrapper, addressed: Addressed) -> None:
        super().__init__(connection)
        self._addressed = addressed

    @classmethod
    def resolve(cls, entries: Sequence[Self]) -> Iterable[Addressed]:
        return [entry._addressed for entry in entries]


def add_entries(connection: BaseDatabaseWrapper, entries: Sequence[Entry]) -> None:
    """Have entries wait for the commit of a connection's open transaction."""
    for entry in entries:
        connection.on_commit(entry, robust=True)
    if entries:
        flush_last(connection)


def resolve(entries: Iterable[Entry]) -> Iterator[Addressed]:
    """Yield the events of entries, in order."""
    for _, group in itertools.groupby(entries, key=type):
        neighbours = list(group)
        yield from neighbours[0].resolve(neighbours)


class Flush:
    """A hook that sends what is ready. One a transaction, behind all entries."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self.__qualname__ = type(self).__qualname__

    def __call__(self) -> None:
        flush(self._connection)


def flush_last(connection: BaseDatabaseWrapper) -> None:
    """Put the flush behind the entries, in no savepoint whose rollback would take it along.

    An earlier one is replaced in its place: removing it would shift the positions by which
    captureOnCommitCallbacks() knows the hooks. It is found fastest from the end.
    """
    hooks: list[Any] = connection.run_on_commit
    for index in range(len(hooks) - 1, -1, -1):
        if isinstance(hooks[index][1], Flush):
            hooks[index] = (set(), do_nothing, True)
            break
    hooks.append((set(), Flush(connection), True))


def do_nothing() -> None:
    """Do nothing, in the place of a hook that was taken out."""


def _record(
    connection: BaseDatabaseWrapper,
    addressed: Sequence[Addressed],
    recorders: Mapping[str, Callable[..., None]],
) -> Sequence[Addressed]:
    """Have deliveries record their events; return the events of all others."""
    for alias, events in _group(each for each in addressed if each[0] in recorders).items():
        recorders[alias](connection, transports[alias], events)
    return [each for each in addressed if each[0] not in recorders]


def _group(addressed: Iterable[Addressed]) -> dict[str, list[Event]]:
    by_alias: dict[str, list[Event]] = {}
    for alias, event in addressed:
        by_alias.setdefault(alias, []).append(event)
    return by_alias


def _deliver(alias: str, events: Sequence[Event]) -> Exception | None:
    """Give events to a delivery; report an error, and return it if the settings want it raised."""
    transport = transports[alias]
    try:
        deliveries[alias].deliver(transport, events)
    except Exception as exc:  # noqa: BLE001  whatever a transport does, the request goes on
        report_failure(transport, events, exc)
        return exc if configs[alias].raise_errors else None
    return None


def _ready(connection: BaseDatabaseWrapper) -> list[Entry]:
    ready: list[Entry] = vars(connection).setdefault("_realtime_drf_ready", [])
    return ready
