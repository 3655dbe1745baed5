"""Check files of TypeScript with the compilers that users have."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.services import node

COMPILERS = ("typescript-5.0", "typescript")
"""The oldest and the newest that are supported: packages of tests/node."""

_OPTIONS = ("--strict", "--noEmit", "--skipLibCheck", "--target", "es2022", "--module", "esnext")
_PLACE = re.compile(r"^(\S+?)\((\d+),\d+\): (error TS.*)$", re.MULTILINE)


def find_errors(compiler: str, folder: Path) -> dict[tuple[str, int], str]:
    """Return the errors of the ``.ts`` files of a folder, by the file's name and the line.

    Those in declarations of packages are left out: they are about others that are not installed.
    """
    modules = folder / "node_modules"
    if not modules.exists():
        modules.symlink_to(node.NODE_MODULES)
    done = subprocess.run(
        [
            *("node", str(node.NODE_MODULES / compiler / "bin" / "tsc"), *_OPTIONS),
            *("--moduleResolution", "bundler", "--lib", "es2022,dom"),
            *sorted(path.name for path in folder.glob("*.ts")),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = {(name, int(line)): text for name, line, text in _PLACE.findall(done.stdout)}
    assert bool(found) == bool(done.returncode), done.stdout + done.stderr
    return found
