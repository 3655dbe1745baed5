"""Waiting for a commit, and one batch of everything that it commits.

Django keeps the hooks of a transaction in ``connection.run_on_commit`` and discards those of a
savepoint that is rolled back. Each entry is a hook there that marks itself as ready, so that Django
itself decides whether it was committed. Behind all entries stands one flush, which belongs to no
savepoint, so that it survives the rollback of the savepoint in which it was first asked for, and
sends what is ready. What is ready is kept on the connection, in the order of commitment.
"""

from __future__ import annotations

import abc
import contextlib
import heapq
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, ClassVar, Final, Self

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

Numbered = tuple[int, Addressed]
"""An event with its place among all that are sent together."""

MAX_BATCH: Final = 500
"""Events of a batch, if events of rows are among them."""

_numbers = itertools.count()


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


def flush(connection: BaseDatabaseWrapper, *, may_raise: bool = False) -> None:
    """Send what is ready on a connection.

    There may be something although its commit is over: a hook of the project's that is not robust
    and raises keeps those behind it from being called, our flush among them.
    """
    ready = _ready(connection)
    is_holding = _is_holding.get()
    entries = [each for each in ready if not (is_holding and each.may_be_held)]
    ready[:] = [each for each in ready if is_holding and each.may_be_held]
    send_entries(entries, may_raise=may_raise)


def flush_all(**kwargs: Any) -> None:
    """Send what is ready on all connections of this thread: the end of a request."""
    for connection in connections.all(initialized_only=True):
        flush(connection)


@contextlib.contextmanager
def holding() -> Iterator[None]:
    """Keep entries that may be held until the block ends, whatever is committed within.

    So a row that a view's method changes in several transactions has one event.
    """
    before = _is_holding.get()
    _is_holding.set(True)
    try:
        yield
    finally:
        _is_holding.set(before)  # the end may be in another context than the beginning
        if not before:
            flush_all()


_is_holding: ContextVar[bool] = ContextVar("realtime_drf_is_holding", default=False)


def next_number() -> int:
    """Return the place after all entries so far."""
    return next(_numbers)


class Entry(abc.ABC):
    """A hook that waits for a commit, and is ready once Django has called it."""

    may_be_held: ClassVar[bool] = False
    """Whether it waits for the end of `holding`."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.number = next_number()
        """Its place among all entries of the process."""
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
    def resolve(cls, entries: Sequence[Self]) -> Iterable[Numbered]:
        """Yield the events of entries that were committed, each with its place, in that order.

        The entries are all those of this class that are sent together.
        """


class EventEntry(Entry):
    """An event that waits for a commit."""

    def __init__(self, connection: BaseDatabaseWrapper, addressed: Addressed) -> None:
        super().__init__(connection)
        self._addressed = addressed

    @classmethod
    def resolve(cls, entries: Sequence[Self]) -> Iterable[Numbered]:
        return [(entry.number, entry._addressed) for entry in entries]


def add_entries(connection: BaseDatabaseWrapper, entries: Sequence[Entry]) -> None:
    """Have entries wait for the commit of a connection's open transaction."""
    for entry in entries:
        connection.on_commit(entry, robust=True)
    if entries:
        flush_last(connection)


def send_entries(entries: Iterable[Entry], *, may_raise: bool) -> None:
    """Send the events of entries, in order."""
    for batch in _cut(entries):
        send_all(batch, may_raise=may_raise)


def _cut(entries: Iterable[Entry]) -> Iterator[list[Addressed]]:
    """Yield all events in one batch, or in several if rows are read for them in chunks."""
    kinds: dict[type[Entry], list[Entry]] = {}
    for entry in entries:
        kinds.setdefault(type(entry), []).append(entry)
    resolved = [kind.resolve(group) for kind, group in kinds.items()]
    if len(resolved) == 1:
        merged = iter(resolved[0])
    else:
        merged = heapq.merge(*resolved, key=operator.itemgetter(0))
    size = None if set(kinds) <= {EventEntry} else MAX_BATCH
    while batch := [addressed for _, addressed in itertools.islice(merged, size)]:
        yield batch


class Flush:
    """A hook that sends what is ready. One a transaction, behind all entries.

    Args:
        notes: what other modules keep until the transaction ends.
    """

    def __init__(self, connection: BaseDatabaseWrapper, notes: dict[str, Any]) -> None:
        self._connection = connection
        self.notes = notes
        self.__qualname__ = type(self).__qualname__

    def __call__(self) -> None:
        flush(self._connection)


def flush_last(connection: BaseDatabaseWrapper) -> None:
    """Put the flush behind the entries, in no savepoint whose rollback would discard it.

    An earlier one is replaced in its place: removing it would shift the positions by which
    captureOnCommitCallbacks() knows the hooks.
    """
    hooks: list[Any] = connection.run_on_commit
    notes: dict[str, Any] = {}
    if (index := _find_flush(connection)) is not None:
        notes = hooks[index][1].notes
        hooks[index] = (set(), do_nothing, True)
    hooks.append((set(), Flush(connection, notes), True))


def get_notes(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """Return what is kept until the open transaction ends."""
    hooks: list[Any] = connection.run_on_commit
    index = _find_flush(connection)
    if index is None:
        hooks.append((set(), Flush(connection, {}), True))
    notes: dict[str, Any] = hooks[-1 if index is None else index][1].notes
    return notes


def _find_flush(connection: BaseDatabaseWrapper) -> int | None:
    """Return the position of the flush, which is found fastest from the end."""
    hooks: list[Any] = connection.run_on_commit
    for index in range(len(hooks) - 1, -1, -1):
        if isinstance(hooks[index][1], Flush):
            return index
    return None


def do_nothing() -> None:
    """Do nothing, in place of a hook that was removed."""


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
