"""What each process has of its own, where a process may fork."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import WeakSet

T = TypeVar("T")


class ForkLock:
    """A lock that is free in the child of a fork, where the thread that held it does not exist.

    Args:
        make: makes the lock, such as `threading.RLock`.
    """

    def __init__(self, make: Callable[[], Any] = threading.Lock) -> None:
        self._make = make
        self._lock = make()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *args: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Replace the lock, which another thread may hold."""
        self._lock = self._make()


class PerProcess(Generic[T]):
    """An object of which each process has its own, such as a client with open connections.

    It is made when it is first used, by one thread for all. The child of a fork makes another and
    keeps its parent's unused: destroyed, that could close or warn of connections that the parent
    still uses.

    Args:
        make: makes the object.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = ForkLock()
        self._made: tuple[int, T] | None = None
        self._inherited: list[T] = []

    def get(self) -> T:
        """Return the object of this process; make it if there is none."""
        made = self._made  # a local variable, since another thread may take it
        if made is None or made[0] != os.getpid():
            with self._lock:
                made = self._find()
                if made is None:
                    made = self._made = (os.getpid(), self._make())
        return made[1]

    def peek(self) -> T | None:
        """Return the object of this process, or None if there is none."""
        made = self._made
        return made[1] if made is not None and made[0] == os.getpid() else None

    def take(self) -> T | None:
        """Return the object of this process for the last time, or None if there is none.

        The next use makes another.
        """
        with self._lock:
            made = self._find()
            self._made = None
        return None if made is None else made[1]

    def _find(self) -> tuple[int, T] | None:
        """Return what this process has made; put aside what its parent has made."""
        if self._made is not None and self._made[0] != os.getpid():
            self._inherited.append(self._made[1])
            self._made = None
        return self._made


_locks: WeakSet[ForkLock] = WeakSet()


def _renew_all() -> None:
    for lock in _locks:
        lock.renew()


os.register_at_fork(after_in_child=_renew_all)
