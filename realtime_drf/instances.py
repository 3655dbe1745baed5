"""Instances and their rows: what an instance was before a write, and what its row is after it."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from django.core.exceptions import ObjectDoesNotExist
from django.db import router
from django.db.models import Model, QuerySet, prefetch_related_objects
from django.db.models.fields.files import FieldFile
from django.utils.functional import cached_property

from realtime_drf.changes import get_database
from realtime_drf.exceptions import InvalidEvent
from realtime_drf.keys import get_key

M = TypeVar("M", bound=Model)

_CACHES = frozenset({"_state", "_prefetched_objects_cache"})
"""What Django itself keeps on an instance, besides the values of fields."""


def take_snapshot(instance: M) -> M:
    """Copy an instance with the values that its fields have now, deferred fields included.

    A deferred field that is read after the write would give the new value.
    """
    snapshot = copy.copy(instance)
    values = vars(snapshot)
    for name, value in values.items():
        if isinstance(value, FieldFile):
            values[name] = value.name  # saving or deleting a file changes the object in place
        elif isinstance(value, dict | list) and not name.startswith("_"):
            values[name] = copy.deepcopy(value)
    if deferred := snapshot.get_deferred_fields():
        with contextlib.suppress(ObjectDoesNotExist):
            snapshot.refresh_from_db(using=get_database(instance), fields=deferred)
    return snapshot


def publishable(instance: M, using: str) -> M:
    """Return an instance that can be serialized: itself, or a copy without expressions.

    Before Django 6.0, `save()` leaves an expression such as ``F("views") + 1`` in its field.

    Raises:
        InvalidEvent: it has no primary key, so that clients could not tell which row it is.
    """
    if not _has_key(instance):
        raise InvalidEvent(
            f"A {instance._meta.label} without a primary key cannot be published. Publish a "
            f"deletion before delete(), which removes the key, and in the same transaction; after "
            f"bulk_create(ignore_conflicts=True), query the rows first."
        )
    names = [
        field.attname
        for field in instance._meta.concrete_fields
        if hasattr(vars(instance).get(field.attname), "resolve_expression")
    ]
    if not names:
        return instance
    read = copy.copy(instance)
    with contextlib.suppress(ObjectDoesNotExist):  # it was never saved
        read.refresh_from_db(using=using, fields=names)
    return read


def read_again(instances: Sequence[M], queryset: QuerySet[Any] | None = None) -> list[M]:
    """Return instances with what their rows hold now, read from the database that was written.

    The rows of a model are read with one query. An instance whose row is not there is returned as
    it is. `queryset` is the one from which the instances came: its ``select_related()``,
    annotations and ``Prefetch(to_attr=…)`` are read again too. Anything else that was set on an
    instance is kept.
    """
    groups: dict[tuple[type[M], str], list[M]] = {}
    for each in instances:
        groups.setdefault((type(each), get_database(each)), []).append(each)
    read: dict[int, M] = {}
    for (model, using), group in groups.items():
        fits = (
            queryset is not None and takes_filters(queryset) and issubclass(model, queryset.model)
        )
        read |= _read_group(model, using, group, queryset if fits else None)
    return [read[id(each)] if id(each) in read else _unprefetched(each) for each in instances]


def has_extras(instance: Model) -> bool:
    """Return whether more than the fields is loaded: relations, annotations, attributes."""
    fields = {field.attname for field in instance._meta.concrete_fields}
    return bool(instance._state.fields_cache or vars(instance).keys() - fields - {"_state"})


def takes_filters(queryset: QuerySet[Any]) -> bool:
    """Return whether a queryset is one of instances that can be filtered further."""
    query = queryset.query
    is_plain = getattr(queryset, "_fields", None) is None
    return is_plain and not (query.is_sliced or query.combinator)


@contextlib.contextmanager
def reading_what_was_written() -> Iterator[None]:
    """Read from the database of the writes within the block: a replica may lag behind it."""
    if router.routers and not any(isinstance(each, _Pinning) for each in router.routers):
        router.routers.insert(0, _Pinning())
    token = _is_pinned.set(True)
    try:
        yield
    finally:
        _is_pinned.reset(token)


_is_pinned: ContextVar[bool] = ContextVar("realtime_drf_is_pinned", default=False)


class _Pinning:
    """A router before the project's that reads where they write, within the block above."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return router.db_for_write(model, **hints) if _is_pinned.get() else None


def _has_key(instance: Model) -> bool:
    key = instance.pk
    return key is not None and not (isinstance(key, tuple) and None in key)


def _read_group(
    model: type[M], using: str, instances: Sequence[M], queryset: QuerySet[Any] | None
) -> dict[int, M]:
    """Return the rows that were read, by the id() of their instance."""
    rows = _fetch_rows(
        model, using, [get_key(type(each), each) for each in instances if _has_key(each)], queryset
    )
    read = {
        id(each): rows[key]
        for each in instances
        if _has_key(each) and (key := get_key(type(each), each)) in rows
    }
    for each in instances:
        if id(each) in read:
            _keep_extras(each, read[id(each)])
    return read


def _fetch_rows(
    model: type[M], using: str, keys: list[Any], queryset: QuerySet[Any] | None
) -> dict[Any, M]:
    base = model._base_manager.using(using)
    if queryset is not None:
        base.query.select_related = queryset.query.select_related
    rows: dict[Any, M] = base.in_bulk(keys) if keys else {}
    if queryset is None or not rows:
        return rows
    with reading_what_was_written():
        lookups = queryset._prefetch_related_lookups  # type: ignore[attr-defined]
        to_attr = [each for each in lookups if getattr(each, "to_attr", None)]
        prefetch_related_objects(list(rows.values()), *to_attr)
    if names := {*queryset.query.annotations, *queryset.query.extra}:
        # A write may have taken a row out of the queryset: its annotations are those of before.
        found = queryset.using(using).prefetch_related(None).in_bulk(list(rows))
        for key, row in found.items():
            vars(rows[key]).update((name, vars(row)[name]) for name in names & vars(row).keys())
    return rows


def _keep_extras(instance: Model, row: Model) -> None:
    """Set on a row what was set on the instance, such as an annotation or an attribute."""
    cached = (cached_property, functools.cached_property)
    for name, value in vars(instance).items():
        if (
            name not in vars(row)
            and name not in _CACHES
            and not isinstance(getattr(type(instance), name, None), cached)
        ):
            vars(row)[name] = value


def _unprefetched(instance: M) -> M:
    """Return an instance whose relations are read again."""
    if not getattr(instance, "_prefetched_objects_cache", None):
        return instance
    asking = copy.copy(instance)
    vars(asking)["_prefetched_objects_cache"] = {}
    return asking
