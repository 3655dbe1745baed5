"""A NAT gateway between a client and a server, which forgets flows on command."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Literal

from tests.services.process import LOCALHOST, Service

_JOIN_TIMEOUT = 5.0

Answer = Literal["reset", "swallow"]


class Nat(Service):
    """Forward TCP connections to a port of this machine.

    Neither side is notified when a flow is forgotten. What the client sends in it from then on is
    answered with a reset, or with nothing.
    """

    host = LOCALHOST

    def __init__(self, target: int, answer: Answer = "reset") -> None:
        self.target = target
        self.answer = answer
        self.port = 0
        self.flows = 0
        """How many connections there were so far."""
        self._lock = threading.Condition()
        self._answers = 0
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._known: set[socket.socket] = set()

    def start(self) -> None:
        """Listen."""
        self._listener = socket.create_server((self.host, self.port))
        self.port = self._listener.getsockname()[1]
        self._run(self._accept)

    def stop(self) -> None:
        """End all connections and threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            sockets, self._sockets = self._sockets, []
            threads, self._threads = self._threads, []
        for each in (self._listener, *sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(_JOIN_TIMEOUT)
        for each in (self._listener, *sockets):
            each.close()

    def wait_for_answers(self, count: int) -> None:
        """Block until so many pieces of answers were forwarded."""
        with self._lock:
            assert self._lock.wait_for(lambda: self._answers >= count, _JOIN_TIMEOUT)

    def forget(self) -> None:
        """Forget all flows that there are."""
        with self._lock:
            self._known.clear()

    def _run(self, function: object, *args: object) -> None:
        thread = threading.Thread(target=function, args=args, daemon=True)  # type: ignore[arg-type]
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection((self.host, self.target))
            except OSError:
                return
            with self._lock:
                self.flows += 1
                self._sockets += [client, server]
                self._known.add(client)
            self._run(self._forward, client, server, client)
            self._run(self._forward, server, client, client)

    def _forward(self, source: socket.socket, sink: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if client in self._known:
                    sink.sendall(data)
                    if sink is client:
                        with self._lock:
                            self._answers += 1
                            self._lock.notify_all()
                elif source is client and self.answer == "reset":
                    # A lingering time of zero makes close() abort the connection.
                    option = struct.pack("ii", 1, 0)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
                    client.close()
                    return
        if client in self._known:  # an end is forwarded as well
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
