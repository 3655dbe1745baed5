"""Figures, how they are taken and how they are shown."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Hold one result. A target is what it should be at most; None is only told."""

    name: str
    value: float
    target: float | None
    meaning: str


def report(benchmark: str, figures: Sequence[Figure]) -> None:
    """Print a table, and all of it as JSON in the last line."""
    print(f"\n{'figure':<32} {'value':>10} {'target':>9}  meaning")
    for figure in figures:
        target = "" if figure.target is None else f"<= {figure.target:g}"
        print(f"{figure.name:<32} {figure.value:>10.4g} {target:>9}  {figure.meaning}")
    values = {figure.name: figure.value for figure in figures}
    targets = {figure.name: figure.target for figure in figures if figure.target is not None}
    print(json.dumps({"benchmark": benchmark, "figures": values, "targets": targets}))


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
