"""Receivers of Django's signals, which touch the rows that the ORM saves and deletes.

They are connected to observed models, their children and their proxies alone, because Django
loads the rows of a model that has receivers before it deletes them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from django.db.models import F, Model, QuerySet, signals

from realtime_drf.backends import RealtimeBackend, registry
from realtime_drf.keys import get_key
from realtime_drf.sources.entries import get_transaction, touch
from realtime_drf.sources.placements import NOWHERE, UNMOVED, Placements, get_placements
from realtime_drf.sources.rows import Transaction
from realtime_drf.sources.scopes import is_suppressed

_UID = "realtime_drf.rows"


def connect(backend: RealtimeBackend[Any]) -> None:
    """Connect the signals of a backend's model, if the backend observes it."""
    if backend.observes:
        for model in find_classes(backend.get_model()):
            signals.pre_save.connect(_before_save, model, dispatch_uid=_UID)
            signals.post_save.connect(_after_save, model, dispatch_uid=_UID)
            signals.pre_delete.connect(_before_delete, model, dispatch_uid=_UID)


def find_classes(model: type[Model]) -> Iterator[type[Model]]:
    """Yield a model, its proxies and its children: the senders of signals about its rows."""
    yield model
    for child in model.__subclasses__():
        yield from find_classes(child)


def find_observers(model: type[Model]) -> list[Placements]:
    """Return the placements of the backends that observe a model."""
    if is_suppressed():
        return []
    return [get_placements(each) for each in registry.get_backends(model) if each.observes]


def _before_save(
    sender: type[Model],
    instance: Model,
    using: str,
    raw: bool = False,
    update_fields: Collection[str] | None = None,
    **kwargs: Any,
) -> None:
    if raw or not (observers := find_observers(sender)):
        return
    transaction = get_transaction(using)
    for each in observers:
        if each.may_move(update_fields) and not _is_new(instance):
            transaction.capture(each, [get_key(each.model, instance)], using)
    vars(instance._state)["_realtime_drf"] = transaction
    names = find_version_fields(observers)
    if names := [each for each in names if _grows_in_place(instance, each, update_fields)]:
        row = sender._base_manager.using(using).filter(pk=instance.pk)
        if not instance._state.adding and row.exists():  # else it is inserted under another key
            for name in names:
                setattr(instance, name, F(name) + 1)


def _after_save(
    sender: type[Model],
    instance: Model,
    using: str,
    created: bool,
    raw: bool = False,
    update_fields: Collection[str] | None = None,
    **kwargs: Any,
) -> None:
    # Outside of a transaction, this is the record that _before_save() made.
    transaction: Transaction | None = vars(instance._state).pop("_realtime_drf", None)
    if raw or transaction is None:
        return
    observers = find_observers(sender)
    if not created:
        _grow_versions(instance, observers, using, update_fields)
    for each in observers:
        keys = [get_key(each.model, instance)]
        transaction.assume(each.backend, keys, NOWHERE if created else UNMOVED)
        touch(transaction, each.backend, keys, using)


def _before_delete(sender: type[Model], instance: Model, using: str, **kwargs: Any) -> None:
    transaction = None
    for each in find_observers(sender):
        transaction = transaction or get_transaction(using)
        keys = [get_key(each.model, instance)]
        transaction.capture_last(each, keys, using)
        touch(transaction, each.backend, keys, using)


def find_version_fields(observers: Iterable[Placements]) -> list[str]:
    """Return the fields of a model that each write increases."""
    names = (each.backend.version_field for each in observers)
    return list(dict.fromkeys(name for name in names if name is not None))


def _grow_versions(
    instance: Model,
    observers: Sequence[Placements],
    using: str,
    update_fields: Collection[str] | None,
) -> None:
    """Increment versions that a save has not written, and read those that have grown."""
    for name in find_version_fields(observers):
        row = type(instance)._base_manager.using(using).filter(pk=instance.pk)
        is_grown = _grows_in_place(instance, name, update_fields)
        if not is_grown and update_fields is not None and name not in update_fields:
            QuerySet.update(row, **{name: F(name) + 1})
            is_grown = True
        if is_grown:
            setattr(instance, name, row.values_list(name, flat=True).get())


def _grows_in_place(instance: Model, name: str, update_fields: Collection[str] | None) -> bool:
    """Return whether a save writes all loaded fields, so that it can increment the version.

    With deferred fields, Django passes the names of the loaded ones as `update_fields`.
    """
    if update_fields is None:
        return True
    deferred = instance.get_deferred_fields()
    loaded = {
        field.attname
        for field in instance._meta.concrete_fields
        if not field.primary_key and not field.generated and field.attname not in deferred
    }
    written: Any = [instance._meta.get_field(each) for each in update_fields]
    is_whole = bool(deferred) and loaded <= {each.attname for each in written}
    return is_whole and name in update_fields


def _is_new(instance: Any) -> bool:
    """Return whether a save can only insert, so that Django tries no update first."""
    if not instance._state.adding:
        return False
    return not instance._is_pk_set() or all(
        field.has_default() or field.has_db_default() for field in instance._meta.pk_fields
    )
