"""Fan-out: messages a second to many browsers on one channel, beside others that do the same.

With --redis, from two processes that share a channel layer, beside Channels' own way to do it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from benchmarks import fanout_redis
from benchmarks.figures import Figure, Kind, kind_of
from benchmarks.load.process import LoadClient, load_client
from benchmarks.rounds import Load, Round, median, median_ratio, play
from benchmarks.servers import running
from benchmarks.servers.running import Running
from tests.services import soketi

DESCRIPTION = __doc__

Starter = Callable[..., AbstractContextManager[Running]]


@dataclass(frozen=True)
class Size:
    """The size of the benchmark."""

    load: Load
    rounds: int
    idle: int


FULL = Size(Load(browsers=500, events=100), rounds=5, idle=2_000)
QUICK = Size(Load(browsers=20, events=10), rounds=1, idle=50)

WHAT = {
    "ours": "our server",
    "plain": "a Channels consumer a connection",
    "bare": "a loop that sends a ready message",
    "soketi": "soketi",
}


def measure(*, quick: bool, redis: bool = False) -> list[Figure]:
    """Return all figures."""
    if redis:
        return fanout_redis.measure(quick=quick)
    size = QUICK if quick else FULL
    with load_client() as client:
        return [
            *compare_servers(client, size),
            *compare_compressed(client, size),
            *compare_memory(client, size),
        ]


def compare_servers(client: LoadClient, size: Size) -> Iterator[Figure]:
    """Send the same events from each server to the same browsers, uncompressed."""
    starters: list[Starter] = [running.ours, running.plain, running.bare]
    if soketi.unavailable() is None:
        starters.append(running.soketi)
    ours, *others = results = play_all(starters, client, size)
    targets = {"plain": 15.0, "bare": 0.7, "soketi": 1.0}
    for name, rounds in others:
        ratio = median_ratio(ours[1], rounds, lambda played: played.rate)
        meaning = f"messages a second, of {WHAT[name]}"
        yield Figure(f"{name}_ratio", ratio, targets[name], meaning, Kind.WALL, more_is_better=True)
    for name, rounds in results:
        yield from describe(name, rounds)


def compare_compressed(client: LoadClient, size: Size) -> Iterator[Figure]:
    """Compare with permessage-deflate, where each connection compresses by itself."""
    for name, rounds in play_all([running.ours, running.bare], client, size, deflate=True):
        rate = median(rounds, lambda played: played.rate)
        meaning = "messages a second, with permessage-deflate"
        kind = kind_of(name, Kind.WALL)
        yield Figure(f"{name}_deflate_rate", rate, None, meaning, kind, more_is_better=True)


def compare_memory(client: LoadClient, size: Size) -> Iterator[Figure]:
    """Compare the memory of an idle connection."""
    ours, plain, bare = (
        measure_memory(starter, client, size.idle)
        for starter in (running.ours, running.plain, running.bare)
    )
    meaning = f"memory of an idle connection, of {WHAT['plain']}"
    yield Figure("memory_ratio", ours / plain, 1.0, meaning, Kind.MEMORY)
    for name, value in (("ours", ours), ("plain", plain), ("bare", bare)):
        kind = kind_of(name, Kind.MEMORY)
        yield Figure(f"{name}_memory_kb", value / 1e3, None, "kilobytes an idle connection", kind)


def play_all(
    starters: Sequence[Starter], client: LoadClient, size: Size, **options: bool
) -> list[tuple[str, list[Round]]]:
    """Start servers, and return the rounds of each with its name."""
    with ExitStack() as stack:
        servers = [stack.enter_context(starter(**options)) for starter in starters]
        played = play([(server, size.load) for server in servers], client, rounds=size.rounds)
    return [(server.name, rounds) for server, rounds in zip(servers, played, strict=True)]


def describe(name: str, rounds: Sequence[Round]) -> Iterator[Figure]:
    """Yield what one server did, with the processor of both sides."""
    rate, server, client = (
        median(rounds, lambda played: played.rate),
        median(rounds, lambda played: played.server_cost),
        median(rounds, lambda played: played.client_cost),
    )
    wall, cpu = kind_of(name, Kind.WALL), kind_of(name, Kind.CPU)
    meaning = f"messages a second, {WHAT[name]}"
    yield Figure(f"{name}_rate", rate, None, meaning, wall, more_is_better=True)
    yield Figure(f"{name}_cpu_us", server, None, "microseconds of processor a message", cpu)
    meaning = "the same, of the load client"
    yield Figure(f"{name}_client_cpu_us", client, None, meaning, Kind.CONTROL)


def measure_memory(starter: Starter, client: LoadClient, connections: int) -> float:
    """Return the bytes of a connection that only receives, in a new server process."""
    with starter() as server:
        # What the first connections load and cache does not count.
        client.open(connections=20, **server.listening)
        before = server.memory()
        client.open(connections=connections, **server.listening)
        held = server.memory() - before
        client.close()
    return held / connections
