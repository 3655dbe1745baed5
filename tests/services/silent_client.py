"""A client that subscribes and then reads nothing more, as a suspended laptop does."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from types import TracebackType
from typing import Any, Self


class SilentClient:
    """A WebSocket that is not read any more once it has subscribed."""

    def __init__(self, *, port: int, key: str, channel: str, host: str = "127.0.0.1") -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(20)
        self._socket.connect((host, port))
        self._shake_hands(f"{host}:{port}", f"/app/{key}?protocol=7")
        self._send({"event": "pusher:subscribe", "data": {"channel": channel}})
        self._read_until(b"subscription_succeeded")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def read_to_end(self) -> bytes:
        """Read at last, all there is, until the server closes."""
        received = b""
        try:
            while data := self._socket.recv(65_536):
                received += data
        except (ConnectionError, TimeoutError):
            pass
        return received

    def _shake_hands(self, host: str, path: str) -> None:
        nonce = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {nonce}",
            "Sec-WebSocket-Version: 13",
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._read_until(b"connection_established")

    def _send(self, frame: dict[str, Any]) -> None:
        payload = json.dumps(frame).encode()
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self._socket.sendall(struct.pack("!BB", 0x81, 0x80 | len(payload)) + mask + masked)

    def _read_until(self, words: bytes) -> None:
        received = b""
        while words not in received:
            data = self._socket.recv(4096)
            if not data:
                raise ConnectionError(f"Closed after {received!r}")
            received += data
