"""Noticing that several processes serve browsers, where the settings are for one alone.

With the in-memory layer each reaches its own browsers only, and with ``store="memory"`` each has
its own members only. Nothing fails, and events and members are missing for no visible reason.
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

from realtime_drf.forks import PerProcess
from realtime_drf.logs import Once

logger = logging.getLogger("realtime_drf")

OVERLAP: Final = 30.0
"""Seconds for which an old process and a new one may both serve, as during a restart."""

INTERVAL: Final = 10.0
"""Seconds after which a process announces again that it serves browsers."""


async def watch_machine(namespace: str) -> None:
    """Warn if another process on this machine serves the app too; never return.

    A process that serves binds a name, which the system frees when the process ends. Only Linux has
    such names.
    """
    await asyncio.sleep(OVERLAP)
    watching = _watching.get()
    with contextlib.ExitStack() as stack:
        if sys.platform == "linux" and namespace not in watching:
            watching.add(namespace)
            stack.callback(watching.discard, namespace)
            _bind(f"\0realtime_drf.{namespace}", stack)
        await asyncio.get_running_loop().create_future()


_watching: PerProcess[set[str]] = PerProcess(set)
"""Apps; several event loops of one process reach each other."""


def _bind(name: str, stack: contextlib.ExitStack) -> None:
    """Bind a name until the stack is closed; warn if another process has bound it."""
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
    """The other processes that announce on a layer that they serve browsers."""

    def __init__(self) -> None:
        self._announced: dict[str, int] = {}
        self._warning = Once(
            logging.WARNING,
            "Another process (%s) serves browsers as well, and 'store' is 'memory': each of them "
            "has its own members and cached events only. Run one process, or give 'store' the URL "
            "of a Redis.",
        )

    def add(self, process: str) -> None:
        """Note that a process serves; warn once if another does for longer than a restart."""
        if process == name_process():
            return
        self._announced[process] = self._announced.get(process, 0) + 1
        if self._announced[process] >= OVERLAP / INTERVAL:
            self._warning.log(process)
