"""The fast path to uvicorn's sockets: one write per client and iteration of the event loop.

`send` writes each message by itself, and these system calls are most of the cost of a broadcast to
many clients. uvicorn's WebSocket exposes its transport. With it a message is framed once for all
clients, and the frames of one client in an iteration of the event loop are written at once, joined
once for all clients that receive the same. So a second message for a client in one iteration costs
no more than appending it to a list.

ASGI guarantees none of this. So the fast path is used only where uvicorn has the attributes that it
is known to have, `send` is not wrapped, and the connection is not compressed; otherwise `send` is.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import MutableMapping
from typing import Any, Final

from realtime_drf.logs import Once

UVICORN: Final = "uvicorn.protocols.websockets.websockets_sansio_impl"
"""The module of ``--ws websockets-sansio``, the default of uvicorn since 0.54."""

UVICORN_WEBSOCKETS: Final = "uvicorn.protocols.websockets."
"""The package of uvicorn's WebSocket implementations, all of which expose their transport."""

WITHOUT_FAST_PATH: Final = (
    "uvicorn.protocols.websockets.websockets_impl",
    "uvicorn.protocols.websockets.wsproto_impl",
)
"""Implementations of uvicorn that are known to have no fast path."""

SERVERS: Final = ("uvicorn.", "daphne.", "hypercorn.")
"""Servers whose own `send` neither uses the current task nor needs one."""

MAX_BYTES: Final = 65_536
"""Bytes that may be pending for one client before they are written early."""

_TEXT: Final = 0x81


class TextMessage(dict[str, Any]):
    """An ASGI message that sends text, and the same text as a WebSocket frame."""

    __slots__ = ("_frame",)

    def __init__(self, text: str) -> None:
        super().__init__(type="websocket.send", text=text)
        self._frame = b""

    @property
    def frame(self) -> bytes:
        """Return the frame, which is made on first access."""
        if not self._frame:
            self._frame = encode(self["text"])
        return self._frame


class FlushScheduler:
    """The fast paths to flush at the end of an iteration of the event loop."""

    def __init__(self) -> None:
        self._waiting: list[FastPath] = []
        self._size = 0
        self._unknown = Once(
            logging.WARNING,
            "The fast path does not support this version of uvicorn (%s.%s): each message is "
            "written to each client separately, which takes more time.",
        )

    def warn_of_unknown(self, protocol: Any) -> None:
        """Log, once, that uvicorn lacks attributes that the fast path needs."""
        self._unknown.log(type(protocol).__module__, type(protocol).__name__)

    def add(self, fast_path: FastPath) -> None:
        """Schedule a flush of a fast path."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(fast_path)

    def make_room(self, frame: bytes) -> None:
        """Count a frame for many clients; flush all first if too much would be pending."""
        self._size += len(frame)
        if self._size > MAX_BYTES:
            self._flush()
            self._size = len(frame)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._size = 0
        frames: list[bytes] = []
        data = b""
        for fast_path in waiting:
            if fast_path.frames != frames:  # most clients receive the same
                frames = fast_path.frames.copy()
                data = b"".join(frames)
            fast_path.flush(data)


class FastPath:
    """A way to write to one client that bypasses `send`.

    Args:
        protocol: uvicorn's WebSocket.
        scheduler: flushes it.
    """

    __slots__ = ("_protocol", "_scheduler", "_size", "frames")

    def __init__(self, protocol: Any, scheduler: FlushScheduler) -> None:
        self._protocol = protocol
        self._scheduler = scheduler
        self.frames: list[bytes] = []
        """Frames of this event loop iteration; append to them only while there are any."""
        self._size = 0

    def write(self, message: MutableMapping[str, Any]) -> bool:
        """Add a message; or flush, and return False, where the caller has to use `send`.

        That is the case for other messages than text, and if the client does not read or has
        disconnected.
        """
        protocol = self._protocol
        if (
            not isinstance(message, TextMessage)
            or not protocol.writable.is_set()
            or protocol.disconnected
            or protocol.close_sent
        ):
            self.flush()
            return False
        if not self.frames:
            self._scheduler.add(self)
        frame = message.frame
        self.frames.append(frame)
        self._size += len(frame)
        if self._size > MAX_BYTES:
            self.flush()
        return True

    def flush(self, data: bytes | None = None) -> None:
        """Write the frames, unless the connection has been closed meanwhile.

        Args:
            data: the frames, if they are joined already.
        """
        if not self.frames:
            return
        if data is None:
            data = b"".join(self.frames)
        self.frames.clear()
        self._size = 0
        protocol = self._protocol
        if not (protocol.close_sent or protocol.transport.is_closing()):
            # The error of a client that has disconnected must not reach the other clients.
            with contextlib.suppress(OSError, RuntimeError):
                protocol.transport.write(data)


def find_fast_path(send: Any, scheduler: FlushScheduler) -> FastPath | None:
    """Return the fast path of an accepted connection by its `send`; None if there is none."""
    protocol: Any = getattr(send, "__self__", None)
    module = type(protocol).__module__
    if not module.startswith(UVICORN_WEBSOCKETS) or module in WITHOUT_FAST_PATH:
        return None
    if module != UVICORN or not _is_known(protocol):
        scheduler.warn_of_unknown(protocol)
        return None
    is_compressed = bool(protocol.conn.extensions)
    is_closed = protocol.disconnected or protocol.close_sent
    return None if is_compressed or is_closed else FastPath(protocol, scheduler)


def _is_known(protocol: Any) -> bool:
    try:
        return (
            isinstance(protocol.writable, asyncio.Event)
            and isinstance(protocol.disconnected, bool)
            and isinstance(protocol.close_sent, bool)
            and hasattr(protocol.conn, "extensions")
            and hasattr(protocol.transport, "write")
        )
    except AttributeError:
        return False


def is_wrapped(send: Any) -> bool:
    """Return whether a `send` is not, or may not be, the server's own."""
    function = send.func if isinstance(send, functools.partial) else send
    return not type(getattr(function, "__self__", None)).__module__.startswith(SERVERS)


def abort(send: Any) -> None:
    """Abort a connection, and discard what its server has buffered, if the server is uvicorn.

    uvicorn itself closes a connection once its buffer is written, which is never if the client does
    not read.
    """
    protocol: Any = getattr(send, "__self__", None)
    if type(protocol).__module__.startswith(UVICORN_WEBSOCKETS):
        with contextlib.suppress(AttributeError):  # another version
            protocol.transport.abort()


def encode(text: str) -> bytes:
    """Return text as a WebSocket frame of a server: RFC 6455, section 5.2."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((_TEXT, size)) + payload
    if size < 1 << 16:
        return bytes((_TEXT, 126)) + size.to_bytes(2, "big") + payload
    return bytes((_TEXT, 127)) + size.to_bytes(8, "big") + payload
