"""Find Node and install the packages that tests run with it."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.process import ServiceError

NODE_FOLDER = Path(__file__).resolve().parent.parent / "node"
NODE_MODULES = NODE_FOLDER / "node_modules"
_INSTALL_TIMEOUT = 300.0


@functools.cache
def version() -> int | None:
    """Return Node's major version, or None if it is not installed."""
    if shutil.which("node") is None:
        return None
    done = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    major = done.stdout.strip().removeprefix("v").partition(".")[0]
    return int(major) if major.isdigit() else None


@functools.cache
def unavailable(folder: Path = NODE_FOLDER) -> str | None:
    """Return why the packages cannot be used here, or None; install them where they are missing."""
    if version() is None:
        return "node is not installed"
    try:
        install(folder)
    except ServiceError as error:
        return str(error)
    return None


def install(folder: Path = NODE_FOLDER) -> None:
    """Install the packages of a folder, unless they are; raise ServiceError when npm fails."""
    if _is_installed(folder):
        return
    if shutil.which("npm") is None:
        raise ServiceError("npm is not installed")
    with lock(folder):
        # Another process may have done it while this one waited for the lock.
        if not _is_installed(folder):
            _npm_install(folder)
            _stamp(folder).write_text(_wanted(folder))


def _npm_install(folder: Path) -> None:
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        raise ServiceError(f"npm install took longer than {_INSTALL_TIMEOUT:g} s") from expired
    if done.returncode != 0:
        raise ServiceError(f"npm install failed: {done.stderr.strip()[-2000:]}")


def _stamp(folder: Path) -> Path:
    return folder / "node_modules" / ".installed-for"


def _is_installed(folder: Path) -> bool:
    return _stamp(folder).is_file() and _stamp(folder).read_text() == _wanted(folder)


def _wanted(folder: Path) -> str:
    # Packages that were installed for another package.json are as good as none.
    return hashlib.sha256((folder / "package.json").read_bytes()).hexdigest()


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes; the system releases the lock of a killed one."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
