"""Detection of a forked child that sends through the connections of its parent.

What arrives does not show it, as long as parent and child take turns on the connection. So each
connection that the child inherited is replaced by one that ends here: a byte on it is the proof.
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

    `on_use` is called in a thread as soon as something is written to one of them, since the writer
    may wait for an answer that never comes.
    """

    def __init__(self, on_use: Callable[[], object]) -> None:
        self._ends = [_divert(fd) for fd in _find_connections()]
        self._on_use = on_use
        threading.Thread(target=self._watch, daemon=True).start()

    def are_used(self) -> bool:
        """Return whether something has been written to one of them so far."""
        return any(_peek(end) for end in self._ends)

    def _watch(self) -> None:
        with selectors.DefaultSelector() as waiting:  # select() takes no descriptor above 1023
            for end in self._ends:
                waiting.register(end, selectors.EVENT_READ, end)
            while waiting.get_map():
                for key, _ in waiting.select():
                    if _peek(key.data):
                        self._on_use()
                    waiting.unregister(key.fileobj)  # the child has closed it, which is right


def _find_connections() -> Iterator[int]:
    """Yield the descriptors of sockets that are connected to an address."""
    if not os.path.isdir("/dev/fd"):
        return
    for fd in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):  # the listing's own is gone, others are not connected
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                with socket.socket(fileno=os.dup(fd)) as copy:
                    if copy.getpeername():
                        yield fd


def _divert(fd: int) -> socket.socket:
    """Replace a connection by another, and return the other end of that."""
    ours, theirs = socket.socketpair()
    with theirs:
        os.dup2(theirs.fileno(), fd)
    return ours


def _peek(end: socket.socket) -> bool:
    try:
        return bool(end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False
