"""The benchmarks run, and what they count holds; times are for readers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def test_publish_counts_requests_and_connections() -> None:
    pytest.importorskip("pusher")
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "benchmarks", "publish", "--quick"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    *table, last = run.stdout.splitlines()
    report = json.loads(last)
    assert report["benchmark"] == "publish"
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
