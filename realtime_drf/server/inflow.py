"""Limits to how much an ASGI server reads from one client at once, where that is possible.

A server parses everything that it has read from a socket before anything else runs, which takes
long if that is many small frames. uvicorn continues to read once those have been handled. daphne
continues at once, and queues them all.

ASGI guarantees none of this. So it is done only where uvicorn and daphne have the attributes that
they are known to have, and no middleware has wrapped uvicorn's `receive` or daphne's `send`; it
affects nothing but timing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
from typing import Any, Final

from realtime_drf.server.fast_path import UVICORN_WEBSOCKETS

READ_BUFFER: Final = 32_768
"""Bytes that the system buffers of one client for uvicorn. With much less, TCP is slow."""

MAX_READ: Final = 4_096
"""Bytes that daphne reads from one client at once. Longer frames arrive in pieces."""

DAPHNE: Final = "daphne."


class Inflow:
    """Control of what a server reads from one client.

    Args:
        receive, send: of the ASGI server.
    """

    __slots__ = ("_is_paused", "_queue", "_transport")

    def __init__(self, receive: Any, send: Any) -> None:
        self._transport: Any = None
        self._queue: Any = None
        self._is_paused = False
        # It is another version, or the connection is closed.
        with contextlib.suppress(AttributeError, IndexError, OSError):
            if isinstance(send, functools.partial) and _is_of(send.func, DAPHNE):
                transport, queue = send.args[0].transport, receive.__self__
                if isinstance(queue, asyncio.Queue) and hasattr(transport, "resumeProducing"):
                    self._transport, self._queue = transport, queue
                transport.bufferSize = MAX_READ
            elif _is_of(receive, UVICORN_WEBSOCKETS):
                _lower_buffer(receive.__self__.transport.get_extra_info("socket"))

    def keep_up(self) -> None:
        """Pause reading until everything that was read has been handled."""
        if self._queue is None or self._is_paused is not self._queue.empty():
            return
        self._is_paused = not self._is_paused
        if self._is_paused:
            self._transport.pauseProducing()
        else:
            self._transport.resumeProducing()


def _is_of(function: Any, package: str) -> bool:
    return type(getattr(function, "__self__", None)).__module__.startswith(package)


def _lower_buffer(connection: Any) -> None:
    # uvloop's socket object has no options; its file descriptor is the socket's.
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BUFFER)
