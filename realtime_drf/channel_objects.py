"""The objects that channels are about, and what DRF's permissions say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import NotSupportedError
from django.db.models import F, Manager, Model, Q, QuerySet
from rest_framework.permissions import BasePermission


def fetch_objects(
    queryset: Any, lookups: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, Model]]:
    """Yield the position of each lookup and its object, all fetched with one query.

    A lookup that finds nothing is left out, and so is one that finds several objects: nobody could
    tell which is meant.
    """
    parameters = list(lookups[0])
    found: dict[tuple[str, ...], dict[Any, Model]] = {}
    # One condition for each lookup, and no "IN": a number that is too large for the column matches
    # nothing then, and is no error of the database.
    conditions = Q()
    for lookup in lookups:
        conditions |= Q(**lookup)
    for obj in _with_values(queryset, parameters).filter(conditions):
        key = tuple(str(getattr(obj, f"_realtime_{n}")) for n in range(len(parameters)))
        found.setdefault(key, {})[obj.pk] = obj
    for position, lookup in enumerate(lookups):
        objects = found.get(tuple(map(str, lookup.values())), {})
        if len(objects) == 1:
            (obj,) = objects.values()
            yield position, obj


def check_queryset(queryset: Any, parameters: Sequence[str]) -> None:
    """Raise ImproperlyConfigured if objects cannot be fetched by these parameters."""
    if not isinstance(queryset, QuerySet | Manager):
        raise ImproperlyConfigured(f"queryset must be a QuerySet, not {type(queryset).__name__}.")
    if not parameters:
        raise ImproperlyConfigured("it has a queryset, and its pattern no value to look up by.")
    try:
        _with_values(queryset, parameters).filter(**dict.fromkeys(parameters))
    except (FieldError, NotSupportedError, TypeError, ValueError) as exc:
        names = ", ".join(parameters)
        raise ImproperlyConfigured(f"queryset cannot be looked up by {names}: {exc}") from exc


def looks_at_objects(permission_classes: Any) -> bool:
    """Tell whether one of DRF's permissions, or an operand of one, decides on objects."""
    # What is no list is an error of the checks, and refuses everybody.
    is_list = isinstance(permission_classes, list | tuple)
    return is_list and any(map(_looks_at_objects, permission_classes))


def _looks_at_objects(permission: Any) -> bool:
    operands = [getattr(permission, name, None) for name in ("op1_class", "op2_class")]
    if operands[0] is not None:  # of A & B, A | B and ~A
        return looks_at_objects(operands)
    method = getattr(permission, "has_object_permission", None)
    return method not in (None, BasePermission.has_object_permission)


def _with_values(queryset: Any, parameters: Sequence[str]) -> Any:
    """Have each object say by which values it is found, those of related rows included."""
    values = {f"_realtime_{n}": F(name) for n, name in enumerate(parameters)}
    return queryset.all().annotate(**values)
