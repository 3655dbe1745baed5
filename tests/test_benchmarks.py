"""The benchmarks run, and what they count holds; times are for readers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.services import postgres, redis, soketi
from tests.services.policy import require

pytestmark = pytest.mark.end_to_end


def run(name: str, *options: str) -> tuple[list[str], Any]:
    """Run a benchmark quickly; return the lines of its table, and the object in its last line."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "benchmarks", name, "--quick", *options],
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
    assert set(report["kinds"]) == set(report["figures"])
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
        "together_to_alone_ratio",
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


def test_contract_writes_that_of_a_hundred_backends() -> None:
    _, report = run("contract")
    assert report["targets"] == {"contract_seconds": 2, "contract_to_schemas_ratio": 2}
    assert all(value > 0 for value in report["figures"].values())


linux = pytest.mark.skipif(sys.platform != "linux", reason="they read /proc")


@linux
def test_fanout_brings_each_message_of_each_server() -> None:
    pytest.importorskip("channels")
    require("soketi", soketi.unavailable())
    table, report = run("fanout")
    assert report["targets"] == {
        "plain_ratio": 15,
        "bare_ratio": 0.7,
        "soketi_ratio": 1,
        "memory_ratio": 1,
    }
    assert [name for name in report["more_is_better"] if name in report["targets"]] == [
        "plain_ratio",
        "bare_ratio",
        "soketi_ratio",
    ]
    assert any("plain_ratio" in line and ">= 15" in line for line in table)
    assert all(value > 0 for name, value in report["figures"].items() if "_rate" in name)


@linux
def test_fanout_on_redis_asks_it_once_a_batch_for_any_number_of_browsers() -> None:
    pytest.importorskip("channels")
    require("Redis", redis.unavailable())
    _, report = run("fanout", "--redis")
    assert report["targets"] == {"plain_ratio": 4, "commands_ratio": 1}
    assert report["figures"]["commands_ratio"] == 1
    assert report["figures"]["ours_arrived"] == 1


@linux
def test_scale_measures_many_browsers_and_those_that_do_not_read() -> None:
    pytest.importorskip("channels")
    _, report = run("scale")
    assert report["targets"] == {
        "cost_ratio": 1.5,
        "alone_cost_ratio": 1.5,
        "stalled_ratio": 0.9,
        "stalled_memory_mb": 2,
    }
    assert report["more_is_better"] == ["stalled_ratio", "alert_rate", "stalled_rate"]


def test_sources_counts_queries_beside_another_library() -> None:
    pytest.importorskip("djangochannelsrestframework")
    require("PostgreSQL", postgres.unavailable())
    _, report = run("sources")
    assert report["targets"] == {
        "fixed_to_plain": 1.7,
        "moving_to_plain": 2.1,
        "fixed_to_peer": 0.35,
        "bulk_create_to_plain": 2.3,
        "bulk_create_queries": 2,
        "fixed_queries": 1,
        "moving_queries": 101,
        "update_peak_mib": 24,
        "refreshed_queries": 3,
        "refreshed_peak_mib": 24,
        "postgres_fixed_to_plain": 1.3,
        "postgres_moving_to_plain": 1.8,
        "postgres_single_fixed": 2,
        "postgres_single_moving": 2,
    }
    counted = [name for name in report["targets"] if name.endswith("_queries")]
    assert {name: report["figures"][name] for name in counted} == {
        name: report["targets"][name] for name in counted
    }
    assert all(value > 0 for value in report["figures"].values())
