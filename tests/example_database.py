"""The database of the example, as it is after `migrate` and `seed`, without running them each time.

They run once in a process of the tests, and its tests get copies.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.pages import ROOT
from tests.processes import environment

EXAMPLE = ROOT / "example"


def manage(*args: str, env: Mapping[str, str], stdin: str | None = None) -> str:
    """Run a command of the example with warnings as errors; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *args],
        cwd=EXAMPLE,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def create_database(path: Path, *, is_seeded: bool) -> None:
    """Write a database with all tables, and with the demo's rows or none."""
    shutil.copyfile(_make_template(is_seeded), path)


@functools.cache
def _make_template(is_seeded: bool) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="rt-example-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "board.sqlite3"
    env = environment(EXAMPLE_DATABASE=str(path), REALTIME="memory")
    if is_seeded:
        create_database(path, is_seeded=False)
        manage("seed", env=env)
    else:
        manage("migrate", "--verbosity=0", env=env)
    return path
