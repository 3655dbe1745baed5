"""A client that sends frames of WebSocket as fast as it is allowed to, and reads what comes."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import threading
import time
from types import TracebackType
from typing import Final, Self

MASK: Final = bytes(4)
PAUSE: Final = 0.01


def frame(text: str) -> bytes:
    """Return a short text as a frame that a client sends."""
    payload = text.encode()
    assert len(payload) < 126
    return bytes((0x81, 0x80 | len(payload))) + MASK + payload


class Flooder:
    """A client that sends one frame repeatedly while the `with` block runs.

    Args:
        port, key: of the server.
        text: of the frame.
        bytes_per_second: at most; fewer, if the server takes no more.
    """

    def __init__(
        self, *, port: int, key: str, text: str = "[", bytes_per_second: int = 1_000_000
    ) -> None:
        self._address = ("127.0.0.1", port)
        self._path = f"/app/{key}?protocol=7"
        self._frame = frame(text)
        self._rate = bytes_per_second
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._send, self._drain)
        ]
        self.sent = 0
        """Bytes that the server has taken."""

    def __enter__(self) -> Self:
        self._socket = socket.create_connection(self._address, timeout=20)
        self._shake_hands()
        self._socket.settimeout(0.2)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def _send(self) -> None:
        data = self._frame * (self._rate // len(self._frame))
        last, allowed = time.monotonic(), 0.0
        while not self._is_over.wait(PAUSE):
            now = time.monotonic()
            # What the server did not take in time is not made up for.
            allowed, last = min(allowed + (now - last) * self._rate, self._rate / 10), now
            start = self.sent % len(self._frame)
            try:
                sent = self._socket.send(data[start : start + int(allowed)])
            except TimeoutError:
                continue
            except OSError:
                return
            self.sent += sent
            allowed -= sent

    def _drain(self) -> None:
        while not self._is_over.is_set():
            try:
                if not self._socket.recv(1 << 20):
                    return
            except TimeoutError:
                pass
            except OSError:
                return

    def _shake_hands(self) -> None:
        lines = [
            f"GET {self._path} HTTP/1.1",
            f"Host: 127.0.0.1:{self._address[1]}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        received = b""
        while b"connection_established" not in received:
            data = self._socket.recv(4096)
            if not data:
                raise ConnectionError(f"Closed after {received!r}")
            received += data
