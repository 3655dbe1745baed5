"""Send what was published when a test's own transaction stands in the way of its commit.

``TestCase`` and the ``db`` fixture of pytest-django run a test in a transaction that is rolled
back, so no hook of a commit is ever called. Here the outermost block that the test or the code
under test opens counts as the transaction: when it is left, and when nothing of the kind is open,
the events go. Only the hooks of this library are called; those of others wait as they did.
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
"""Hooks that were there before; held, so that no new one can be taken for one of them."""


@contextlib.contextmanager
def committing() -> Iterator[None]:
    """Send at the end of each transaction of a test's, for as long as the block lasts.

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
    """Send what waits on a connection, or drop it, if nothing but a test's transaction is open."""
    blocks = connection.atomic_blocks
    if not blocks or not all(map(_is_of_a_test, blocks)):
        return
    waiting = []
    hooks: list[Any] = connection.run_on_commit
    for index, (sids, hook, robust) in enumerate(hooks):
        if isinstance(hook, commits.Entry | commits.Flush) and hook not in _earlier:
            # In its place: captureOnCommitCallbacks() knows hooks by their position.
            hooks[index] = (sids, commits.do_nothing, robust)
            if isinstance(hook, commits.Entry):
                waiting.append(hook)
    if waiting and not rolled_back:
        commits.send_entries(waiting, may_raise=may_raise)


def _is_of_a_test(block: Any) -> bool:
    """Tell whether Django's TestCase opened a block, around a test or its class."""
    return bool(block._from_testcase)
