"""Telling clients to reconnect elsewhere, at once, when the process is told to end.

Lifespan is of no use for it: servers close their sockets before they say that they shut down, and
some never do. So the handler of the signal is taken, and called once the clients have been told.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Collection
from types import FrameType
from typing import Any, Final

from realtime_drf.server.node import Node

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

FAREWELL: Final = 1.0
"""Seconds that clients have to take the farewell, before the server ends its way."""

Handler = Callable[[int, FrameType | None], Any]


def stop_gracefully(loop: asyncio.AbstractEventLoop, nodes: Collection[Node]) -> None:
    """Have the clients of nodes told before the handlers of signals that there are now are called.

    Does nothing in other threads than the main one, where Python handles no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        before = signal.getsignal(number)
        if before in (None, signal.SIG_IGN, signal.default_int_handler):
            # Handled outside of Python, which we could not call; ignored, so that nothing ends; or
            # Ctrl-C, which raises in whatever runs: nothing can be put before these.
            continue
        signal.signal(number, _make_handler(loop, nodes, number, before))


def _make_handler(
    loop: asyncio.AbstractEventLoop, nodes: Collection[Node], number: int, before: Any
) -> Handler:
    has_begun = False

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal has_begun
        # A second signal is impatience: it goes to the server at once.
        if has_begun or loop.is_closed():
            _call(before, number, frame)
            return
        has_begun = True
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(begin)

    def begin() -> None:
        tasks.add(loop.create_task(_say_farewell(nodes, lambda: _call(before, number, None))))

    tasks: set[asyncio.Task[None]] = set()
    return handle


async def _say_farewell(nodes: Collection[Node], then: Callable[[], None]) -> None:
    try:
        async with asyncio.timeout(FAREWELL):
            await asyncio.gather(*(node.send_away() for node in nodes))
    except TimeoutError:
        pass  # whoever does not read does not hold up the others
    finally:
        then()


def _call(handler: Any, number: int, frame: FrameType | None) -> None:
    """Call what handled a signal before; where that was the system's own way, go that way."""
    if callable(handler):
        handler(number, frame)
    elif handler == signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
