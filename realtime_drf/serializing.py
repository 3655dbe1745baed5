"""Serialization for everyone on a channel: without a request, and many instances at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from django.db.models import Model
from rest_framework.serializers import BaseSerializer, Serializer

from realtime_drf.hyperlinks import link_without_request

MAX_IDLE: Final = 256
"""Serializers that are kept. At the limit all are dropped: a project may create classes often."""


def serialize(
    serializer_class: type[BaseSerializer[Any]],
    instances: Sequence[Model],
    context: dict[str, Any],
    *,
    backend: object,
) -> list[Any]:
    """Return the data of instances, each as a serializer of its own would make it.

    If DRF alone makes the fields of a serializer class, one serializer is used for all and kept for
    the next call: making the fields is most of the cost of an instance.

    Raises:
        Exception: any error of the serializer, with a note that names it and `backend`.
    """
    if not instances:
        return []
    try:
        if serializer_class not in _idle and not _is_reusable(serializer_class):
            return [_make(serializer_class, instance, context).data for instance in instances]
        with _borrow(serializer_class, instances[0], context) as serializer:
            return [_represent(serializer, instance) for instance in instances]
    except Exception as exc:
        exc.add_note(_explain(serializer_class, context, backend))
        raise


class _Idle(NamedTuple):
    """A serializer that is not in use, with the attributes that it and its fields had at first."""

    serializer: BaseSerializer[Any]
    attributes: list[tuple[dict[str, Any], dict[str, Any]]]


_idle: dict[type[BaseSerializer[Any]], _Idle] = {}


@contextlib.contextmanager
def _borrow(
    serializer_class: type[BaseSerializer[Any]], instance: Model, context: dict[str, Any]
) -> Iterator[BaseSerializer[Any]]:
    """Yield a serializer, and reset it and its fields afterwards.

    Taking it out is atomic. If another thread, or a method of this serializer, needs one meanwhile,
    it makes another.
    """
    has_request = context.get("request") is not None  # hyperlinks are made differently for one
    idle = None if has_request else _idle.pop(serializer_class, None)
    if idle is None:
        idle = _Idle(_make(serializer_class, instance, context), [])
        fields = list(_walk(idle.serializer))
        if has_request or not all(_is_reusable(type(each)) for each in fields):
            yield idle.serializer
            return
        idle.attributes.extend((each, dict(each)) for each in _list_attributes(fields))
    vars(idle.serializer)["_context"] = context
    try:
        yield idle.serializer
    finally:
        for now, made in idle.attributes:
            now.clear()
            now.update(made)
        vars(idle.serializer).update(instance=None, _context={})
        if len(_idle) >= MAX_IDLE:
            _idle.clear()
        _idle[serializer_class] = idle


def _walk(field: Any) -> Iterator[Any]:
    """Yield a field and the fields in it."""
    yield field
    within = field.fields.values() if isinstance(field, Serializer) else ()
    children = (vars(field)[name] for name in ("child", "child_relation") if name in vars(field))
    for each in (*within, *children):
        yield from _walk(each)


def _list_attributes(fields: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Yield the attributes of fields, and the fields of serializers by their names."""
    for each in fields:
        yield vars(each)
        if isinstance(each, Serializer):
            yield each.fields.fields


def _make(
    serializer_class: type[BaseSerializer[Any]], instance: Model, context: dict[str, Any]
) -> BaseSerializer[Any]:
    serializer = serializer_class(instance, context=context)
    if context.get("request") is None:
        link_without_request(serializer)
    return serializer


def _represent(serializer: BaseSerializer[Any], instance: Model) -> Any:
    serializer.instance = instance  # methods may read it
    return serializer.to_representation(instance)


def _is_reusable(field_class: type[Any]) -> bool:
    """Return whether only `to_representation` uses the instance."""
    return all(
        _get_home(field_class, name).startswith("rest_framework.")
        for name in ("__new__", "__init__", "data", "fields", "get_fields")
    )


def _get_home(cls: type[Any], name: str) -> str:
    """Return the module of the class from which a name is inherited."""
    homes = (each.__module__ for each in cls.__mro__ if name in vars(each))
    return next(homes, "rest_framework.")


def _explain(
    serializer_class: type[BaseSerializer[Any]], context: dict[str, Any], backend: object
) -> str:
    text = (
        f"Raised while {type(backend).__module__}.{type(backend).__qualname__} made the data of an "
        f"event with {serializer_class.__module__}.{serializer_class.__qualname__}."
    )
    if context.get("request") is None:
        text += (
            " The data goes to everyone on the channel, so the serializer's context has no request "
            "(None). Give the backend a serializer_class that needs none, or return an anonymous "
            "request from its get_serializer_context()."
        )
    return text
