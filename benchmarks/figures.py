"""Figures, how they are taken and how they are shown."""

from __future__ import annotations

import enum
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


class Kind(enum.Enum):
    """What a figure is made of, which says how much worse than in another commit it may be."""

    CPU = "cpu"
    WALL = "wall"
    PERCENTILE = "percentile"
    MEMORY = "memory"
    COUNT = "count"
    CONTROL = "control"
    """Not of this package: a change shows that the machine has changed."""

    @property
    def limit(self) -> float | None:
        """Return the largest ratio to another commit that is good enough."""
        return _LIMITS.get(self)


_LIMITS = {
    Kind.CPU: 1.05,
    Kind.WALL: 1.15,
    Kind.PERCENTILE: 1.15,
    Kind.MEMORY: 1.15,
    Kind.COUNT: 1.0,
}


def kind_of(server: str, kind: Kind) -> Kind:
    """Return the kind of a figure of one server: those of servers beside ours are controls."""
    return kind if server == "ours" else Kind.CONTROL


@dataclass(frozen=True)
class Figure:
    """One result.

    A target is what it should be at most, or at least where `more_is_better`; None has no target.
    """

    name: str
    value: float
    target: float | None
    meaning: str
    kind: Kind
    more_is_better: bool = False

    @property
    def promise(self) -> str:
        """Return the target with its direction, or nothing."""
        if self.target is None:
            return ""
        return f"{'>=' if self.more_is_better else '<='} {self.target:g}"


def report(benchmark: str, figures: Sequence[Figure]) -> None:
    """Print a table, and all of it as JSON in the last line.

    `more_is_better` in it names the figures whose targets are minima; other targets are maxima.
    """
    print(f"\n{'figure':<32} {'value':>10} {'target':>9}  meaning")
    for figure in figures:
        print(f"{figure.name:<32} {figure.value:>10.4g} {figure.promise:>9}  {figure.meaning}")
    values = {figure.name: figure.value for figure in figures}
    targets = {figure.name: figure.target for figure in figures if figure.target is not None}
    result = {
        "benchmark": benchmark,
        "figures": values,
        "targets": targets,
        "kinds": {figure.name: figure.kind.value for figure in figures},
        "more_is_better": [figure.name for figure in figures if figure.more_is_better],
    }
    print(json.dumps(result))


def side_by_side(
    *functions: Callable[[], object],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Return the median seconds of each function, called in turns after a round to warm up."""
    seconds: list[list[float]] = [[] for _ in functions]
    for number in range(rounds + 1):
        for function, taken in zip(functions, seconds, strict=True):
            start = clock()
            function()
            if number:
                taken.append(clock() - start)
    return [statistics.median(taken) for taken in seconds]
