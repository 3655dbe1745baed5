"""Sending in tests that run inside a transaction.

``TestCase`` and the ``db`` fixture of pytest-django run a test in a transaction that is rolled
back, so commit hooks are never called. Here the outermost block that the test or the code under
test opens counts as the transaction: events are sent when it ends, and at once if no such block is
open. Only the hooks of this library are called; all others keep waiting.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import Atomic

from realtime_drf import commits

_lock = threading.Lock()
_depth = 0
_patches = contextlib.ExitStack()
_earlier: list[Any] = []
"""Hooks from before; kept alive, so that a new one cannot be mistaken for one of them."""


@contextlib.contextmanager
def committing() -> Iterator[None]:
    """Send at the end of each transaction of a test while the block runs.

    Blocks may be nested. Where commits are real, with ``TransactionTestCase``, nothing changes.
    """
    global _depth
    with _lock:
        _depth += 1
        if _depth == 1:
            _begin()
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _patches.close()
                _earlier.clear()


def _begin() -> None:
    for connection in connections.all(initialized_only=True):
        _earlier.extend(entry[1] for entry in connection.run_on_commit)
    leave, wait = Atomic.__exit__, commits.flush_last

    def leave_and_send(self: Atomic, *error: Any) -> None:
        connection: Any = connections[self.using or "default"]
        failed = error[0] is not None or connection.needs_rollback
        try:
            leave(self, *error)
        except BaseException:
            failed = True
            raise
        finally:
            if not _is_of_a_test(self):
                _settle(connection, rolled_back=failed, may_raise=False)

    def wait_and_send(connection: BaseDatabaseWrapper) -> None:
        wait(connection)
        _settle(connection, rolled_back=False, may_raise=True)

    _patches.enter_context(mock.patch.object(Atomic, "__exit__", leave_and_send))
    _patches.enter_context(mock.patch.object(commits, "flush_last", wait_and_send))


def _settle(connection: Any, *, rolled_back: bool, may_raise: bool) -> None:
    """Send or drop what waits on a connection, if only the transaction of a test is open."""
    blocks = connection.atomic_blocks
    if not blocks or not all(map(_is_of_a_test, blocks)):
        return
    waiting = []
    hooks: list[Any] = connection.run_on_commit
    for index, (sids, hook, robust) in enumerate(hooks):
        if isinstance(hook, commits.Entry | commits.Flush) and hook not in _earlier:
            # Replaced in place, since captureOnCommitCallbacks() finds hooks by their position.
            hooks[index] = (sids, commits.do_nothing, robust)
            if isinstance(hook, commits.Entry):
                waiting.append(hook)
    if waiting and not rolled_back:
        for entry in waiting:
            entry()  # what a view holds is sent when its method ends, as without a test
        commits.flush(connection, may_raise=may_raise)


def _is_of_a_test(block: Any) -> bool:
    """Return whether Django's TestCase opened a block, around a test or its class."""
    return bool(block._from_testcase)
