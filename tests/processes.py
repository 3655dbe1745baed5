"""Projects in processes of their own: their environment, and a server and what it prints."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.pages import ROOT
from tests.services.process import LOCALHOST, free_port, wait_until

SECONDS = 30
OURS = ("ABLY_", "DJANGO_", "PYTEST_", "PUSHER_", "REALTIME")


def environment(**variables: str) -> dict[str, str]:
    """Return an environment that finds this package, and holds no settings but those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **variables}


class Server:
    """Read the lines of a server that runs `manage.py runserver`."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process, self.address = process, address
        self.lines: list[str] = []
        self._queue: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, start: str) -> str:
        """Return the next line that starts so."""
        deadline = time.monotonic() + SECONDS
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self._queue.get(timeout=left)
            except queue.Empty:
                break
            if line.startswith(start):
                return line
        raise AssertionError(f"No line starts with {start!r}:\n" + "\n".join(self.lines))

    def wait_until_ready(self) -> None:
        """Wait until it answers."""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self.process.poll() is not None or self._answers(), SECONDS)
        if self.process.poll() is not None or not self._answers():
            raise AssertionError("The server does not answer:\n" + "\n".join(self.lines))

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/api/", timeout=SECONDS):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def stop(self) -> None:
        """Stop it with all that it has started."""
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(timeout=SECONDS)
        self._reader.join(timeout=SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._queue.put(line.rstrip("\n"))


RUNSERVER = "-W error manage.py runserver --noreload {host}:{port}"
UVICORN = (
    "-m uvicorn {application} --host {host} --port {port} --ws-per-message-deflate false "
    "--timeout-graceful-shutdown 3 --log-level warning"
)
"""What Python is told."""


@contextmanager
def run_server(
    project: Path, *, env: Mapping[str, str], command: str = RUNSERVER, **places: str
) -> Iterator[Server]:
    """Serve a project on a free port; stop the server in the end."""
    port = free_port()
    address = f"{LOCALHOST}:{port}"
    process = subprocess.Popen(
        [sys.executable, *command.format(host=LOCALHOST, port=port, **places).split()],
        cwd=project,
        env={**env, "PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    server = Server(process, address)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()
