"""Ratios between the figures of two trees, and whether they meet their limits."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Kind

PAIRS = 7

Run = Callable[[], Mapping[str, Any]]
"""Runs a benchmark once in one tree, and returns the object of its last line."""


@dataclass(frozen=True)
class Comparison:
    """The ratios of one figure, a pair of runs each; above 1 is worse than there."""

    name: str
    kind: Kind
    ratios: Sequence[float]

    @property
    def ratio(self) -> float:
        """Return the median."""
        return statistics.median(self.ratios)

    @property
    def is_met(self) -> bool:
        """Return whether the median is within the limit of its kind."""
        return self.kind.limit is None or self.ratio <= self.kind.limit


def run_pairs(
    here: Run, there: Run, pairs: int = PAIRS
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Run both in turns (here, there, there, here, ...); return (here, there) of each pair."""
    results = []
    for number in range(pairs):
        print(f"Pair {number + 1} of {pairs} ...", flush=True)
        if number % 2:
            other = there()
            results.append((here(), other))
        else:
            results.append((here(), there()))
    return results


def compare(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[Comparison]:
    """Return a comparison of each figure that every run has.

    Kinds and directions are those of this tree: an older one may not say them.
    """
    kinds, more_is_better = pairs[0][0]["kinds"], pairs[0][0]["more_is_better"]
    comparisons = []
    for name, kind in kinds.items():
        if not all(name in run["figures"] for pair in pairs for run in pair):
            continue
        values = [(here["figures"][name], there["figures"][name]) for here, there in pairs]
        ratios = [
            _ratio(there, here) if name in more_is_better else _ratio(here, there)
            for here, there in values
        ]
        comparisons.append(Comparison(name, Kind(kind), ratios))
    return comparisons


def report_comparison(benchmark: str, ref: str, comparisons: Sequence[Comparison]) -> bool:
    """Print a table, and all of it as JSON in the last line; return whether all limits are met."""
    print(f"\n{'figure':<32} {'kind':<10} {'ratio':>8} {'limit':>6}  lowest to highest")
    for each in comparisons:
        limit = "" if each.kind.limit is None else f"{each.kind.limit:g}"
        spread = f"{min(each.ratios):.3f} to {max(each.ratios):.3f}"
        mark = "" if each.is_met else "  MISSED"
        print(
            f"{each.name:<32} {each.kind.value:<10} {each.ratio:>8.3f} {limit:>6}  {spread}{mark}"
        )
    is_met = all(each.is_met for each in comparisons)
    result = {
        "benchmark": benchmark,
        "against": ref,
        # JSON has no infinity.
        "ratios": {c.name: c.ratio if math.isfinite(c.ratio) else None for c in comparisons},
        "kinds": {each.name: each.kind.value for each in comparisons},
        "missed": [each.name for each in comparisons if not each.is_met],
        "met": is_met,
    }
    print(json.dumps(result))
    return is_met


def _ratio(value: float, base: float) -> float:
    if value == base:
        return 1.0
    return value / base if base else math.inf
