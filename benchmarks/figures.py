"""Figures, how they are taken and how they are shown."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Hold one result.

    A target is what it should be at most, or at least where `at_least` says so; None is only told.
    """

    name: str
    value: float
    target: float | None
    meaning: str
    at_least: bool = False

    @property
    def promise(self) -> str:
        """Return the target with its direction, or nothing."""
        if self.target is None:
            return ""
        return f"{'>=' if self.at_least else '<='} {self.target:g}"


def report(benchmark: str, figures: Sequence[Figure]) -> None:
    """Print a table, and all of it as JSON in the last line.

    `at_least` in it names the targets that are minima; the others are maxima.
    """
    print(f"\n{'figure':<32} {'value':>10} {'target':>9}  meaning")
    for figure in figures:
        print(f"{figure.name:<32} {figure.value:>10.4g} {figure.promise:>9}  {figure.meaning}")
    values = {figure.name: figure.value for figure in figures}
    targets = {figure.name: figure.target for figure in figures if figure.target is not None}
    at_least = [figure.name for figure in figures if figure.at_least]
    result = {"benchmark": benchmark, "figures": values, "targets": targets, "at_least": at_least}
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
