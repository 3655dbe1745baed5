"""A manager and a queryset that publish bulk writes, for which Django sends no signals."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db import transaction
from django.db.models import F, Manager, Model, Q, QuerySet

from realtime_drf.keys import get_key
from realtime_drf.sources.dependencies import find_dependents, touch_dependents
from realtime_drf.sources.entries import get_transaction, touch
from realtime_drf.sources.observing import find_observers, find_version_fields
from realtime_drf.sources.placements import NOWHERE, UNMOVED

M = TypeVar("M", bound=Model)

CONDITIONS: Final = 100
"""Conditions of one query; SQLite allows a depth of 1,000."""


class RealtimeQuerySet(QuerySet[M]):
    """A queryset that publishes its ``update()``, ``bulk_create()`` and ``bulk_update()``.

    This includes `aupdate` and the other methods that call these. What saves and deletes row by row
    is published in any case.
    """

    def update(self, **kwargs: Any) -> int:
        """Update rows, and publish each as it is when the transaction is committed.

        The ``version_field`` of a backend grows by one, unless a value is given.
        """
        observers = find_observers(self.model)
        is_shown = any(find_dependents(self.model))
        if self.query.is_sliced or not (observers or is_shown):
            return super().update(**kwargs)
        self._for_write = True
        using = self.db
        with transaction.atomic(using, savepoint=False):  # as Django does
            keys = list(self.order_by().values_list("pk", flat=True))
            if not keys:
                return 0
            state = get_transaction(using)
            for each in observers:
                if each.may_move(kwargs):
                    state.capture(each, keys, using)
                else:
                    state.assume(each.backend, keys, UNMOVED)
            touch_dependents(self.model, keys, using, state)
            grown = {name: F(name) + 1 for name in find_version_fields(observers)}
            count: int = super().update(**{**grown, **kwargs})
            touch_dependents(self.model, keys, using, state)
            for each in observers:
                touch(state, each.backend, keys, using)
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(
        self,
        objs: Iterable[M],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[M]:
        """Insert rows, and publish each.

        Raises:
            ValueError: `ignore_conflicts` is set, with which the inserted rows are not known.
        """
        observers = find_observers(self.model)
        is_shown = any(find_dependents(self.model))
        if not (observers or is_shown):
            return super().bulk_create(
                objs, batch_size, ignore_conflicts, update_conflicts, update_fields, unique_fields
            )
        if ignore_conflicts and observers:
            raise ValueError(
                f"bulk_create(ignore_conflicts=True) does not say which rows it inserted, so the "
                f"backend of {self.model._meta.label} cannot publish them. Create them in "
                f"`with suppress_events():`, then query them and call "
                f"publish_change(queryset, action='create')."
            )
        rows = list(objs)
        self._for_write = True
        using = self.db
        with transaction.atomic(using, savepoint=False):  # as Django does
            state = get_transaction(using)
            if update_conflicts:
                existing = self._find_conflicts(rows, unique_fields or (), using)
                touch_dependents(self.model, existing, using, state)
                for each in observers:
                    state.capture(each, existing, using)
            made = super().bulk_create(
                rows, batch_size, ignore_conflicts, update_conflicts, update_fields, unique_fields
            )
            touch_dependents(self.model, [each.pk for each in made], using, state)
            for each in observers:
                keys = [get_key(each.model, row) for row in made]
                state.assume(each.backend, keys, NOWHERE)
                touch(state, each.backend, keys, using)
        return made

    def _find_conflicts(
        self, rows: Sequence[M], unique_fields: Collection[str], using: str
    ) -> list[Any]:
        """Return the keys of the rows with which an insert conflicts."""
        fields: list[Any] = [
            self.model._meta.get_field(name) for name in unique_fields if name != "pk"
        ]
        names = [each.attname for each in fields] or ["pk"]
        manager = self.model._base_manager.using(using)
        keys: list[Any] = []
        for start in range(0, len(rows), CONDITIONS):
            alike = Q()
            for each in rows[start : start + CONDITIONS]:
                alike |= Q(**{name: getattr(each, name) for name in names})
            keys += manager.filter(alike).values_list("pk", flat=True)
        return keys


if TYPE_CHECKING:
    _Manager = Manager
else:
    _Manager = Manager.from_queryset(RealtimeQuerySet)  # type checkers do not follow this


class RealtimeManager(_Manager[M]):
    """A manager of `RealtimeQuerySet`: ``objects = RealtimeManager()``."""
