"""Changes of related rows that a payload shows: each touches the rows whose payload it is.

A relation that a backend ``depends_on`` leads from its rows to rows of another model. When one of
those is saved or deleted, or added to or removed from a many-to-many relation, the rows that lead
to it are touched: before the write, since the relation may change with it, and after it. Rows whose
foreign key is cleared because its target is deleted are touched too, as Django sends no signal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final, NamedTuple

from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models
from django.db.models import (
    CASCADE,
    DO_NOTHING,
    PROTECT,
    RESTRICT,
    ManyToManyField,
    Model,
    signals,
)

from realtime_drf.backends import RealtimeBackend, registry
from realtime_drf.sources.entries import get_transaction, touch
from realtime_drf.sources.observing import find_classes
from realtime_drf.sources.placements import get_placements
from realtime_drf.sources.rows import Transaction
from realtime_drf.sources.scopes import is_suppressed

_UID = "realtime_drf.dependencies"


class Dependency(NamedTuple):
    """A relation on which the rows of a backend depend.

    Args:
        backend: the backend whose rows are touched.
        path: the lookup from the rows to the target.
        field: the last relation of the path.
        only_deletes: whether only deleting the target changes the rows: it clears a foreign key.
    """

    backend: RealtimeBackend[Any]
    path: str
    field: Any
    only_deletes: bool = False

    @property
    def target(self) -> type[Model]:
        """The model that it leads to."""
        model: type[Model] = self.field.related_model
        return model

    @property
    def through(self) -> type[Model] | None:
        """The model of the rows of a many-to-many relation."""
        many = self.field.remote_field if self.is_forward else self.field
        through: type[Model] | None = getattr(many, "through", None)
        return through

    @property
    def is_forward(self) -> bool:
        """Whether it is a many-to-many field of the model itself."""
        return isinstance(self.field, ManyToManyField)

    def find_rows(self, targets: Iterable[Any], using: str) -> list[Any]:
        """Return the keys of the rows that lead to rows of the target."""
        manager = self.backend.get_model()._base_manager.using(using)
        found = manager.filter(**{f"{self.path}__pk__in": list(targets)}).order_by()
        return list(found.values_list("pk", flat=True).distinct())


def get_dependencies(backend: RealtimeBackend[Any]) -> list[Dependency]:
    """Return the dependencies of a backend, found once."""
    if "_dependencies" not in vars(backend):
        vars(backend)["_dependencies"] = [*_find_shown(backend), *_find_cleared(backend)]
    found: list[Dependency] = vars(backend)["_dependencies"]
    return found


def _find_shown(backend: RealtimeBackend[Any]) -> Iterator[Dependency]:
    """Yield the relations that a backend ``depends_on``, with the rows of ``through`` models."""
    for path in backend.depends_on:
        with contextlib.suppress(FieldDoesNotExist, ValueError):  # a check reports it
            each = Dependency(backend, path, find_field(backend.get_model(), path))
            yield each
            if each.through is not None and not each.through._meta.auto_created:
                yield from _find_rows_between(each, each.through)


def _find_rows_between(each: Dependency, through: type[Model]) -> Iterator[Dependency]:
    """Yield the dependency on the rows of a ``through`` model."""
    many = each.field if each.is_forward else each.field.field
    name = many.m2m_field_name() if each.is_forward else many.m2m_reverse_field_name()
    near: Any = through._meta.get_field(name)
    if not near.remote_field.hidden:
        steps = [*each.path.split("__")[:-1], near.related_query_name()]
        yield Dependency(each.backend, "__".join(steps), near.remote_field)


def _find_cleared(backend: RealtimeBackend[Any]) -> Iterator[Dependency]:
    """Yield the foreign keys, of rows and of their related rows, that a deletion changes."""
    shown = {each.path: each.target for each in _find_shown(backend)}
    for path, model in {"": backend.get_model(), **shown}.items():
        for field in model._meta.concrete_fields:
            remote: Any = field.remote_field
            if getattr(remote, "on_delete", None) not in (None, *_NOT_CLEARED, *BY_THE_DATABASE):
                whole = f"{path}__{field.name}" if path else field.name
                yield Dependency(backend, whole, field, only_deletes=True)


_NOT_CLEARED: Final = (CASCADE, DO_NOTHING, PROTECT, RESTRICT)

BY_THE_DATABASE: Final = tuple(
    getattr(models, name)
    for name in ("DB_CASCADE", "DB_SET_NULL", "DB_SET_DEFAULT")
    if hasattr(models, name)  # from Django 6.1 on
)
"""Values of ``on_delete`` that the database carries out, without Django."""


def find_field(model: type[Model], path: str) -> Any:
    """Return the last relation of a path.

    Raises:
        FieldDoesNotExist: a step names no field.
        ValueError: a step is not a relation to one model.
    """
    field: Any = None
    for step in path.split("__"):
        field = model._meta.get_field(step)
        if not field.is_relation or field.related_model in (None, "self"):
            raise ValueError(f"{step!r} of {model._meta.label} is not a relation.")
        model = field.related_model
    return field


def connect(backend: RealtimeBackend[Any]) -> None:
    """Connect the signals of the related rows that a backend's payloads show."""
    if not backend.observes:
        return
    for each in get_dependencies(backend):
        for model in find_classes(each.target):
            signals.pre_delete.connect(_before_delete, model, dispatch_uid=_UID)
            if not each.only_deletes:
                signals.pre_save.connect(_before_save, model, dispatch_uid=_UID)
                signals.post_save.connect(_after_save, model, dispatch_uid=_UID)
        if each.through is not None:
            signals.m2m_changed.connect(_on_many_to_many, each.through, dispatch_uid=_UID)


