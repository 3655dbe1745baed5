"""The benchmarks run, and what they count holds; times are for readers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def run(name: str) -> tuple[list[str], Any]:
    """Run a benchmark quickly; return the lines of its table, and the object in its last line."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "benchmarks", name, "--quick"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    *table, last = done.stdout.splitlines()
    report = json.loads(last)
    assert report["benchmark"] == name
    return table, report


def test_publish_counts_requests_and_connections() -> None:
    pytest.importorskip("pusher")
    table, report = run("publish")
    assert set(report["targets"]) == {
        "requests_per_100_saves",
        "connections_per_1000_events",
        "publish_to_trigger_ratio",
        "publish_to_serialize_ratio",
        "long_transaction_ratio",
    }
    assert set(report["targets"]) < set(report["figures"])
    assert report["figures"]["requests_per_100_saves"] == 10
    assert report["figures"]["connections_per_1000_events"] == 1
    assert all(value > 0 for value in report["figures"].values())
    # Each target stands beside its figure.
    assert any("requests_per_100_saves" in line and "<= 10" in line for line in table)


def test_auth_counts_queries() -> None:
    _, report = run("auth")
    assert report["targets"] == {
        "many_to_one_ratio": 4,
        "many_to_one_queries": 1,
        "endpoint_to_view_ratio": 1.5,
        "filter_round_trips": 1,
    }
    assert report["figures"]["many_to_one_queries"] == 1
    assert all(value > 0 for value in report["figures"].values())
