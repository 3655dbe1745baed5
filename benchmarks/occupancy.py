"""Measure what asking the occupancy cache adds to publish().

    python -m benchmarks.occupancy [--cache redis://127.0.0.1:6379]

One event to 100 channels, all known to be occupied, through the memory transport. Without
``--cache`` the cache is LocMem, so that what is measured is our own work; with it, a round trip to
Redis comes on top. Prints the median of so many calls and the number of calls of the cache.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import django
from django.conf import settings

CHANNELS = [f"private-lists.{number}" for number in range(100)]
REPEATS = 2000


def configure(redis: str | None) -> None:
    """Set up Django with two transports, of which one skips what is vacant."""
    memory = "realtime_drf.transports.memory.MemoryTransport"
    backends = "django.core.cache.backends"
    cache = {"BACKEND": f"{backends}.redis.RedisCache", "LOCATION": redis}
    if redis is None:
        cache = {"BACKEND": f"{backends}.locmem.LocMemCache"}
    settings.configure(
        INSTALLED_APPS=["realtime_drf"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        CACHES={"default": {**cache, "OPTIONS": {} if redis else {"MAX_ENTRIES": 10_000}}},
        REALTIME_TRANSPORTS={
            "default": {"TRANSPORT": memory},
            "skipping": {"TRANSPORT": memory, "SKIP_VACANT": True},
        },
    )
    django.setup()


def measure(alias: str) -> float:
    """Return the median of a publish() in milliseconds."""
    from realtime_drf import Event, publish
    from realtime_drf.transports import transports

    transport: Any = transports[alias]
    event = Event("todo.update", CHANNELS, {"id": 1})
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        publish(event, transport=alias)
        times.append(time.perf_counter() - started)
        assert len(transport.outbox) == 1
        transport.clear()
    return statistics.median(times) * 1000


def count_calls() -> dict[str, int]:
    """Count the calls of the cache that one warm publish() makes."""
    from unittest import mock

    from django.core.cache import caches

    from realtime_drf import Event, publish

    names = ("add", "get", "get_many", "set", "set_many", "delete")
    cache = caches["default"]
    calls = {name: mock.Mock(wraps=getattr(cache, name)) for name in names}
    # LocMem's own get_many() would count as many calls of get().
    calls["get_many"] = mock.Mock(return_value=_known(cache))
    with mock.patch.multiple(cache, **calls):
        publish(Event("todo.update", CHANNELS), transport="skipping")
    return {name: call.call_count for name, call in calls.items() if call.call_count}


def _known(cache: Any) -> dict[str, Any]:
    from realtime_drf.occupancy import occupancies

    return cache.get_many([occupancies["skipping"]._key("heard", name) for name in CHANNELS])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache")
    configure(parser.parse_args().cache)

    from realtime_drf.occupancy import mark_occupied
    from realtime_drf.transports import transports

    mark_occupied(transports["skipping"], CHANNELS)
    without, with_filter = measure("default"), measure("skipping")
    print(f"publish() to {len(CHANNELS)} channels, median of {REPEATS}:")
    print(f"  without SKIP_VACANT  {without:.3f} ms")
    print(f"  with, cache warm     {with_filter:.3f} ms  (+{with_filter - without:.3f} ms)")
    print(f"  calls of the cache   {count_calls()}")


if __name__ == "__main__":
    main()
