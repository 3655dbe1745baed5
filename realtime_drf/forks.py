"""Locks of a process that may fork."""

from __future__ import annotations

import os
import threading
from weakref import WeakSet


class ForkLock:
    """Be a lock that is free in the child of a fork, where the thread that held it is not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *args: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Let go of it, whoever holds it."""
        self._lock = threading.Lock()


_locks: WeakSet[ForkLock] = WeakSet()


def _renew_all() -> None:
    for lock in _locks:
        lock.renew()


os.register_at_fork(after_in_child=_renew_all)
