"""Primary keys of rows: as the database returns them, and as the data of a delete."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model


def get_key(model: type[Model], row: Model) -> Any:
    """Return the key of a row of a model, or of a child of it, as the database returns it.

    A child may have another key of its own, and a key that was assigned may be text. A key of
    several columns is a tuple.
    """
    fields: list[Any] = model._meta.pk_fields
    values = tuple(getattr(row, each.attname) for each in fields)
    return clean_key(model, values if len(fields) > 1 else values[0])


def clean_key(model: type[Model], key: Any) -> Any:
    """Return a key as the database returns it; one that is not valid stays as it is."""
    fields: list[Any] = model._meta.pk_fields
    try:
        if len(fields) == 1:
            return fields[0].to_python(key)
        return tuple(each.to_python(part) for each, part in zip(fields, key, strict=True))
    except ValidationError:
        return key


def make_key_data(model: type[Model], key: Any) -> dict[str, Any]:
    """Return a key by the names of its columns; of a multi-table child, by those of its parent."""
    fields: list[Any] = model._meta.pk_fields
    values = key if len(fields) > 1 else (key,)
    return {_get_name(field): value for field, value in zip(fields, values, strict=True)}


def _get_name(field: Any) -> str:
    while field.remote_field is not None and field.remote_field.parent_link:
        field = field.remote_field.model._meta.pk
    return str(field.name)
