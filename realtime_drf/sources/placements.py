"""Where a row is for subscribers: the transport and the channels that its backend gives it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from django.core.exceptions import EmptyResultSet
from django.db import DatabaseError, connections
from django.db.models import Model, QuerySet

from realtime_drf.backends import RealtimeBackend, read_values
from realtime_drf.changes import Change
from realtime_drf.conf import DEFAULT_ALIAS
from realtime_drf.events import list_channels
from realtime_drf.instances import reading_what_was_written
from realtime_drf.signals import publish_failed
from realtime_drf.sources.compiled import RowQuery, can_lock, is_plain, lock

logger = logging.getLogger("realtime_drf")

CHUNK: Final = 500
"""Rows that are fetched together."""

MAX_BUILT: Final = 1_024
"""Combinations of column values whose channel names are cached, per backend."""


class Placement(NamedTuple):
    """The place of a row: an alias of a transport, names of channels, and the row's version."""

    alias: str = DEFAULT_ALIAS
    channels: tuple[str, ...] = ()
    version: Any = None


NOWHERE: Final = Placement()
"""The placement of a row that does not exist for subscribers."""

UNMOVED: Final = Placement(channels=("",))
"""The placement of a row that has not moved: no column that decides on it was written."""


class Placements:
    """The placements of one backend's rows.

    Args:
        backend: a backend with ``channels``, or a `get_channels` of its own.
    """

    def __init__(self, backend: RealtimeBackend[Any]) -> None:
        cls = type(backend)
        self.backend = backend
        self.model = backend.get_model()
        is_declared = (
            cls.get_channels is RealtimeBackend.get_channels
            and cls.get_transport is RealtimeBackend.get_transport
        )
        self._is_filtered = cls.get_queryset is not RealtimeBackend.get_queryset or not is_plain(
            self.model
        )
        self.columns: tuple[str, ...] | None = (
            backend.get_channel_columns() if is_declared else None
        )
        """Paths of the values that decide the channels; None if anything may."""
        version = backend.version_field
        self._paths = (*(self.columns or ()), *(() if version is None else (version,)))
        self._build = lru_cache(MAX_BUILT)(self._build_names)

    @property
    def is_fixed(self) -> bool:
        """Whether a row never moves."""
        return self.columns == () and not self._is_filtered

    @property
    def depend_on_row_alone(self) -> bool:
        """Whether a row moves only when it is written itself."""
        columns = self.columns
        return (
            not self._is_filtered
            and columns is not None
            and not any("__" in each for each in columns)
        )

    def may_move(self, written: Iterable[str] | None) -> bool:
        """Return whether a write of these fields, or of all, can move a row."""
        if self.is_fixed:
            return False
        if written is None or self.columns is None or self._is_filtered:
            return True
        names = {self._get_attname(name) for name in written}
        return bool(names & {self._get_attname(name) for name in self.columns})

    def fetch(self, keys: Sequence[Any], using: str) -> list[Model]:
        """Return the rows that exist for subscribers, with all that the payload needs."""
        if len(keys) == 1 and not self._is_filtered:
            names = [field.attname for field in self.model._meta.concrete_fields]
            if query := self._get_row_query(keys[0], using, tuple(names)):
                row = query.read(keys[0])
                return [] if row is None else [self.model.from_db(using, names, row[1:])]
        queryset: QuerySet[Any] = self.backend.get_queryset().using(using)
        return list(queryset.filter(pk__in=keys))

    def read(
        self, keys: Sequence[Any], using: str, *, locking: bool = False
    ) -> dict[Any, Placement]:
        """Return where rows are in the database now, without those that are nowhere.

        An error of a hook is reported and does not break the write: the row counts as unmoved.

        Args:
            locking: lock the rows, if possible.
        """
        locking = locking and can_lock(using)
        is_compiled = len(keys) == 1 and self.columns is not None and not self._is_filtered
        if is_compiled and (
            query := self._get_row_query(keys[0], using, self._paths, locking=locking)
        ):
            row = query.read(keys[0])
            return {} if row is None else dict([self._place(row)])
        found: dict[Any, Placement] = {}
        with reading_what_was_written():
            for start in range(0, len(keys), CHUNK):
                chunk = keys[start : start + CHUNK]
                if locking:
                    lock(self.model, chunk, using)
                found.update(self._read_safely(chunk, using))
        return found

    def read_unless_fixed(
        self, keys: Iterable[tuple[Any, Placement]], using: str
    ) -> dict[Any, Placement]:
        """Return where rows are; rows that never move are not read, and assumed to exist.

        Args:
            keys: primary keys, and where the rows were.
        """
        keys = list(keys)
        if not self.is_fixed:
            return self.read([key for key, _ in keys], using)
        place = Placement(DEFAULT_ALIAS, self._build(()))
        created = [key for key, before in keys if before is NOWHERE]
        return self.read(created, using) | {
            key: place for key, before in keys if before is not NOWHERE
        }

    def read_versions(self, keys: Sequence[Any], using: str) -> dict[Any, Any]:
        """Return the versions of rows, including those that do not exist for subscribers."""
        field = self.backend.version_field
        if field is None or not keys:
            return {}
        rows = self.model._base_manager.using(using).filter(pk__in=keys)
        return dict(rows.values_list("pk", field))

    def find(self, row: Model, using: str) -> Placement:
        """Return where a row is, by its instance."""
        version = getattr(row, self.backend.version_field) if self.backend.version_field else None
        if self.columns is not None:
            values = tuple(read_values(row, self.columns).values())
            return Placement(DEFAULT_ALIAS, self._build(values), version)
        change: Change[Any] = Change(instance=row, action="update", using=using)
        channels = list_channels(self.backend.get_channels(change))
        names = tuple(dict.fromkeys(_get_name(each) for each in channels))
        return Placement(self.backend.get_transport(change), names, version)

    def make_bare(self, key: Any) -> Model:
        """Return an instance with the key alone, for a row that is gone."""
        fields: list[Any] = self.model._meta.pk_fields
        values = key if len(fields) > 1 else (key,)
        return self.model.from_db(None, [each.attname for each in fields], values)

    def _read_safely(self, keys: Sequence[Any], using: str) -> dict[Any, Placement]:
        try:
            return dict(self._read_chunk(keys, using))
        except DatabaseError:  # it has broken the transaction
            raise
        except Exception as exc:  # noqa: BLE001  whatever a hook raises
            if len(keys) == 1:
                report(self.backend, keys[0], exc)
                return {keys[0]: UNMOVED}
        return {key: each for one in keys for key, each in self._read_safely([one], using).items()}

    def _read_chunk(self, keys: Sequence[Any], using: str) -> Iterator[tuple[Any, Placement]]:
        if self.columns is None:
            for row in self.fetch(keys, using):
                yield row.pk, self.find(row, using)
            return
        queryset = self.backend.get_queryset().using(using).order_by().filter(pk__in=keys)
        yield from map(self._place, queryset.values_list("pk", *self._paths))

    def _get_row_query(
        self, key: Any, using: str, paths: tuple[str, ...], *, locking: bool = False
    ) -> RowQuery | None:
        """Return the compiled query for one row, or None if it cannot be compiled."""
        queries: WeakKeyDictionary[Placements, dict[Any, RowQuery | None]]
        queries = vars(connections[using]).setdefault("_realtime_drf_queries", WeakKeyDictionary())
        own = queries.setdefault(self, {})
        if (paths, locking) not in own:
            queryset = self.backend.get_queryset().using(using)
            try:
                query = RowQuery.compile(queryset, paths, key, locking=locking)
            except EmptyResultSet:  # no row can have this key; another will do
                return None
            own[paths, locking] = query
        return own[paths, locking]

    def _place(self, row: Sequence[Any]) -> tuple[Any, Placement]:
        """Return the key and the placement of a row, by its key and the values at the paths."""
        key, *values = row
        version = values.pop() if self.backend.version_field is not None else None
        return key, Placement(DEFAULT_ALIAS, self._build(tuple(values)), version)

    def _build_names(self, values: tuple[Any, ...]) -> tuple[str, ...]:
        found = self.backend.build_channels(dict(zip(self.columns or (), values, strict=True)))
        return tuple(dict.fromkeys(found))

    def _get_attname(self, name: str) -> str:
        if name == "pk" or "__" in name:
            return name
        field: Any = self.model._meta.get_field(name)
        return str(field.attname)


def get_placements(backend: RealtimeBackend[Any]) -> Placements:
    """Return the placements of a backend, made once."""
    if "_placements" not in vars(backend):
        vars(backend)["_placements"] = Placements(backend)
    placements: Placements = vars(backend)["_placements"]
    return placements


def _get_name(channel: Any) -> str:
    return channel if isinstance(channel, str) else str(channel.name)


def report(
    backend: RealtimeBackend[Any], key: Any, error: Exception, alias: str = DEFAULT_ALIAS
) -> None:
    """Log that a row could not be published, without its data, and send `publish_failed`."""
    logger.error(
        "%s %r could not be published by %s: %s",
        backend.get_model()._meta.label,
        key,
        backend.label,
        type(error).__name__,
        exc_info=error,
    )
    publish_failed.send_robust(type(backend), events=(), transport=alias, error=error)
