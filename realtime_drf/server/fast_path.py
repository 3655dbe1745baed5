"""A shortcut to the sockets of uvicorn: what one turn of the event loop has for a client, at once.

Each message that is given to `send` is written by itself, and these system calls are most of what
bringing an event to many clients costs. uvicorn's WebSocket has its transport at hand: here a
message is framed once for all its clients, and what comes for one of them while the loop goes round
once leaves in one write, joined once for all that are given the same. So a second message for a
client in one turn costs no more than to append it to a list.

ASGI promises nothing of this. So the shortcut is taken only where uvicorn looks as it is known to
look, nobody has wrapped `send`, and the client was granted no compression; `send` is for all else.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import MutableMapping
from typing import Any, Final

logger = logging.getLogger("realtime_drf")

UVICORN: Final = "uvicorn.protocols.websockets.websockets_sansio_impl"
"""The module of ``--ws websockets-sansio``, which is what uvicorn takes by itself since 0.54."""

UVICORN_WEBSOCKETS: Final = "uvicorn.protocols.websockets."
"""Where all that speak WebSocket for uvicorn are; each has its transport at hand."""

WITHOUT_FAST_PATH: Final = (
    "uvicorn.protocols.websockets.websockets_impl",
    "uvicorn.protocols.websockets.wsproto_impl",
)
"""Those of uvicorn's modules that are known to have none."""

SERVERS: Final = ("uvicorn.", "daphne.", "hypercorn.")
"""Servers whose own `send` neither asks for the current task nor needs one."""

MAX_BYTES: Final = 65_536
"""Bytes that are pending for one client before they are written anyway, and may then wait."""

_TEXT: Final = 0x81


class TextMessage(dict[str, Any]):
    """An ASGI message that sends text, and the same as a frame of WebSocket."""

    __slots__ = ("_frame",)

    def __init__(self, text: str) -> None:
        super().__init__(type="websocket.send", text=text)
        self._frame = b""

    @property
    def frame(self) -> bytes:
        """Return the frame, which is made when it is first asked for."""
        if not self._frame:
            self._frame = encode(self["text"])
        return self._frame


class FlushScheduler:
    """Flush shortcuts once the event loop has come to the end of its scheduler."""

    def __init__(self) -> None:
        self._waiting: list[FastPath] = []
        self._size = 0
        self._has_warned = False

    def warn_of_unknown(self, protocol: Any) -> None:
        """Log, once, that uvicorn does not look as it is known to look."""
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "This version of uvicorn is not known (%s.%s): each message is written to each "
                "client by itself, which takes more time.",
                type(protocol).__module__,
                type(protocol).__name__,
            )

    def add(self, shortcut: FastPath) -> None:
        """Have a shortcut flushed."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._end)
        self._waiting.append(shortcut)

    def make_room(self, frame: bytes) -> None:
        """Count a frame for many clients, all of which are flushed before it becomes too much."""
        self._size += len(frame)
        if self._size > MAX_BYTES:
            self._end()
            self._size = len(frame)

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._size = 0
        frames: list[bytes] = []
        data = b""
        for shortcut in waiting:
            if shortcut.frames != frames:  # most clients are given the same
                frames = shortcut.frames.copy()
                data = b"".join(frames)
            shortcut.flush(data)


class FastPath:
    """Write to one client past `send`.

    Args:
        protocol: uvicorn's WebSocket.
        scheduler: says when to flush.
    """

    __slots__ = ("_protocol", "_scheduler", "_size", "frames")

    def __init__(self, protocol: Any, scheduler: FlushScheduler) -> None:
        self._protocol = protocol
        self._scheduler = scheduler
        self.frames: list[bytes] = []
        """What this turn has for the client; while there is something, more may be added."""
        self._size = 0

    def write(self, message: MutableMapping[str, Any]) -> bool:
        """Take a message; or have all written that was taken, and return False: `send` has to.

        That is so for what is no text, and while the client does not read or is gone.
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
        """Write what was taken, unless the connection has come to its end meanwhile.

        Args:
            data: all that was taken, if it is at hand.
        """
        if not self.frames:
            return
        if data is None:
            data = b"".join(self.frames)
        self.frames.clear()
        self._size = 0
        protocol = self._protocol
        if not (protocol.close_sent or protocol.transport.is_closing()):
            # Whatever a transport says of a client that is gone is of no concern to the next one.
            with contextlib.suppress(OSError, RuntimeError):
                protocol.transport.write(data)


def find_fast_path(send: Any, scheduler: FlushScheduler) -> FastPath | None:
    """Return the shortcut past the `send` of an accepted connection; None if there is none."""
    protocol: Any = getattr(send, "__self__", None)
    module = type(protocol).__module__
    if not module.startswith(UVICORN_WEBSOCKETS) or module in WITHOUT_FAST_PATH:
        return None
    if module != UVICORN or not _is_known(protocol):
        scheduler.warn_of_unknown(protocol)
        return None
    is_compressed = bool(protocol.conn.extensions)
    is_over = protocol.disconnected or protocol.close_sent
    return None if is_compressed or is_over else FastPath(protocol, scheduler)


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
    """Tell whether a `send` is not, or not for sure, that of a server itself."""
    function = send.func if isinstance(send, functools.partial) else send
    return not type(getattr(function, "__self__", None)).__module__.startswith(SERVERS)


def abort(send: Any) -> None:
    """Cut a connection off, with whatever its server still has for it, if that server is uvicorn.

    uvicorn itself closes a connection once all is written, which is never if nobody reads.
    """
    protocol: Any = getattr(send, "__self__", None)
    if type(protocol).__module__.startswith(UVICORN_WEBSOCKETS):
        with contextlib.suppress(AttributeError):  # another version
            protocol.transport.abort()


def encode(text: str) -> bytes:
    """Return text as a frame of WebSocket that a server sends: RFC 6455, section 5.2."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((_TEXT, size)) + payload
    if size < 1 << 16:
        return bytes((_TEXT, 126)) + size.to_bytes(2, "big") + payload
    return bytes((_TEXT, 127)) + size.to_bytes(8, "big") + payload
