"""How much an ASGI server reads from one client at once, where that can be bounded.

A server parses all that it has read from a socket before anything else runs, which takes long where
that is many small frames. uvicorn reads on when those have been handled. daphne reads on at once,
and queues them all.

ASGI promises nothing of this. So it is done only where uvicorn and daphne look as they are known to
look, and no middleware has wrapped uvicorn's `receive` or daphne's `send`; it changes nothing but
the time that things take.
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
"""Bytes that the system keeps of one client for uvicorn to read. With much less, TCP gets slow."""

MAX_READ: Final = 4_096
"""Bytes that daphne reads of one client at once. Longer frames come in pieces."""

DAPHNE: Final = "daphne."


class Inflow:
    """What a server reads from one client.

    Args:
        receive, send: of the ASGI server.
    """

    __slots__ = ("_is_paused", "_queue", "_transport")

    def __init__(self, receive: Any, send: Any) -> None:
        self._transport: Any = None
        self._queue: Any = None
        self._is_paused = False
        # Another version, or it is closed.
        with contextlib.suppress(AttributeError, IndexError, OSError):
            if isinstance(send, functools.partial) and _is_of(send.func, DAPHNE):
                transport, queue = send.args[0].transport, receive.__self__
                if isinstance(queue, asyncio.Queue) and hasattr(transport, "resumeProducing"):
                    self._transport, self._queue = transport, queue
                transport.bufferSize = MAX_READ
            elif _is_of(receive, UVICORN_WEBSOCKETS):
                _lower_buffer(receive.__self__.transport.get_extra_info("socket"))

    def keep_up(self) -> None:
        """Have the server read on only once all is handled that it has read."""
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
    # What uvloop shows of its socket has no options, and is open under the same number.
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BUFFER)
