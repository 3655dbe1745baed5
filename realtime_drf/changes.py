"""Changes of model instances: what views and publishing give to backends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, router
from django.db.models import Model
from rest_framework.serializers import BaseSerializer

from realtime_drf.names import NamedChannel

__all__ = ["Change"]

M = TypeVar("M", bound=Model)

ACTIONS = ("create", "update", "delete")
"""The actions of views; every other one is custom."""

REFRESH = "refresh"
"""The action of the event that replaces those of many rows."""


@dataclass(frozen=True, kw_only=True)
class Change(Generic[M]):
    """A change of a model instance.

    `previous` is a copy of the instance as it was before an update, where known. `channels` are
    those that a view proposes, and `get_serializer_class` returns the view's serializer class.
    `socket_id` is the connection that caused the change; it stays out of the repr.
    """

    instance: M
    action: str
    previous: M | None = None
    channels: tuple[str | NamedChannel, ...] = ()
    get_serializer_class: Callable[[], type[BaseSerializer[Any]]] | None = field(
        default=None, repr=False
    )
    using: str = DEFAULT_DB_ALIAS
    socket_id: str | None = field(default=None, repr=False)


def get_database(instance: Model) -> str:
    """Return the database to which a change of an instance is written, whose commit it waits for.

    It is not the one that the instance was read from, which may be a replica.
    """
    return router.db_for_write(type(instance), instance=instance)
