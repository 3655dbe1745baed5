"""A PostgreSQL for a benchmark, where its programs are installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

from tests.services import postgres


@contextmanager
def postgres_database() -> Iterator[str | None]:
    """Run a server while the block lasts; return the alias of a database, or None without one."""
    if reason := postgres.unavailable():
        print(f"Without the figures of PostgreSQL: {reason}.")
        yield None
        return
    with postgres.Postgres() as server:
        alias = "postgres"
        address = {"HOST": server.host, "PORT": server.port, "USER": server.user}
        entry = {"ENGINE": "django.db.backends.postgresql", "NAME": server.database, **address}
        connections.settings[alias] = connections.configure_settings({"default": entry})["default"]
        try:
            yield alias
        finally:
            connections[alias].close()
            del connections[alias], connections.settings[alias]
