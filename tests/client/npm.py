"""The npm package: build it once a run, and run what is in its folder."""

from __future__ import annotations

import functools
import hashlib
import subprocess
from pathlib import Path

from tests.pages import ROOT
from tests.services import node
from tests.services.policy import require

CLIENT = ROOT / "client"
DIST = CLIENT / "dist"
_LIMIT = 300.0  # seconds


def run(*command: str, cwd: Path = CLIENT, is_checked: bool = True) -> str:
    """Run a command; return what it printed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    assert not is_checked or done.returncode == 0, done.stdout[-20_000:]
    return done.stdout


def need() -> None:
    """Skip the test without npm, or fail where services are required; build the package."""
    require("npm", node.unavailable(CLIENT))
    build()


@functools.cache
def build() -> None:
    """Build the package, unless what is there was built of the same files."""
    stamp = DIST / ".built-of"
    with node.lock(CLIENT):
        if not stamp.is_file() or stamp.read_text() != _read_sources():
            run("node", "build.mjs")
            stamp.write_text(_read_sources())


def _read_sources() -> str:
    files = [path for path in CLIENT.glob("*") if path.is_file()] + [*(CLIENT / "src").iterdir()]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()
