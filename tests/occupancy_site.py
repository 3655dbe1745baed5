"""A site whose occupancy is known: a service that lists channels, a cache, workers and the time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from django.core.cache import BaseCache
from django.core.cache.backends.locmem import LocMemCache

from realtime_drf import Event
from realtime_drf.occupancy import Occupancy
from realtime_drf.webhook_events import WebhookEvent

PUBLIC, PRIVATE = "news.1", "private-lists.1"


class Service:
    """A transport that lists what it is told to."""

    supports_channel_info = True

    def __init__(self, alias: str = "default", app_id: str = "1") -> None:
        self.alias, self.app_id = alias, app_id
        self.occupied: set[str] = set()
        self.asked: list[str] = []
        self.error: Exception | None = None

    def occupied_channels(self, prefix: str) -> dict[str, None]:
        self.asked.append(prefix)
        if self.error:
            raise self.error
        return dict.fromkeys(name for name in self.occupied if name.startswith(prefix))


class CountingCache(LocMemCache):
    """Count the round trips; fail and refuse on demand."""

    calls: Sequence[str] = ()
    error: Exception | None = None
    refuses = False

    def get_many(self, keys: Any, version: Any = None) -> Any:
        self._call("get_many")
        return {key: value for key in keys if (value := super(CountingCache, self).get(key))}

    def set_many(self, data: Any, timeout: Any = None, version: Any = None) -> Any:
        self._call("set_many")
        return list(data) if self.refuses else super().set_many(data, timeout, version)

    def add(self, *args: Any, **kwargs: Any) -> Any:
        self._call("add")
        return super().add(*args, **kwargs)

    def _call(self, name: str) -> None:
        self.calls = [*self.calls, name]
        if self.error:
            raise self.error


class Site:
    """Workers of one site, and the time."""

    def __init__(self, cache: BaseCache | None = None) -> None:
        self.now = time.time()  # the cache's own clock cannot be set
        self.cache: Any = CountingCache(f"site-{id(self)}", {}) if cache is None else cache
        self.cache.clear()
        self.service = Service()
        self.one, self.two = self.worker(), self.worker()

    def worker(self, service: Any = None) -> Occupancy:
        return Occupancy(
            service or self.service,
            lambda: self.cache,
            clock=lambda: self.now,
            call=lambda function, timeout: function(),
        )

    def sends(self, *channels: str, worker: Occupancy | None = None) -> list[str]:
        events = (worker or self.one).filter([Event("e", channels)])
        return [name for event in events for name in event.channels]

    def report(self, kind: str, channel: str, *, age: float = 0) -> None:
        time_ms = int((self.now - age) * 1000)
        self.one.learn([WebhookEvent(kind=f"channel_{kind}", channel=channel, time_ms=time_ms)])
