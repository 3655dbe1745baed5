"""Rounds of events that servers send to many browsers, alternating between servers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.load.events import SIZE
from benchmarks.load.process import Arrivals, LoadClient
from benchmarks.servers.running import Running

#: Triggers in flight at any time, and those of the warm-up.
UNDER_WAY = 8


@dataclass(frozen=True)
class Round:
    """The result of one round."""

    arrivals: Arrivals
    server_cpu: float

    @property
    def rate(self) -> float:
        """Return the messages a second."""
        return self.arrivals.messages / self.arrivals.seconds

    @property
    def arrived(self) -> float:
        """Return the part of the messages that has arrived."""
        return self.arrivals.messages / self.arrivals.expected

    @property
    def server_cost(self) -> float:
        """Return the server's microseconds of processor a message."""
        return self.server_cpu / self.arrivals.messages * 1e6

    @property
    def client_cost(self) -> float:
        """Return the client's microseconds of processor a message."""
        return self.arrivals.client_cpu / self.arrivals.messages * 1e6


@dataclass(frozen=True)
class Load:
    """The load of one round."""

    browsers: int
    events: int
    #: Bytes of an event's data.
    size: int = SIZE
    #: Channels of an event, among which the browsers are spread.
    channels: int = 1
    #: Additional browsers that do not read.
    stalled: int = 0
    all_arrive: bool = True
    #: Triggers in flight at any time.
    under_way: int = UNDER_WAY


def play_round(server: Running, client: LoadClient, load: Load) -> Round:
    """Open new connections, warm up, and measure."""
    client.open(
        connections=load.browsers + load.stalled,
        stalled=load.stalled,
        channels=load.channels,
        **server.listening,
    )
    run = {
        "size": load.size,
        "channels": load.channels,
        "under_way": load.under_way,
        **server.publishing,
    }
    try:
        client.run(events=UNDER_WAY, **run)
        before = server.cpu_seconds()
        arrivals = client.run(events=load.events, **run)
        used = server.cpu_seconds() - before
    finally:
        client.close()
    assert not arrivals.lost, f"{server.name} closed {arrivals.lost} connections"
    if load.all_arrive:
        assert arrivals.messages == arrivals.expected, f"{server.name}: {arrivals}"
    return Round(arrivals, used)


def play(
    players: Sequence[tuple[Running, Load]], client: LoadClient, *, rounds: int
) -> list[list[Round]]:
    """Return the rounds of each player, played in turns."""
    played: list[list[Round]] = [[] for _ in players]
    for _ in range(rounds):
        for (server, load), results in zip(players, played, strict=True):
            results.append(play_round(server, client, load))
    return played


def median(rounds: Sequence[Round], value: Callable[[Round], float]) -> float:
    """Return the median of a value over rounds."""
    return statistics.median(map(value, rounds))


def median_ratio(
    ours: Sequence[Round], theirs: Sequence[Round], value: Callable[[Round], float]
) -> float:
    """Return the median ratio of ours to theirs in the same round: noise affects both."""
    return statistics.median(
        value(mine) / value(other) for mine, other in zip(ours, theirs, strict=True)
    )
