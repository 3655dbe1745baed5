"""The same benchmark in another commit: a worktree and an environment of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.comparing import compare, report_comparison, run_pairs

ROOT = Path(__file__).parents[1]


class CannotCompare(Exception):
    """A commit that is not there, or a tree in which the benchmark does not run."""


def compare_with(ref: str, name: str, options: Sequence[str]) -> bool:
    """Compare a benchmark here with the same at `ref`; return whether all limits are met.

    Raises:
        CannotCompare: there is no such commit, or one of the two trees does not run it.
    """
    commit = resolve(ref)
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        worktree(commit, Path(folder) / "tree") as tree,
    ):
        print(f"Installing {ref} ({commit[:10]}) ...", flush=True)
        python = make_environment(tree, Path(folder) / "environment")
        pairs = run_pairs(
            lambda: run(Path(sys.executable), ROOT, name, options),
            lambda: run(python, tree, name, options),
        )
    comparisons = compare(pairs)
    if not comparisons:
        raise CannotCompare(f"{name} has no figure in common with {ref}.")
    return report_comparison(name, commit, comparisons)


def resolve(ref: str) -> str:
    """Return the commit that a ref names."""
    try:
        return _call(
            "git", "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}"
        ).strip()
    except CannotCompare as exc:
        raise CannotCompare(
            f"git finds no commit {ref!r} in {ROOT}: name a branch, a tag or a commit of this "
            f"repository. {exc}"
        ) from exc


@contextmanager
def worktree(commit: str, folder: Path) -> Iterator[Path]:
    """Check a commit out into a folder for as long as the block lasts."""
    try:
        _call("git", "worktree", "add", "--quiet", "--detach", str(folder), commit)
        yield folder
    finally:
        # Also what a Ctrl-C has left half made.
        subprocess.run(
            ["git", "worktree", "remove", "--force", "--force", folder],
            cwd=ROOT,
            capture_output=True,
            check=False,
        )


def make_environment(tree: Path, folder: Path) -> Path:
    """Install a tree with what `make test` installs, in the versions there are here.

    Returns:
        The environment's Python.
    """
    _call(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    versions = folder / "versions.txt"
    versions.write_text(_call(*pip, "freeze", "--exclude-editable"))
    _call(
        *pip,
        "--python",
        str(python),
        "install",
        "--quiet",
        "--constraint",
        str(versions),
        "--editable",
        ".[all]",
        "--group",
        "test",
        cwd=tree,
    )
    return python


def run(python: Path, tree: Path, name: str, options: Sequence[str]) -> Mapping[str, Any]:
    """Run the benchmark of a tree, and return the object in its last line."""
    lines = _call(str(python), "-m", "benchmarks", name, *options, cwd=tree).splitlines()
    try:
        result: Mapping[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError) as exc:
        raise CannotCompare(f"The benchmark {name} of {tree} ends in no line of JSON.") from exc
    return result


def _call(*command: str, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd or ROOT, capture_output=True, text=True, check=False)
    except OSError as exc:
        raise CannotCompare(f"{command[0]} cannot be run: {exc}") from exc
    if done.returncode:
        raise CannotCompare(f"{' '.join(command)} failed:\n{done.stderr.strip()[-2000:]}")
    return done.stdout
