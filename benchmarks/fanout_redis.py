"""Fan-out from two processes on one Redis: see `benchmarks.fanout`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    """Count what Redis is asked for each hand-over, with few and many browsers and channels."""
    few = Load(browsers=_PROCESSES, events=load.events)
    spread = replace(load, channels=load.browsers // 10)
    with running.ours(processes=_PROCESSES, redis=service.url) as server:
        counts = [_count(service, server, client, each) for each in (few, load, spread)]
    numbers = f"{few.browsers} to {load.browsers} browsers, 1 to {spread.channels} channels"
    yield Figure("commands_ratio", max(counts) / min(counts), 1.0, f"most to fewest: {numbers}")
    yield Figure("commands_a_handover", max(counts), None, "Redis commands")


def _count(service: Redis, server: Running, client: LoadClient, load: Load) -> float:
    run = {"under_way": 1, "channels": load.channels, **server.publishing}
    client.open(connections=load.browsers, channels=load.channels, **server.listening)
    client.run(events=UNDER_WAY, **run)
    with redis.Redis.from_url(service.url) as connection:
        connection.config_resetstat()
        # One at a time, so that each is a hand-over of its own.
        client.run(events=load.events, **run)
        stats = connection.info("commandstats")
    client.close()
    calls: int = sum(each["calls"] for name, each in stats.items() if name not in _OWN)
    return calls / load.events


# What this benchmark asks itself.
_OWN = {"cmdstat_config|resetstat", "cmdstat_info"}
