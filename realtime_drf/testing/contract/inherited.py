"""Find out whether a forked child sends through the connections of its parent.

Parent and child that take turns on one connection get away with it, so what arrives shows nothing.
In the child, each connection that it has inherited is swapped for one that leads here: the first
byte on it tells.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import stat
import threading
from collections.abc import Callable, Iterator


class InheritedSockets:
    """The connections of a parent, in a child that was just forked.

    `on_use` is called, in a thread, as soon as something is written to one of them: who waits for
    an answer there gets none.
    """

    def __init__(self, on_use: Callable[[], object]) -> None:
        self._ends = [_divert(fd) for fd in _find_connections()]
        self._on_use = on_use
        threading.Thread(target=self._watch, daemon=True).start()

    def are_used(self) -> bool:
        """Tell whether something has been written to one of them so far."""
        return any(_peek(end) for end in self._ends)

    def _watch(self) -> None:
        with selectors.DefaultSelector() as waiting:  # select() knows no descriptor above 1023
            for end in self._ends:
                waiting.register(end, selectors.EVENT_READ, end)
            while waiting.get_map():
                for key, _ in waiting.select():
                    if _peek(key.data):
                        self._on_use()
                    waiting.unregister(key.fileobj)  # the child has closed it, as it may


def _find_connections() -> Iterator[int]:
    """Yield the descriptors of sockets that lead to somebody with an address."""
    if not os.path.isdir("/dev/fd"):
        return
    for fd in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):  # the listing's own is gone, others are not connected
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                with socket.socket(fileno=os.dup(fd)) as copy:
                    if copy.getpeername():
                        yield fd


def _divert(fd: int) -> socket.socket:
    """Put another connection in the place of one, and return its other end."""
    ours, theirs = socket.socketpair()
    with theirs:
        os.dup2(theirs.fileno(), fd)
    return ours


def _peek(end: socket.socket) -> bool:
    try:
        return bool(end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False
