"""One connection of a browser: it connects, subscribes, and counts what arrives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from benchmarks.load.frames import (
    CLOSE,
    PING,
    PONG,
    Frame,
    Inflator,
    client_frame,
    client_text,
    count_messages,
    read_frame,
)

# All connections read into one buffer: each is done with it before the next one reads.
_SIZE = 1 << 18
_BUFFER = bytearray(_SIZE)
_VIEW = memoryview(_BUFFER)


class LoadError(Exception):
    """A server that broke the protocol."""


@dataclass
class Tally:
    """A count of the messages of all browsers, with an event for the last expected one."""

    messages: int = 0
    size: int = 0
    expected: int = 0
    on_expected: Callable[[], None] | None = None

    def add(self, messages: int, size: int) -> None:
        self.messages += messages
        self.size += size
        if self.messages >= self.expected and self.on_expected is not None:
            self.on_expected()
            self.on_expected = None


class Browser(asyncio.BufferedProtocol):
    """Connect to a path, subscribe to `channel` if there is one, and count from then on.

    `ready` is done when the server has confirmed that; it fails when the connection ends before.
    """

    def __init__(
        self, tally: Tally, *, host: str, path: str, channel: str | None, deflate: bool
    ) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self.lost = False
        self._tally = tally
        self._request = _upgrade(host, path, deflate)
        self._channel = channel
        self._inflator: Inflator | None = Inflator()
        self._counting = False
        self._upgraded = False
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._fail("the connection ended")

    def get_buffer(self, sizehint: int) -> memoryview:
        if not self._rest:
            return _VIEW
        kept = len(self._rest)
        if kept == _SIZE:
            raise LoadError(f"a frame of more than {_SIZE} bytes")
        _BUFFER[:kept] = self._rest
        return _VIEW[kept:]

    def buffer_updated(self, size: int) -> None:
        end = len(self._rest) + size
        start = 0 if self._upgraded else self._read_response(end)
        while start < end:
            if self._counting:
                messages, start = count_messages(_BUFFER, start, end)
                self._tally.add(messages, size)
                size = 0
                if start == end:
                    break
            frame = read_frame(_VIEW, start, end)
            if frame is None:
                break
            start = frame.end
            self._take(frame)
        self._rest = bytes(_VIEW[start:end])

    def _read_response(self, end: int) -> int:
        """Return where the answer to the upgrade ends, or the beginning while it has not."""
        head_end = _BUFFER.find(b"\r\n\r\n", 0, end)
        if head_end < 0:
            return 0
        if not _BUFFER.startswith(b"HTTP/1.1 101"):
            self._fail(f"no upgrade: {bytes(_VIEW[: min(head_end, 200)])!r}")
            return end
        self._upgraded = True
        if self._channel is None:
            self._start_counting()
        return head_end + 4

    def _take(self, frame: Frame) -> None:
        assert self.transport is not None
        if frame.opcode == PING:
            self.transport.write(client_frame(PONG, frame.payload))
        elif frame.opcode == CLOSE:
            self._fail(f"closed with {frame.payload!r}")
            self.transport.close()
        elif self._inflator is None:
            self._tally.add(1, 0)  # one too short for the quick look
        else:
            self._subscribe(json.loads(self._inflator.read(frame)))

    def _subscribe(self, message: dict[str, Any]) -> None:
        assert self.transport is not None
        if message["event"] == "pusher:connection_established":
            subscribe = {"event": "pusher:subscribe", "data": {"channel": self._channel}}
            self.transport.write(client_text(json.dumps(subscribe)))
        elif message["event"] == "pusher_internal:subscription_succeeded":
            self._start_counting()
        elif message["event"] == "pusher:error":
            self._fail(f"refused: {message}")

    def _start_counting(self) -> None:
        self._counting = True
        self._inflator = None
        if not self.ready.done():
            self.ready.set_result(None)

    def _fail(self, reason: str) -> None:
        if not self.ready.done():
            self.ready.set_exception(LoadError(reason))


def _upgrade(host: str, path: str, deflate: bool) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        # The sample of the RFC: nobody here looks at what the server makes of it.
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    if deflate:
        # As Chromium offers it.
        lines.append("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
    return "\r\n".join([*lines, "", ""]).encode()