def touch_dependents(
    model: type[Model],
    keys: Collection[Any],
    using: str,
    transaction: Transaction | None = None,
    *,
    deleting: bool = False,
) -> None:
    """Touch the rows that show rows of a model."""
    for each in find_dependents(model, deleting=deleting):
        if rows := each.find_rows(keys, using):
            transaction = transaction or get_transaction(using)
            _touch(transaction, each, rows, using)


def find_dependents(model: type[Model], *, deleting: bool = False) -> Iterator[Dependency]:
    """Yield the dependencies on a model or on a parent of it."""
    for each in _list_dependencies():
        if issubclass(model, each.target) and (deleting or not each.only_deletes):
            yield each


def _list_dependencies() -> Iterator[Dependency]:
    """Yield the dependencies of all observing backends; none while events are suppressed."""
    if not is_suppressed():
        for backend in registry:
            if backend.observes:
                yield from get_dependencies(backend)


def _touch(transaction: Transaction, each: Dependency, rows: list[Any], using: str) -> None:
    transaction.capture(get_placements(each.backend), rows, using, writing=each.only_deletes)
    if connections[using].in_atomic_block:
        touch(transaction, each.backend, rows, using)


def _before_save(
    sender: type[Model], instance: Model, using: str, raw: bool = False, **kwargs: Any
) -> None:
    if raw or instance._state.adding:
        return
    found = [
        (each, rows)
        for each in find_dependents(sender)
        if (rows := each.find_rows([instance.pk], using))
    ]
    if found:
        transaction = get_transaction(using)
        for each, rows in found:
            transaction.capture(get_placements(each.backend), rows, using, writing=False)
        vars(instance._state)["_realtime_drf_shown"] = transaction, found


def _after_save(
    sender: type[Model], instance: Model, using: str, raw: bool = False, **kwargs: Any
) -> None:
    transaction, found = vars(instance._state).pop("_realtime_drf_shown", (None, []))
    if raw:
        return
    for each in find_dependents(sender):
        earlier = [row for known, rows in found if known == each for row in rows]
        rows = list(dict.fromkeys([*earlier, *each.find_rows([instance.pk], using)]))
        if rows:
            transaction = transaction or get_transaction(using)
            transaction.capture(get_placements(each.backend), rows, using, writing=False)
            touch(transaction, each.backend, rows, using)


def _before_delete(sender: type[Model], instance: Model, using: str, **kwargs: Any) -> None:
    touch_dependents(sender, [instance.pk], using, deleting=True)


def _on_many_to_many(
    sender: type[Model],
    instance: Model,
    reverse: bool,
    pk_set: set[Any] | None,
    using: str,
    **kwargs: Any,
) -> None:
    """Touch the rows of a backend before and after a many-to-many relation changes."""
    for each in _list_dependencies():
        if each.through is sender:
            rows = _find_ends(each, instance, pk_set, using, reverse=reverse)
            if rows:
                _touch(get_transaction(using), each, rows, using)


def _find_ends(
    each: Dependency, instance: Model, pk_set: set[Any] | None, using: str, *, reverse: bool
) -> list[Any]:
    """Return the keys of the backend's rows that a change of a many-to-many relation affects."""
    is_near = each.is_forward != reverse  # at the backend's row, or at what leads to it
    is_far = not is_near or getattr(each.field.remote_field, "symmetrical", False)
    ends = [*([instance.pk] if is_near else ()), *((pk_set or ()) if is_far else ())]
    if path := each.path.rpartition("__")[0]:  # further away than one step
        ends = each._replace(path=path).find_rows(ends, using)
    cleared = each.find_rows([instance.pk], using) if is_far and pk_set is None else []
    return [*ends, *cleared]
