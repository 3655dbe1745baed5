"""A query for some values of one row, compiled once per connection.

Django takes ten times as long to build a query as SQLite takes to answer it, and each row that is
saved needs one query before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Manager, Model, QuerySet


class RowQuery:
    """A compiled query for values of one row, by its primary key.

    It belongs to one connection, since its SQL and its converters are for that database.
    """

    def __init__(
        self, sql: str, converters: Any, connection: BaseDatabaseWrapper, field: Any
    ) -> None:
        self._sql = sql
        self._converters = converters
        self._connection = connection
        self._field = field

    @classmethod
    def compile(
        cls, queryset: QuerySet[Any], paths: Sequence[str], key: Any, *, locking: bool = False
    ) -> Self | None:
        """Return the query for values of a row; None if its SQL would need more than the key.

        It is None also if the primary key is a relation or has several columns.

        Args:
            queryset: see `is_plain`; it names its database.
            key: the key of any row, by which the parameter of the SQL is recognized.
            locking: lock the row, as `lock` does.
        """
        field: Any = queryset.model._meta.pk
        if field.is_relation or len(queryset.model._meta.pk_fields) > 1:
            return None
        connection = connections[queryset.db]
        found = queryset.order_by().filter(pk=key).values_list("pk", *paths)
        compiler = found.query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        if tuple(parameters) != (field.get_db_prep_value(key, connection),):
            return None
        if locking:
            table = connection.ops.quote_name(queryset.model._meta.db_table)
            of = (table,) if connection.features.has_select_for_update_of else ()
            no_key = connection.features.has_select_for_no_key_update
            sql = f"{sql} {connection.ops.for_update_sql(of=of, no_key=no_key)}"
        converters = compiler.get_converters([column for column, _, _ in compiler.select])
        return cls(sql, list(converters.items()), connection, field)

    def read(self, key: Any) -> list[Any] | None:
        """Return the key and the values of a row; None if there is no such row."""
        parameter = self._field.get_db_prep_value(key, self._connection)
        with self._connection.cursor() as cursor:
            cursor.execute(self._sql, (parameter,))
            row = cursor.fetchone()
        if row is None:
            return None
        values = list(row)
        for index, (converters, expression) in self._converters:
            for convert in converters:
                values[index] = convert(values[index], expression, self._connection)
        return values


def can_lock(using: str) -> bool:
    """Return whether rows can be locked now: in a transaction, on a database that has row locks."""
    connection = connections[using]
    return connection.in_atomic_block and connection.features.has_select_for_update


def lock(model: type[Model], keys: Sequence[Any], using: str) -> None:
    """Lock rows that are about to be written, until the transaction ends.

    This waits for other transactions that have written them, so that what is read next is what the
    write finds.
    """
    no_key = connections[using].features.has_select_for_no_key_update
    rows = model._base_manager.using(using).filter(pk__in=keys).order_by("pk")
    list(rows.select_for_update(no_key=no_key).values_list("pk"))


def is_plain(model: type[Model]) -> bool:
    """Return whether the default manager of a model always returns all its rows.

    A manager or queryset with methods of its own may depend on the tenant of a request, say.
    """
    manager: Any = model._default_manager
    queryset_class = manager._queryset_class
    return type(manager).get_queryset is Manager.get_queryset and all(
        getattr(queryset_class, name) is getattr(QuerySet, name) for name in _USED
    )


_USED = (
    "__init__",
    "__iter__",
    "_chain",
    "_clone",
    "_fetch_all",
    "_filter_or_exclude",
    "_filter_or_exclude_inplace",
    "_values",
    "all",
    "filter",
    "order_by",
    "using",
    "values_list",
)
"""The methods that lead from a queryset to the SQL for a row."""
