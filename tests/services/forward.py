"""An address that leads to a server, and later to another: as managed services fail over."""

from __future__ import annotations

import contextlib
import socket
import threading

from tests.services.process import LOCALHOST


class Forward:
    """Passes what comes to a port on to the port `target`, for as long as the `with` block lasts.

    Connections that are open stay with the target that they were opened to.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server((LOCALHOST, 0))
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        """Return the address of the Redis behind it."""
        return f"redis://{LOCALHOST}:{self.port}/0"

    def __enter__(self) -> Forward:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((LOCALHOST, self.target))
                self._sockets += [client, server]
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Pass on what one side sends, and that it has ended."""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
