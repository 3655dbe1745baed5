"""A service that is reached through a socket, and transports that keep a connection to it."""

from __future__ import annotations

import json
import os
import socket
import socketserver
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from realtime_drf.events import Event
from realtime_drf.exceptions import TransportUnavailable
from realtime_drf.testing import Received
from realtime_drf.transports.base import BaseTransport


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.server.received.append(Received(*json.loads(line)))  # type: ignore[attr-defined]
            self.wfile.write(b"ok\n")


class LineService:
    """Take a message in each line, over TCP or a Unix socket, and answer each."""

    def __init__(self, family: str, folder: Path) -> None:
        self.received: list[Received] = []
        kind: Any = {
            "tcp": socketserver.ThreadingTCPServer,
            "unix": socketserver.ThreadingUnixStreamServer,
        }[family]
        self._server = kind(("127.0.0.1", 0) if family == "tcp" else str(folder / "s"), _Handler)
        self._server.received = self.received
        self.address = self._server.server_address

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Connected(BaseTransport):
    """A transport that shares its connection with children, which works while they alternate."""

    def __init__(self, *, address: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.address = address
        self.connection: socket.socket | None = None

    def send_batch(self, events: Sequence[Event]) -> None:
        for event in events:
            for channel in event.channels:
                self.post(json.dumps([channel, event.name, event.body]))

    def post(self, line: str) -> None:
        if self.connection is None:
            family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
            self.connection = socket.socket(family)
            self.connection.settimeout(2)
            self.connection.connect(self.address)
        try:
            self.connection.sendall(f"{line}\n".encode())
            if self.connection.recv(3) != b"ok\n":
                raise TransportUnavailable("The answers are mixed up.")
        except OSError as exc:
            raise TransportUnavailable("It does not answer.") from exc

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class TriesAgain(Connected):
    """One that does so, and reconnects once that has failed."""

    def post(self, line: str) -> None:
        try:
            super().post(line)
        except TransportUnavailable:
            self.close()
            super().post(line)


class Reconnects(Connected):
    """One that closes the connection that a child inherits, and opens another."""

    pid = 0

    def post(self, line: str) -> None:
        if self.pid != os.getpid():
            self.pid = os.getpid()
            self.close()
        super().post(line)
