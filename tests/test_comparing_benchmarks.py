"""A benchmark is compared with the same in another commit; only its runs are left out here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks import against, comparing
from benchmarks.against import ROOT, CannotCompare
from benchmarks.figures import Kind

KINDS = {"cpu": "cpu", "wall": "wall", "p99": "percentile", "requests": "count", "rate": "wall"}


def result(**figures: float) -> dict[str, Any]:
    """Return the object of a benchmark's last line."""
    return {"figures": figures, "kinds": KINDS, "more_is_better": ["rate"]}


def ratios(pairs: list[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, float]:
    return {each.name: each.ratio for each in comparing.compare(pairs)}


def test_runs_take_turns_and_so_does_who_begins() -> None:
    order: list[str] = []

    def run(tree: str) -> dict[str, Any]:
        order.append(tree)
        return {"tree": tree, "run": len(order)}

    pairs = comparing.run_pairs(lambda: run("here"), lambda: run("there"), pairs=3)
    assert order == ["here", "there", "there", "here", "here", "there"]
    assert [(here["tree"], there["tree"]) for here, there in pairs] == [("here", "there")] * 3
    assert [{here["run"], there["run"]} for here, there in pairs] == [{1, 2}, {3, 4}, {5, 6}]


def test_the_median_of_the_ratios_of_pairs_counts() -> None:
    # The machine is three times as slow in the second pair, which costs the ratio nothing.
    pairs = [
        (result(cpu=11), result(cpu=10)),
        (result(cpu=30), result(cpu=30)),
        (result(cpu=50), result(cpu=10)),
    ]
    assert ratios(pairs) == {"cpu": 1.1}


def test_a_figure_of_which_more_is_better_is_compared_the_other_way_round() -> None:
    assert ratios([(result(rate=50, wall=50), result(rate=100, wall=100))]) == {
        "wall": 0.5,
        "rate": 2,
    }


def test_figures_that_one_tree_does_not_have_are_left_out() -> None:
    pairs = [(result(cpu=1, wall=1), result(cpu=1, gone=1))]
    assert set(ratios(pairs)) == {"cpu"}


def test_a_tree_from_before_there_were_kinds_is_compared_by_ours() -> None:
    assert ratios([(result(rate=50), {"figures": {"rate": 100}, "at_least": []})]) == {"rate": 2}


def test_nothing_in_both_trees_is_equal_and_something_here_alone_is_worse(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pairs = [(result(requests=0, wall=1), result(requests=0, wall=0))]
    comparisons = comparing.compare(pairs)
    assert not comparing.report_comparison("x", "abc", comparisons)
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["ratios"] == {"requests": 1, "wall": None}
    assert printed["missed"] == ["wall"]


@pytest.mark.parametrize(
    ("kind", "limit"), [("cpu", 1.05), ("wall", 1.15), ("percentile", 1.15), ("count", 1.0)]
)
def test_a_ratio_above_the_limit_of_its_kind_is_missed(kind: str, limit: float) -> None:
    assert comparing.Comparison("x", Kind(kind), [limit]).is_met
    assert not comparing.Comparison("x", Kind(kind), [limit + 0.001]).is_met


def test_what_is_not_of_this_package_misses_no_limit() -> None:
    assert comparing.Comparison("x", Kind.CONTROL, [9.0]).is_met


def test_the_last_line_is_json_and_the_table_has_kinds_and_limits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    comparisons = [
        comparing.Comparison("publish_us", Kind.CPU, [1.0, 1.01, 1.04]),
        comparing.Comparison("rate", Kind.WALL, [1.0, 1.2, 1.3]),
    ]
    assert not comparing.report_comparison("publish", "abc", comparisons)
    *table, last = capsys.readouterr().out.splitlines()
    assert json.loads(last) == {
        "benchmark": "publish",
        "against": "abc",
        "ratios": {"publish_us": 1.01, "rate": 1.2},
        "kinds": {"publish_us": "cpu", "rate": "wall"},
        "missed": ["rate"],
        "met": False,
    }
    assert table[-2].split()[:4] == ["publish_us", "cpu", "1.010", "1.05"]
    assert table[-1].split()[:4] == ["rate", "wall", "1.200", "1.15"]
    assert "MISSED" in table[-1]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a repository with one commit, in the place of this one."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "file.txt").write_text("there")
    for command in (
        ["init", "--quiet"],
        ["add", "."],
        ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "-m", "One"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    monkeypatch.setattr(against, "ROOT", folder)
    return folder


def worktrees(repository: Path) -> int:
    listed = subprocess.run(
        ["git", "worktree", "list"], cwd=repository, check=True, capture_output=True, text=True
    )
    return len(listed.stdout.splitlines())


@pytest.mark.parametrize("error", [KeyboardInterrupt, CannotCompare])
def test_a_worktree_is_removed_whatever_ends_the_comparison(
    repository: Path, tmp_path: Path, error: type[BaseException]
) -> None:
    folder = tmp_path / "tree"
    with pytest.raises(error), against.worktree(against.resolve("HEAD"), folder):
        assert (folder / "file.txt").read_text() == "there"
        assert worktrees(repository) == 2
        raise error
    assert not folder.exists()
    assert worktrees(repository) == 1


@pytest.mark.parametrize("ref", ["no-such-branch", "--all", ""])
def test_an_unknown_ref_is_named(repository: Path, ref: str) -> None:
    with pytest.raises(CannotCompare, match=f"git finds no commit {ref!r}"):
        against.resolve(ref)


def test_a_benchmark_that_fails_is_shown_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "benchmarks.py").write_text("raise SystemExit('no such figure')")
    with pytest.raises(CannotCompare, match="benchmarks publish failed:\nno such figure"):
        against.run(Path(sys.executable), tmp_path, "publish", [])


def test_a_benchmark_without_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "benchmarks.py").write_text("print('1.0')\nprint('done')\n")
    with pytest.raises(CannotCompare, match=r"The benchmark publish of .* ends in no line of JSON"):
        against.run(Path(sys.executable), tmp_path, "publish", [])


@pytest.mark.end_to_end
def test_the_command_says_that_a_ref_is_unknown() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "publish", "--against", "no-such-branch"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--against: git finds no commit 'no-such-branch'" in done.stderr
    assert done.stdout == ""
