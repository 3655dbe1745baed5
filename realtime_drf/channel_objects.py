"""The objects of channels, and the permissions that decide on them."""

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

    A lookup that finds nothing is skipped, and so is one that finds several objects, since it is
    not clear which is meant.
    """
    parameters = list(lookups[0])
    found: dict[tuple[str, ...], dict[Any, Model]] = {}
    # One condition for each lookup instead of "IN": then a number that is too large for the column
    # matches nothing, instead of being an error of the database.
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
        raise ImproperlyConfigured(
            "it has a queryset, but its pattern has no value for the lookup."
        )
    try:
        _with_values(queryset, parameters).filter(**dict.fromkeys(parameters))
    except (FieldError, NotSupportedError, TypeError, ValueError) as exc:
        names = ", ".join(parameters)
        raise ImproperlyConfigured(f"queryset cannot be looked up by {names}: {exc}") from exc


def looks_at_objects(permission_classes: Any) -> bool:
    """Return whether one of DRF's permissions, or an operand of one, decides on objects."""
    # Anything else than a list is an error of the checks, and denies everyone.
    is_list = isinstance(permission_classes, list | tuple)
    return is_list and any(map(_looks_at_objects, permission_classes))


def _looks_at_objects(permission: Any) -> bool:
    operands = [getattr(permission, name, None) for name in ("op1_class", "op2_class")]
    if operands[0] is not None:  # of A & B, A | B and ~A
        return looks_at_objects(operands)
    method = getattr(permission, "has_object_permission", None)
    return method not in (None, BasePermission.has_object_permission)


def _with_values(queryset: Any, parameters: Sequence[str]) -> Any:
    """Annotate each object with the values of its lookup, including those of related rows."""
    values = {f"_realtime_{n}": F(name) for n, name in enumerate(parameters)}
    return queryset.all().annotate(**values)
