"""A cache in memory that counts its calls."""

from __future__ import annotations

from typing import Any

from django.core.cache.backends.locmem import LocMemCache


class CountingCache(LocMemCache):
    """A cache that counts calls, each of which would be a round trip to another machine."""

    round_trips = 0
    _is_within = False

    def get_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._count(super().get_many, *args, **kwargs)

    def set_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._count(super().set_many, *args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self._count(super().get, *args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> Any:
        return self._count(super().set, *args, **kwargs)

    def add(self, *args: Any, **kwargs: Any) -> Any:
        return self._count(super().add, *args, **kwargs)

    def _count(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        if self._is_within:  # in memory, many keys are fetched one by one
            return function(*args, **kwargs)
        self._is_within = True
        try:
            self.round_trips += 1
            return function(*args, **kwargs)
        finally:
            self._is_within = False
