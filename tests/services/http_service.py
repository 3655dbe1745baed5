"""An HTTP/1.1 server in the test process, which counts requests and fails on command.

A stand-in for a vendor's API subclasses `HttpService` and answers in `respond()`. The server is
real: kept, refused and aborted connections are seen by the caller's own HTTP client.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator

from tests.services.faults import Fault, Slow
from tests.services.http_connection import Answer, Connection, Request
from tests.services.process import LOCALHOST, Service

_JOIN_TIMEOUT = 5.0


class HttpService(Service):
    """A server on a port of 127.0.0.1 while the `with` block runs."""

    host = LOCALHOST

    def __init__(self) -> None:
        self.port = 0
        #: Held for every change of state, and notified after it.
        self.changed = threading.Condition(threading.RLock())
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._serving: dict[socket.socket, threading.Thread] = {}
        self._slow: set[Slow] = set()
        self._faults: deque[Fault] = deque()
        self._requests: list[Request] = []
        self._connections = 0

    def respond(self, request: Request) -> Answer:
        """Return the answer to a request; called in a thread of its connection."""
        raise NotImplementedError

    def converse(self, request: Request, connection: socket.socket) -> None:
        """Serve WebSocket until it closes; by default close the connection."""

    @property
    def url(self) -> str:
        """Return the address of the server, without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """Return every request so far, in the order of arrival."""
        with self.changed:
            return list(self._requests)

    @property
    def connections(self) -> int:
        """Return how many TCP connections were accepted so far."""
        with self.changed:
            return self._connections

    def fail_next(self, fault: Fault, times: int = 1) -> None:
        """Make the next request fail that way, after earlier faults; each affects one request."""
        with self.changed:
            self._faults.extend([fault] * times)

    def wait_for(self, condition: Callable[[], object], timeout: float = 5.0) -> None:
        """Block until the condition holds, looking whenever something arrived."""
        with self.changed:
            if not self.changed.wait_for(condition, timeout):
                raise AssertionError(f"not within {timeout:g} s; arrived: {self._requests}")

    def reset(self) -> None:
        """Forget requests, faults and counts; connections stay open."""
        with self.changed:
            self._faults.clear()
            self._requests.clear()
            self._connections = 0

    # The life of the server

    def start(self) -> None:
        """Listen, on the port had before if there was one."""
        listener = self._bind()
        self.port = listener.getsockname()[1]
        self._listen(listener)

    def stop(self) -> None:
        """Stop listening and end all connections and threads; harmless when repeated."""
        self._stop_listening()
        with self.changed:
            serving = list(self._serving.items())
            slow, self._slow = self._slow, set()
        for fault in slow:
            fault.release()
        for connection, _ in serving:
            # Wakes the thread which blocks on it; that thread closes it.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for _, thread in serving:
            thread.join(_JOIN_TIMEOUT)

    @contextlib.contextmanager
    def refuse(self) -> Iterator[None]:
        """Close open connections and refuse new ones while the block runs."""
        self.stop()
        # Bound without listening: refused, and nobody else can take the port meanwhile.
        held = self._bind()
        try:
            yield
        finally:
            self._listen(held)

    def _bind(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        return listener

    def _listen(self, listener: socket.socket) -> None:
        listener.listen(128)
        self._listener = listener
        self._accepting = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        self._accepting.start()

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is None:
            return
        # accept() is not woken by closing its socket everywhere; a connection always wakes it.
        with contextlib.suppress(OSError):
            socket.create_connection((self.host, self.port), timeout=1).close()
        if self._accepting is not None:
            self._accepting.join(_JOIN_TIMEOUT)
        listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            if self._listener is not listener:
                connection.close()
                return
            thread = threading.Thread(target=self._serve, args=(connection, address), daemon=True)
            with self.changed:
                self._connections += 1
                self._serving[connection] = thread
                self.changed.notify_all()
            thread.start()

    def _serve(self, connection: socket.socket, address: tuple[str, int]) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A caller that leaves at any moment is what some tests are about.
            with contextlib.suppress(OSError):
                Connection(connection, address, self)
        finally:
            with self.changed:
                self._serving.pop(connection, None)
            connection.close()

    # One request

    def take(self, request: Request) -> Fault | None:
        """Record a request and return the fault that is ordered for it."""
        with self.changed:
            self._requests.append(request)
            fault = self._faults.popleft() if self._faults else None
            if isinstance(fault, Slow):
                self._slow.add(fault)
                if self._listener is None:
                    # Too late for stop() to see it.
                    fault.release()
            self.changed.notify_all()
            return fault
