"""Draining of connections when the process receives a signal to end.

Lifespan cannot be used for it: servers close their sockets before they send its shutdown, and some
never do. So the signal is held back, and raised again once clients have been sent elsewhere.
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
"""Seconds for draining, before the server handles the signal."""


def stop_gracefully(loop: asyncio.AbstractEventLoop, nodes: Collection[Node]) -> None:
    """Drain nodes before the present handlers of signals are called.

    Do nothing in other threads than the main one, where Python handles no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    while _delays and _delays[-1].end():
        _delays.pop()
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    # Nothing can be done before these: a handler outside of Python, which could not be restored;
    # an ignored signal, which ends nothing; and Ctrl-C, which raises in whatever code is running.
    others = (None, signal.SIG_IGN, signal.default_int_handler)
    if ours := {number: each for number, each in handlers.items() if each not in others}:
        _delays.append(_Delay(loop, nodes, ours))
        _delays[-1].begin()


class _Delay:
    """A delay of signals until nodes are drained; then they are handled as before.

    Python calls the handler of a signal, and writes its number to the wakeup file descriptor, for
    event loops with handlers of `loop.add_signal_handler`. Both are delayed here.

    Args:
        loop: the running event loop.
        nodes: to drain.
        handlers: the result of `signal.getsignal` for each signal.
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
        self._writer = -1

    def begin(self) -> None:
        """Hold back signals from now on."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        # Both stay open as long as they are in use: what has replaced a handler may call it.
        self._reader, self._writer = reader.detach(), writer.detach()
        with contextlib.suppress(NotImplementedError):  # a loop of Windows, which handles no signal
            self._loop.add_reader(self._reader, self._pass_on)
            self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in self._handlers:
            signal.signal(number, self._handle)

    def end(self) -> bool:
        """Restore the handlers if the loop is closed, and return whether it was possible.

        It is not if something else has been installed since, which may restore ours later.
        """
        are_ours = all(signal.getsignal(number) == self._handle for number in self._handlers)
        if not (self._loop.is_closed() and are_ours):
            return False
        wakeup = signal.set_wakeup_fd(-1)
        if wakeup not in (-1, self._writer):
            signal.set_wakeup_fd(wakeup)
            return False
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)
        return True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._has_come or not self._is_serving():
            # A second signal comes from an impatient user, or from a parent process after the
            # terminal's. Servers depend on the order: the one that is held is released first.
            self._release_held()
            self._release(number)
            return
        self._has_come = True
        self._held = number
        self._loop.call_soon_threadsafe(self._start)

    def _is_serving(self) -> bool:
        """Return whether the loop runs, and in this process: a fork's loop is the parent's."""
        return self._pid == os.getpid() and self._loop.is_running()

    def _start(self) -> None:
        self._task = self._loop.create_task(self._drain())

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT):
                await asyncio.gather(*(node.drain() for node in self._nodes))
        except TimeoutError:
            pass  # a client that does not read must not hold up the others
        finally:
            self._release_held()

    def _release_held(self) -> None:
        number, self._held = self._held, None
        if number is not None:
            self._release(number)

    def _release(self, number: int) -> None:
        """Have a signal handled as before, by the system if it was."""
        handler = self._handlers[number]
        if callable(handler):
            handler(number, None)
            self._wake(bytes((number,)))
        else:
            signal.signal(number, handler)
            signal.raise_signal(number)

    def _pass_on(self) -> None:
        """Pass on the numbers of all signals except those held back."""
        with contextlib.suppress(OSError):
            numbers = os.read(self._reader, 4096)
            self._wake(bytes(each for each in numbers if each not in self._handlers))

    def _wake(self, numbers: bytes) -> None:
        # A loop that has ended has closed its descriptor, and another file may have its number.
        if numbers and self._wakeup != -1 and self._is_serving():
            with contextlib.suppress(OSError):  # it is full
                os.write(self._wakeup, numbers)


_delays: list[_Delay] = []
"""Those in force, the latest last: it calls the handler of the one before."""
