"""What goes out on one connection: in order, without waiting, and within bounds."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from contextvars import copy_context
from typing import Any, Final

from realtime_drf.server.fast_path import FlushScheduler, abort, find_fast_path, is_wrapped
from realtime_drf.server.inflow import Inflow
from realtime_drf.server.pace import Pace

AsgiMessage = MutableMapping[str, Any]
Send = Callable[[AsgiMessage], Awaitable[None]]

MAX_BACKLOG_BYTES: Final = 1_048_576
"""Bytes that wait for a client which does not read, besides what the server and system buffer."""


class Writer:
    """Write the messages of one connection to its ASGI server.

    Most writes are over at once, and then cost no task: the coroutine of a server's own `send` is
    stepped here, and only one that waits for the client is given to a task. Whatever follows queues
    up behind it. A `send` that a middleware has wrapped runs in a task from its first step, since
    it may ask for the current task, as `asyncio.timeout` does, which would be another's.

    Args:
        send: for a connection that is accepted.
        scheduler: gathers what can go past `send`; without it nothing does.
        pace: bounds how much of what has waited is written at once; without it nothing does.
    """

    __slots__ = (
        "_ahead",
        "_backlog",
        "_backlog_bytes",
        "_caught_up",
        "_fast_path",
        "_is_wrapped",
        "_pace",
        "_send",
        "failed",
        "is_gone",
        "pending",
        "task",
    )

    def __init__(
        self, send: Send, scheduler: FlushScheduler | None = None, pace: Pace | None = None
    ) -> None:
        self._send = send
        self._is_wrapped = is_wrapped(send)
        self._pace = pace
        self._fast_path = None if scheduler is None else find_fast_path(send, scheduler)
        self.pending: list[bytes] = [] if self._fast_path is None else self._fast_path.frames
        """Frames that leave at the end of this turn; while there are any, more may be added."""
        self._backlog: deque[AsgiMessage] | None = None
        self._backlog_bytes = 0
        self._ahead = 0
        """Messages before the point for which somebody waits."""
        self._caught_up: asyncio.Future[None] | None = None
        self.task: asyncio.Task[None] | None = None
        """Writes what has to wait; None while nothing does."""
        self.failed = False
        """It takes no more: the client is gone, has not read for too long, or is being closed."""
        self.is_gone = False
        """The server has said that the client is gone."""

    def write(self, message: AsgiMessage) -> bool:
        """Write a message, or queue it; return whether the writer is still good for more."""
        if self.task is not None:
            return self._queue(message)
        if self.failed:
            return False
        if self._fast_path is not None and self._fast_path.write(message):
            return True
        return self._start(message) if self._is_wrapped else self._step(message)

    def finish(self, message: AsgiMessage) -> None:
        """Write a last message, before whatever else waits, and take no more."""
        if self.task is not None:
            self._backlog = deque([message])
        elif not self.is_gone:
            self.failed = False  # which it may be by a backlog that has been written since
            self.write(message)
        self.failed = True
        self._backlog_bytes = 0

    def abandon(self) -> None:
        """Forget what waits, and take no more."""
        self._discard()
        if self.task is not None:
            self.task.cancel()

    def find_inflow(self, receive: Any) -> Inflow:
        """Return what the same server reads from the client."""
        return Inflow(receive, self._send)

    @property
    def has_fast_path(self) -> bool:
        """Whether messages go past `send`."""
        return self._fast_path is not None

    def abort(self) -> None:
        """Cut the connection off, where the server lets itself be told to."""
        abort(self._send)

    async def caught_up(self) -> None:
        """Wait until all is out that waits now; what comes after it is not waited for.

        One at a time may wait for this.
        """
        if self.task is None or self.task.done():
            return
        self._ahead = 1 + len(self._backlog or ())
        self._caught_up = asyncio.get_running_loop().create_future()
        await asyncio.wait([self.task, self._caught_up], return_when=asyncio.FIRST_COMPLETED)

    async def flushed(self) -> None:
        """Wait until nothing waits."""
        while self.task is not None and not self.task.done():
            await asyncio.wait([self.task])

    def _discard(self) -> None:
        self.failed = True
        self._backlog = None
        self._backlog_bytes = 0

    def _queue(self, message: AsgiMessage) -> bool:
        if self.failed:
            return False
        size = len(message.get("text") or "") + 64
        if self._backlog_bytes + size > MAX_BACKLOG_BYTES:
            self._discard()
            return False
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.append(message)
        self._backlog_bytes += size
        return True

    def _start(self, message: AsgiMessage) -> bool:
        """Write a message in a task, which may have ended by the time that this returns."""
        coroutine = self._go_on(functools.partial(self._send, message))
        if sys.version_info >= (3, 12):
            loop = asyncio.get_running_loop()
            task = asyncio.Task(coroutine, loop=loop, eager_start=True)
        else:
            task = asyncio.create_task(coroutine)
        if not task.done():
            self.task = task
        return not self.failed

    def _step(self, message: AsgiMessage) -> bool:
        """Write a message in no task, or only what is left of it once it waits.

        Both parts have one context, or a variable that is set in one could not be reset in the
        other.
        """
        context = copy_context()
        try:
            coroutine: Any = self._send(message)
            waits_for = context.run(coroutine.send, None)
        except StopIteration:
            return True
        except Exception:  # noqa: BLE001  whatever a server says of a client that is gone
            self.failed = self.is_gone = True
            return False
        rest = self._go_on(functools.partial(_Rest, coroutine, waits_for))
        self.task = asyncio.get_running_loop().create_task(rest, context=context)
        return True

    async def _go_on(self, begin: Callable[[], Awaitable[None]]) -> None:
        try:
            await begin()
            self._count_out()
            while self._backlog:
                message = self._backlog.popleft()
                self._backlog_bytes -= len(message.get("text") or "") + 64
                if self._fast_path is None or not self._fast_path.write(message):
                    await self._send(message)
                if self._backlog and self._pace is not None:
                    await self._pace.give_way()
                self._count_out()
        except Exception:  # noqa: BLE001  whatever a server says of a client that is gone
            self.is_gone = True
            self._discard()
        finally:
            self._backlog = None
            self._backlog_bytes = 0
            self.task = None

    def _count_out(self) -> None:
        self._ahead -= 1
        if self._ahead == 0 and self._caught_up is not None:
            self._caught_up.set_result(None)


class _Rest:
    """Await what is left of a coroutine that has been stepped once."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self._waits_for
        while True:
            try:
                value = yield waits_for
            except BaseException as exc:  # noqa: BLE001  a cancellation is the coroutine's business
                step: Callable[[], Any] = functools.partial(self._coroutine.throw, exc)
            else:
                step = functools.partial(self._coroutine.send, value)
            try:
                waits_for = step()
            except StopIteration:
                return
