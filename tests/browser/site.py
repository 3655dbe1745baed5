"""The example as `make demo` serves it, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.example_database import create_database, manage
from tests.pages import ROOT
from tests.processes import Server, environment
from tests.services import node
from tests.services.process import LOCALHOST, Service, free_port

SERVE = (
    "-m uvicorn --app-dir example example.asgi:application --host 127.0.0.1 "
    "--ws-per-message-deflate false --timeout-graceful-shutdown 3 --log-level warning"
)
"""Python's arguments; a test compares them with the Makefile."""

EXPECTED = (
    "todo.",
    "Forbidden: ",
    "Bad Request: ",
    "Not Found: ",
    "Another process on this machine serves browsers",
)
"""How lines start that are no complaint: the events of the console, what tests do wrong, and that
the example is served by tests beside them too."""

PUSHER_JS = node.NODE_MODULES / "pusher-js" / "dist" / "web"


class Site(Service):
    """Run the example on one port, also after a restart, with the database of the demo."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.env = environment(
            EXAMPLE_DATABASE=str(folder / "board.sqlite3"),
            EXAMPLE_PUSHER_JS=str(PUSHER_JS),
            PYTHONUNBUFFERED="1",
        )
        self.env.update(variables)
        self.port = free_port()
        self.url = f"http://{LOCALHOST}:{self.port}/"
        self._server: Server | None = None
        create_database(folder / "board.sqlite3", is_seeded=True)

    def manage(self, *args: str) -> str:
        """Run a command of the example, in another process than the server's."""
        # Not over the transport of the server, to which other processes may have no way.
        return manage(*args, env={**self.env, "REALTIME": "memory"})

    def start(self) -> None:
        process = subprocess.Popen(
            [sys.executable, *SERVE.split(), "--port", str(self.port)],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._server = Server(process, f"{LOCALHOST}:{self.port}")
        self._server.wait_until_ready()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.stop()
        complaints = [line for line in server.lines if not line.startswith(EXPECTED)]
        assert not complaints, "\n".join(complaints)
