"""Serve the project `tests.served`, and browsers, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from tests.pages import ROOT
from tests.services.process import LOCALHOST, RetriedService, ServerProcess, free_port

APPLICATION = "tests.served.asgi:application"

COMMANDS: Mapping[str, Sequence[str]] = {
    "uvicorn": [
        "-m",
        "uvicorn",
        "--host",
        "{host}",
        "--port",
        "{port}",
        "--ws-per-message-deflate",
        "false",
        "--log-level",
        "warning",
        "--timeout-graceful-shutdown",
        "3",
        "{application}",
    ],
    "daphne": ["-m", "daphne", "-b", "{host}", "-p", "{port}", "-v", "0", "{application}"],
    "hypercorn": ["-m", "hypercorn", "--workers", "0", "--bind", "{host}:{port}", "{application}"],
    "granian": [
        "-m",
        "granian",
        "--interface",
        "asgi",
        "--host",
        "{host}",
        "--port",
        "{port}",
        "{application}",
    ],
    "runserver": ["-m", "django", "runserver", "--noreload", "--verbosity", "0", "{host}:{port}"],
}
"""What follows the interpreter."""


class AsgiServer(RetriedService):
    """A server that runs while the `with` block does.

    Args:
        name: of the ASGI server, one of `COMMANDS`.
        layers: CHANNEL_LAYERS.
        options: of the transport, besides the credentials.
        settings: the module of the project's settings.
        arguments: of the server, besides those of `COMMANDS`.
        listener: a listening socket that uvicorn inherits, as systemd hands it over.
    """

    host = LOCALHOST

    def __init__(
        self,
        name: str = "uvicorn",
        *,
        layers: Mapping[str, Any] | None = None,
        settings: str = "tests.served.settings",
        arguments: Sequence[str] = (),
        listener: socket.socket | None = None,
        **options: Any,
    ) -> None:
        self.name = name
        self.app_id = "4242"
        self.key = "served-key"
        self.secret = "served-secret"
        self.port = 0 if listener is None else listener.getsockname()[1]
        self._listener = listener
        self._layers = dict(layers or {})
        self._settings = settings
        self._arguments = list(arguments)
        self.options = {
            "app_id": self.app_id,
            "key": self.key,
            "secret": self.secret,
            **options,
        }

    @property
    def env(self) -> dict[str, str]:
        """What another process of the same project has in its environment."""
        return {
            "DJANGO_SETTINGS_MODULE": self._settings,
            "SERVED_LAYERS": json.dumps(self._layers),
            "SERVED_OPTIONS": json.dumps(self.options),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    @property
    def pid(self) -> int:
        """The process that serves: of several, the last that was started."""
        return self._running.pid

    @property
    def log(self) -> str:
        """What the server has printed."""
        return self._running.log.read_text(errors="replace")

    def start(self) -> None:
        """Start the server; raise ServiceError when that fails."""
        self._retry(self._start_once)

    def kill(self) -> None:
        """End the process at once, as the system does when memory is short."""
        self.signal(signal.SIGKILL)
        self.stop()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process that serves."""
        os.kill(self.pid, number)

    def publish(self, *events: Mapping[str, Any], path: str = "publish") -> None:
        """Publish events from a view of the served project."""
        self._post(path, json.dumps(events))

    def disconnect_user(self, user_id: str) -> None:
        """End a user's connections from a view of the served project."""
        self._post("disconnect", user_id)

    def _post(self, path: str, body: str) -> None:
        url = f"http://{self.host}:{self.port}/{path}/"
        urllib.request.urlopen(url, data=body.encode(), timeout=20).close()

    @property
    def _running(self) -> ServerProcess:
        if self._server is None:
            raise RuntimeError("The server is not running.")
        return self._server

    def _start_once(self) -> None:
        server = ServerProcess(self.name, grace=5.0)
        port = self.port or free_port()
        places = {"host": self.host, "port": port, "application": APPLICATION}
        parts = [part.format(**places) for part in COMMANDS[self.name]]
        inherit = [] if self._listener is None else [self._listener.fileno()]
        options = [*self._arguments, *(f"--fd={number}" for number in inherit)]
        arguments = [*parts[:-1], *options, parts[-1]]  # the application is the last
        try:
            server.start(
                [sys.executable, *arguments],
                ready=lambda: _answers(port),
                timeout=40,
                env=self.env,
                inherit=inherit,
            )
        except BaseException:
            server.stop()
            raise
        self.port = port
        self._server = server


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOCALHOST}:{port}/alive/", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
