"""Start and stop a server beside the tests, so that it ends with them however they end."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

LOCALHOST = "127.0.0.1"
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


class ServiceError(Exception):
    """A service that could not be started or installed, with its output."""


class Service:
    """Start with a block and stop with it."""

    def start(self) -> None:
        """Start; raise ServiceError when that fails."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop; stopping twice is not an error."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class ServerProcess:
    """A server in a process group of its own, with a folder that is removed when it stops.

    The folder belongs to `user` where one is given (only root may give one). The server's output
    goes to a log in it, which `ServiceError` quotes when the server does not come up.
    """

    def __init__(
        self,
        name: str,
        *,
        user: str | None = None,
        stop_signal: int = signal.SIGTERM,
        grace: float = 3.0,
    ) -> None:
        self.name = name
        self.user = user
        self.credentials = credentials(user)
        self.stop_signal = stop_signal
        self.grace = grace
        self.folder = Path(tempfile.mkdtemp(prefix=f"rt-{name.lower()}-"))
        self.log = self.folder / "output.log"
        self._supervisor: subprocess.Popen[bytes] | None = None
        if user is not None:
            shutil.chown(self.folder, self.credentials["user"], self.credentials["group"])

    def start(
        self,
        command: Sequence[str | Path],
        *,
        ready: Callable[[], bool],
        timeout: float = 20.0,
        env: Mapping[str, str] | None = None,
        inherit: Sequence[int] = (),
    ) -> None:
        """Start the command and return once `ready()` says so; raise ServiceError otherwise.

        It has the open files whose numbers are in `inherit`.
        """
        spec = {
            "command": [str(part) for part in command],
            "credentials": self.credentials,
            "stop_signal": int(self.stop_signal),
            "grace": self.grace,
            "folder": str(self.folder),
            "inherit": list(inherit),
        }
        with self.log.open("ab") as log:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SUPERVISOR), json.dumps(spec)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                # Ctrl-C in the terminal reaches the whole foreground group: stay out of it.
                start_new_session=True,
                pass_fds=inherit,
            )
        deadline = time.monotonic() + timeout
        while not ready():
            # Waiting for the process is the pause between two looks, and ends early if it dies.
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._supervisor.wait(0.02)
                raise self._failure(f"ended with code {code} before it was ready")
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready within {timeout:g} s")

    @property
    def supervisor_pid(self) -> int:
        """The process that the server is a child of."""
        if self._supervisor is None:
            raise ServiceError(f"{self.name} is not running.")
        return self._supervisor.pid

    @property
    def pid(self) -> int:
        """The server's process: of several, the last that was started."""
        return _youngest_descendant(self.supervisor_pid)

    def stop(self) -> None:
        """End the server and all it started, and remove the folder; harmless when repeated."""
        if self._supervisor is not None:
            if self._supervisor.stdin is not None:
                self._supervisor.stdin.close()
            self._supervisor.wait(self.grace + 10)
            self._supervisor = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _failure(self, what: str) -> ServiceError:
        output = self.log.read_text(errors="replace")[-4000:].strip()
        self.stop()
        return ServiceError(f"{self.name} {what}. Its output:\n{output or '(none)'}")


def credentials(user: str | None) -> dict[str, Any]:
    """Return the keywords that make Popen run as `user`; none for None, which needs no root."""
    if user is None:
        return {}
    account = pwd.getpwnam(user)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


class RetriedService(Service):
    """A server on a port that is free when it starts; another process may take it first."""

    attempts = 3
    _server: ServerProcess | None = None

    def stop(self) -> None:
        """Stop the server and forget its data; harmless when repeated."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _retry(self, start_once: Callable[[], None]) -> None:
        for attempt in range(1, self.attempts + 1):
            try:
                start_once()
            except ServiceError:
                if attempt == self.attempts:
                    raise
            else:
                return


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of 127.0.0.1 that nothing uses now; another process may take it meanwhile."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((LOCALHOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port of 127.0.0.1 that refuses connections while the block runs."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as held:
        # Bound without listening: refused, and nobody else can take it meanwhile.
        held.bind((LOCALHOST, 0))
        yield held.getsockname()[1]


def wait_until(condition: Callable[[], object], timeout: float = 5.0) -> None:
    """Block until the condition holds, for what has no event to wait on."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {timeout:g} s")
        time.sleep(0.01)


def accepts_connections(port: int) -> bool:
    """Return whether something listens on this port of 127.0.0.1."""
    try:
        socket.create_connection((LOCALHOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _youngest_descendant(pid: int) -> int:
    """Follow the children of a process to the last one."""
    while True:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = [int(child) for child in file.read().split()]
        if not children:
            return pid
        pid = max(children)
