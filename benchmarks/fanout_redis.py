"""Fan-out from two processes on one Redis: see `benchmarks.fanout`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import redis

from benchmarks.figures import Figure
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
    """Let both send the same events, each from two processes with half of the browsers."""
    options: dict[str, Any] = {"processes": _PROCESSES, "redis": service.url}
    with running.ours(**options) as ours, running.plain(**options) as plain:
        played = play([(ours, load), (plain, load)], client, rounds=rounds)
    ratio = median_ratio(played[0], played[1], lambda each: each.rate)
    meaning = "messages a second, of a Channels consumer a connection"
    yield Figure("plain_ratio", ratio, 4.0, meaning, at_least=True)
    for name, each in zip(("ours", "plain"), played, strict=True):
        yield from _tell(name, each)


def _tell(name: str, rounds: Sequence[Round]) -> Iterator[Figure]:
    values: dict[str, tuple[Callable[[Round], float], str]] = {
        "rate": (lambda each: each.rate, "messages a second from both processes"),
        "cpu_us": (lambda each: each.server_cost, "microseconds of processor a message, both"),
        "client_cpu_us": (lambda each: each.client_cost, "the same, of the load client"),
        "arrived": (lambda each: each.arrived, "part of the messages that was not dropped"),
    }
    for unit, (value, meaning) in values.items():
        yield Figure(f"{name}_{unit}", median(rounds, value), None, meaning)


def count_commands(service: Redis, client: LoadClient, load: Load) -> Iterator[Figure]:
    """Count what Redis is asked for each hand-over, with few and many browsers and channels.

    Nodes ask by themselves too, once a second. What they ask of their own accord is seen while
    nothing is published, and counted apart: it must not become more while something is.
    """
    few = Load(browsers=_PROCESSES, events=load.events)
    spread = replace(load, channels=load.browsers // 10)
    with (
        running.ours(processes=_PROCESSES, redis=service.url) as server,
        redis.Redis.from_url(service.url) as connection,
    ):
        beats, idle_seconds = _count(connection, server, client, replace(few, events=0))
        counts = []
        asked = 0.0
        for each in (few, load, spread):
            calls, seconds = _count(connection, server, client, each)
            counts.append(sum(calls[name] for name in calls.keys() - beats) / each.events)
            asked = max(asked, sum(calls[name] for name in calls.keys() & beats) / seconds)
    numbers = f"{few.browsers} to {load.browsers} browsers, 1 to {spread.channels} channels"
    yield Figure("commands_ratio", max(counts) / min(counts), 1.0, f"most to fewest: {numbers}")
    yield Figure("commands_a_handover", max(counts), None, "Redis commands")
    meaning = "Redis commands a second of the nodes by themselves,"
    yield Figure(
        "idle_commands", sum(beats.values()) / idle_seconds, None, f"{meaning} with no event"
    )
    yield Figure("busy_commands", asked, None, f"{meaning} with events, at most")


def _count(
    connection: redis.Redis, server: Running, client: LoadClient, load: Load
) -> tuple[Mapping[str, int], float]:
    """Return how often Redis was asked what, scripts and what they ask included, and the seconds.

    With no events to publish, look on for a while.
    """
    run = {"under_way": 1, "channels": load.channels, **server.publishing}
    client.open(connections=load.browsers, channels=load.channels, **server.listening)
    client.run(events=UNDER_WAY, **run)
    connection.config_resetstat()
    began = time.perf_counter()
    if load.events:
        # One at a time, so that each is a hand-over of its own.
        client.run(events=load.events, **run)
    else:
        time.sleep(_IDLE)
    stats = connection.info("commandstats")
    seconds = time.perf_counter() - began
    client.close()
    return {name: each["calls"] for name, each in stats.items() if name not in _OWN}, seconds


# Seconds for which nothing is published.
_IDLE = 5.0

# What this benchmark asks itself.
_OWN = {"cmdstat_config|resetstat", "cmdstat_info"}
