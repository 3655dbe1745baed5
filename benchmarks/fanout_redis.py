"""Fan-out from two processes on one Redis: see `benchmarks.fanout`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import redis

from benchmarks.figures import Figure, Kind, kind_of
from benchmarks.load.process import LoadClient, load_client
from benchmarks.rounds import UNDER_WAY, Load, Round, median, median_ratio, play
from benchmarks.servers import running
from benchmarks.servers.running import Running
from tests.services.redis import Redis

_PROCESSES = 2
_FULL = Load(browsers=500, events=100, all_arrive=False)
_QUICK = Load(browsers=20, events=10, all_arrive=False)


def measure(*, quick: bool) -> list[Figure]:
    """Return all figures."""
    load, rounds = (_QUICK, 1) if quick else (_FULL, 5)
    with Redis() as service, load_client() as client:
        return [
            *compare_servers(service, client, load, rounds),
            *count_commands(service, client, load),
        ]


def compare_servers(
    service: Redis, client: LoadClient, load: Load, rounds: int
) -> Iterator[Figure]:
    """Send the same events from both, each in two processes with half of the browsers."""
    options: dict[str, Any] = {"processes": _PROCESSES, "redis": service.url}
    with running.ours(**options) as ours, running.plain(**options) as plain:
        played = play([(ours, load), (plain, load)], client, rounds=rounds)
    ratio = median_ratio(played[0], played[1], lambda each: each.rate)
    meaning = "messages a second, of a Channels consumer a connection"
    yield Figure("plain_ratio", ratio, 4.0, meaning, Kind.WALL, more_is_better=True)
    for name, each in zip(("ours", "plain"), played, strict=True):
        yield from _describe(name, each)


def _describe(name: str, rounds: Sequence[Round]) -> Iterator[Figure]:
    """Yield what the processes of one kind did."""
    rate, server, client, arrived = (
        median(rounds, lambda each: each.rate),
        median(rounds, lambda each: each.server_cost),
        median(rounds, lambda each: each.client_cost),
        median(rounds, lambda each: each.arrived),
    )
    wall, cpu, count = (kind_of(name, kind) for kind in (Kind.WALL, Kind.CPU, Kind.COUNT))
    meaning = "messages a second from both processes"
    yield Figure(f"{name}_rate", rate, None, meaning, wall, more_is_better=True)
    yield Figure(f"{name}_cpu_us", server, None, "microseconds of processor a message, both", cpu)
    meaning = "the same, of the load client"
    yield Figure(f"{name}_client_cpu_us", client, None, meaning, Kind.CONTROL)
    meaning = "part of the messages that was not dropped"
    yield Figure(f"{name}_arrived", arrived, None, meaning, count, more_is_better=True)


def count_commands(service: Redis, client: LoadClient, load: Load) -> Iterator[Figure]:
    """Count the Redis commands of each batch, with few and many browsers and channels.

    Nodes also send commands by timers, once a second. They are recorded while nothing is published,
    and counted separately: publishing must not add to them.
    """
    few = Load(browsers=_PROCESSES, events=load.events)
    spread = replace(load, channels=load.browsers // 10)
    with (
        running.ours(processes=_PROCESSES, redis=service.url) as server,
        redis.Redis.from_url(service.url) as connection,
    ):
        timed, idle_seconds = _count(connection, server, client, replace(few, events=0))
        counts = []
        asked = 0.0
        for each in (few, load, spread):
            calls, seconds = _count(connection, server, client, each)
            counts.append(sum(calls[name] for name in calls.keys() - timed.keys()) / each.events)
            asked = max(asked, sum(calls[name] for name in calls.keys() & timed.keys()) / seconds)
    numbers = f"{few.browsers} to {load.browsers} browsers, 1 to {spread.channels} channels"
    meaning = f"most to fewest: {numbers}"
    yield Figure("commands_ratio", max(counts) / min(counts), 1.0, meaning, Kind.COUNT)
    yield Figure("commands_a_batch", max(counts), None, "Redis commands", Kind.COUNT)
    # They depend on timers, so their number in a second varies.
    meaning = "Redis commands a second of the nodes by themselves,"
    idle = sum(timed.values()) / idle_seconds
    yield Figure("idle_commands", idle, None, f"{meaning} with no event", Kind.WALL)
    yield Figure("busy_commands", asked, None, f"{meaning} with events, at most", Kind.WALL)


def _count(
    connection: redis.Redis, server: Running, client: LoadClient, load: Load
) -> tuple[Mapping[str, int], float]:
    """Return the number of calls of each Redis command, those of scripts included, and the seconds.

    Without events to publish, wait for a while.
    """
    run = {"under_way": 1, "channels": load.channels, **server.publishing}
    client.open(connections=load.browsers, channels=load.channels, **server.listening)
    client.run(events=UNDER_WAY, **run)
    connection.config_resetstat()
    began = time.perf_counter()
    if load.events:
        # One at a time, so that each is a batch of its own.
        client.run(events=load.events, **run)
    else:
        time.sleep(_IDLE)
    stats = connection.info("commandstats")
    seconds = time.perf_counter() - began
    client.close()
    return {name: each["calls"] for name, each in stats.items() if name not in _OWN}, seconds


# Seconds for which nothing is published.
_IDLE = 5.0

# The commands of this benchmark.
_OWN = {"cmdstat_config|resetstat", "cmdstat_info"}
