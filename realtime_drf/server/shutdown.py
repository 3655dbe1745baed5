"""Telling clients to reconnect elsewhere, at once, when the process is told to end.

Lifespan is of no use for it: servers close their sockets before they say that they shut down, and
some never do. So the signal is held back, and raised once more when the clients have been told.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Collection, Mapping
from types import FrameType
from typing import Any, Final

from realtime_drf.server.node import Node

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

DRAIN_TIMEOUT: Final = 1.0
"""Seconds that clients have to take the farewell, before the server ends its way."""


def stop_gracefully(loop: asyncio.AbstractEventLoop, nodes: Collection[Node]) -> None:
    """Have the clients of nodes told before the handlers of signals that there are now are called.

    Does nothing in other threads than the main one, where Python handles no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    # Handled outside of Python, which we could not restore; ignored, so that nothing ends; or
    # Ctrl-C, which raises in whatever runs: nothing can be put before these.
    others = (None, signal.SIG_IGN, signal.default_int_handler)
    if ours := {number: each for number, each in handlers.items() if each not in others}:
        _Delay(loop, nodes, ours).begin()


class _Delay:
    """Hold signals back until the clients have been told, and then have them handled as before.

    Python calls the handler of a signal, and writes its number to the wakeup file descriptor, for
    loops that were given a handler with `loop.add_signal_handler`. Both are done later here.

    Args:
        loop: the running event loop.
        nodes: whose clients are told.
        handlers: what `signal.getsignal` gives for each signal.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, nodes: Collection[Node], handlers: Mapping[int, Any]
    ) -> None:
        self._loop = loop
        self._nodes = nodes
        self._handlers = handlers
        self._pid = os.getpid()
        self._has_come = False
        self._held: int | None = None
        self._task: asyncio.Task[None] | None = None
        self._wakeup = -1
        self._reader = -1

    def begin(self) -> None:
        """Hold back what comes from now on."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        # Both for as long as the process lives, since what has replaced a handler may call it.
        self._reader = reader.detach()
        with contextlib.suppress(NotImplementedError):  # a loop of Windows, which handles no signal
            self._loop.add_reader(self._reader, self._pass_on)
            self._wakeup = signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
        for number in self._handlers:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._has_come or not self._is_serving():
            # A second signal is impatience, or a parent's that follows the terminal's. Servers go
            # by the order: the one that is held goes first.
            self._let_go_of_held()
            self._let_go(number)
            return
        self._has_come = True
        self._held = number
        self._loop.call_soon_threadsafe(self._tell)

    def _is_serving(self) -> bool:
        """Tell whether the loop still runs, and in this process: a fork's runs in the parent."""
        return self._pid == os.getpid() and self._loop.is_running()

    def _tell(self) -> None:
        self._task = self._loop.create_task(self._drain())

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT):
                await asyncio.gather(*(node.drain() for node in self._nodes))
        except TimeoutError:
            pass  # whoever does not read does not hold up the others
        finally:
            self._let_go_of_held()

    def _let_go_of_held(self) -> None:
        number, self._held = self._held, None
        if number is not None:
            self._let_go(number)

    def _let_go(self, number: int) -> None:
        """Have a signal handled as before; where that was the system's own way, go that way."""
        handler = self._handlers[number]
        if callable(handler):
            handler(number, None)
            self._wake(bytes((number,)))
        else:
            signal.signal(number, handler)
            signal.raise_signal(number)

    def _pass_on(self) -> None:
        """Pass on the numbers of all signals but those that are held back."""
        with contextlib.suppress(OSError):
            numbers = os.read(self._reader, 4096)
            self._wake(bytes(each for each in numbers if each not in self._handlers))

    def _wake(self, numbers: bytes) -> None:
        # A loop that has ended has closed its descriptor, and the number may be another's by now.
        if numbers and self._wakeup != -1 and self._is_serving():
            with contextlib.suppress(OSError):  # it is full
                os.write(self._wakeup, numbers)
