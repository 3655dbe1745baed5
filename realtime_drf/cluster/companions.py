"""Noticing that several processes serve browsers, where the settings are for one alone.

With the in-memory layer each reaches its own browsers only, and with ``store="memory"`` each knows
its own members only. Nothing fails, and nobody can tell why events and members are missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import sys
from typing import Final

logger = logging.getLogger("realtime_drf")

OVERLAP: Final = 30.0
"""Seconds for which an old process and a new one may both serve, as they do in a restart."""

INTERVAL: Final = 10.0
"""Seconds after which a process tells others again that it serves browsers."""


async def watch_machine(namespace: str) -> None:
    """Warn if another process on this machine serves the app too; never return.

    A process that serves holds a name, which the system takes back when it ends. Other systems than
    Linux have no such names.
    """
    await asyncio.sleep(OVERLAP)
    own = os.getpid(), namespace
    with contextlib.ExitStack() as stack:
        if sys.platform == "linux" and own not in _watching:
            _watching.add(own)
            stack.callback(_watching.discard, own)
            _hold(f"\0realtime_drf.{namespace}", stack)
        await asyncio.get_running_loop().create_future()


_watching: set[tuple[int, str]] = set()
"""Process ids and apps; several event loops of one process reach each other."""


def _hold(name: str, stack: contextlib.ExitStack) -> None:
    """Hold a name until the stack is closed; warn if another process holds it."""
    try:
        stack.enter_context(socket.socket(socket.AF_UNIX)).bind(name)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            logger.warning(
                "Another process on this machine serves browsers as well, and the channel layer "
                "is in memory: events that one of them publishes do not reach the browsers of the "
                "other. Run one process, or use channels_redis."
            )


def name_process() -> str:
    """Return what sets this process apart from all others that share a layer."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Companions:
    """The other processes that say on a layer that they serve browsers."""

    def __init__(self) -> None:
        self._heard: dict[str, int] = {}
        self._has_warned = False

    def add(self, process: str) -> None:
        """Note what a process says; warn once if another has said it for longer than a restart."""
        if process == name_process() or self._has_warned:
            return
        self._heard[process] = self._heard.get(process, 0) + 1
        if self._heard[process] >= OVERLAP / INTERVAL:
            self._has_warned = True
            logger.warning(
                "Another process (%s) serves browsers as well, and 'store' is 'memory': each of "
                "them knows its own members and cached events only. Run one process, or give "
                "'store' the URL of a Redis.",
                process,
            )
