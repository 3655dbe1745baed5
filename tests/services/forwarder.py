"""Forward TCP connections, now to one server and now to another: an address that outlives both."""

from __future__ import annotations

import contextlib
import socket
import threading

from tests.services.process import LOCALHOST, Service


class Forwarder(Service):
    """Listen on a port of 127.0.0.1 and forward to the port `target`, while the block lasts.

    Where `target` is set, connections that are open stay with the one that they were opened to.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.target = target
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    @property
    def redis_url(self) -> str:
        """Return the address of the Redis behind it."""
        return f"redis://{LOCALHOST}:{self.port}/0"

    def start(self) -> None:
        """Listen."""
        self._listener = socket.create_server((LOCALHOST, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def stop(self) -> None:
        """Close all connections."""
        if self._listener is not None:
            # Closing alone does not wake the thread that accepts.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self._close_all()

    def switch(self, target: int) -> None:
        """Close all connections, and forward new ones to another port."""
        self.target = target
        self._close_all()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                try:
                    server = socket.create_connection((LOCALHOST, self.target))
                except OSError:
                    client.close()
                    continue
                with self._lock:
                    self._open |= {client, server}
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        self._close(source, sink)

    def _close_all(self) -> None:
        with self._lock:
            sockets = tuple(self._open)
        self._close(*sockets)

    def _close(self, *sockets: socket.socket) -> None:
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        with self._lock:
            self._open -= set(sockets)
