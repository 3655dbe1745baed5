"""Scale: what a message costs with many browsers, and with some that do not read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.figures import Figure, Kind
from benchmarks.load.process import LoadClient, load_client
from benchmarks.rounds import Load, median, median_ratio, play, play_round
from benchmarks.servers import running
from benchmarks.servers.running import Running

DESCRIPTION = __doc__


@dataclass(frozen=True)
class Size:
    """The size of the benchmark."""

    few: Load
    many: Load
    alert: Load
    stalled: Load
    rounds: int


# The same events for few and many browsers, so that as many of them share an iteration of the loop.
# A stalled browser is sent more than the system buffers for a connection, which is about three
# megabytes.
FULL = Size(
    few=Load(browsers=500, events=200),
    many=Load(browsers=5_000, events=200),
    alert=Load(browsers=500, events=600, size=8_000),
    stalled=Load(browsers=500, events=600, size=8_000, stalled=20),
    rounds=9,
)
QUICK = Size(
    few=Load(browsers=10, events=20),
    many=Load(browsers=100, events=20),
    alert=Load(browsers=5, events=600, size=8_000),
    stalled=Load(browsers=5, events=600, size=8_000, stalled=2),
    rounds=1,
)


def measure(*, quick: bool) -> list[Figure]:
    """Return all figures."""
    size = QUICK if quick else FULL
    with load_client() as client:
        return [
            *compare_numbers(client, size),
            *compare_numbers(client, _one_by_one(size), "alone_"),
            *compare_stalled(client, size),
        ]


def _one_by_one(size: Size) -> Size:
    """Return a size in which each event arrives before the next is triggered."""
    few, many = (
        replace(each, under_way=1, events=each.events // 4) for each in (size.few, size.many)
    )
    return replace(size, few=few, many=many)


def compare_numbers(client: LoadClient, size: Size, prefix: str = "") -> Iterator[Figure]:
    """Compare a message's cost with many browsers and with few."""
    with running.ours() as server:
        few, many = play([(server, size.few), (server, size.many)], client, rounds=size.rounds)
    ratio = median_ratio(many, few, lambda played: played.server_cost)
    numbers = f"{size.many.browsers} browsers to {size.few.browsers}"
    way = f"{size.few.under_way} event(s) under way"
    meaning = f"the server's processor a message: {numbers}, {way}"
    yield Figure(f"{prefix}cost_ratio", ratio, 1.5, meaning, Kind.CPU)
    for name, rounds in (("few", few), ("many", many)):
        cost = median(rounds, lambda played: played.server_cost)
        yield Figure(
            f"{prefix}{name}_cpu_us", cost, None, "microseconds of processor a message", Kind.CPU
        )


def compare_stalled(client: LoadClient, size: Size) -> Iterator[Figure]:
    """Compare what the others receive with and without browsers that do not read."""
    with running.ours() as server:
        alert, stalled = play(
            [(server, size.alert), (server, size.stalled)], client, rounds=size.rounds
        )
    ratio = median_ratio(stalled, alert, lambda played: played.rate)
    meaning = f"messages a second of the others, with {size.stalled.stalled} that do not read"
    yield Figure("stalled_ratio", ratio, 0.9, meaning, Kind.WALL, more_is_better=True)
    for name, rounds in (("alert", alert), ("stalled", stalled)):
        rate = median(rounds, lambda played: played.rate)
        meaning = f"messages of {size.alert.size} bytes a second"
        yield Figure(f"{name}_rate", rate, None, meaning, Kind.WALL, more_is_better=True)
    with running.ours() as server:
        usual = _peak(server, client, size.alert)
        held = max(0, _peak(server, client, size.stalled) - usual)
    meaning = "megabytes at most for each that does not read"
    yield Figure("stalled_memory_mb", held / size.stalled.stalled / 1e6, 2.0, meaning, Kind.MEMORY)


def _peak(server: Running, client: LoadClient, load: Load) -> int:
    """Return the peak memory of a round."""
    server.forget_peak()
    play_round(server, client, load)
    return server.peak_memory()
