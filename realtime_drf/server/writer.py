"""The send queue of one connection: ordered, without waiting, and bounded."""

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
"""Bytes queued for a client that does not read, besides the buffers of server and system."""


class Writer:
    """The send queue of one connection, which writes its messages to the ASGI server.

    Most writes finish at once and need no task: the coroutine of a server's own `send` is stepped
    here, and only one that waits for the client is continued in a task. Messages that follow are
    queued behind it. A `send` that a middleware has wrapped runs in a task from its first step,
    since it may use the current task, as `asyncio.timeout` does, which would be another's.

    Args:
        send: for a connection that is accepted.
        scheduler: collects the frames that can bypass `send`; without it none do.
        pace: limits how much of the backlog is written at once; without it nothing does.
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
        "is_disconnected",
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
        """Frames to write at the end of this event loop iteration; append only if not empty."""
        self._backlog: deque[AsgiMessage] | None = None
        self._backlog_bytes = 0
        self._ahead = 0
        """Messages before the point that `caught_up` waits for."""
        self._caught_up: asyncio.Future[None] | None = None
        self.task: asyncio.Task[None] | None = None
        """Writes the backlog; None while there is none."""
        self.failed = False
        """It takes no more: the client has disconnected, does not read, or is being closed."""
        self.is_disconnected = False
        """Whether the server has reported that the client has disconnected."""

    def write(self, message: AsgiMessage) -> bool:
        """Write a message, or queue it; return False if the writer takes no more."""
        if self.task is not None:
            return self._queue(message)
        if self.failed:
            return False
        if self._fast_path is not None and self._fast_path.write(message):
            return True
        return self._start(message) if self._is_wrapped else self._step(message)

    def finish(self, message: AsgiMessage) -> None:
        """Write a last message in place of the backlog, and take no more."""
        if self.task is not None:
            self._backlog = deque([message])
        elif not self.is_disconnected:
            self.failed = False  # a backlog that was too long may have been written since
            self.write(message)
        self.failed = True
        self._backlog_bytes = 0

    def abandon(self) -> None:
        """Discard the backlog, and take no more."""
        self._discard()
        if self.task is not None:
            self.task.cancel()

    def find_inflow(self, receive: Any) -> Inflow:
        """Return control of what the same server reads from the client."""
        return Inflow(receive, self._send)

    @property
    def has_fast_path(self) -> bool:
        """Whether messages bypass `send`."""
        return self._fast_path is not None

    def abort(self) -> None:
        """Abort the connection, where the server offers a way to."""
        abort(self._send)

    async def caught_up(self) -> None:
        """Wait until the present backlog has been written, but not for what is added to it.

        Only one caller at a time may wait.
        """
        if self.task is None or self.task.done():
            return
        self._ahead = 1 + len(self._backlog or ())
        self._caught_up = asyncio.get_running_loop().create_future()
        await asyncio.wait([self.task, self._caught_up], return_when=asyncio.FIRST_COMPLETED)

    async def flushed(self) -> None:
        """Wait until the backlog is empty."""
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
        """Write a message in a task, which may have finished when this returns."""
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
        """Write a message without a task, or with one only for the rest of it once it waits.

        Both parts share one context: a variable set in one could not be reset in the other
        otherwise.
        """
        context = copy_context()
        try:
            coroutine: Any = self._send(message)
            waits_for = context.run(coroutine.send, None)
        except StopIteration:
            return True
        except Exception:  # noqa: BLE001  servers raise all kinds of errors after a disconnect
            self.failed = self.is_disconnected = True
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
        except Exception:  # noqa: BLE001  servers raise all kinds of errors after a disconnect
            self.is_disconnected = True
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
    """The rest of a coroutine that has been stepped once, as an awaitable."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self._waits_for
        while True:
            try:
                value = yield waits_for
            except BaseException as exc:  # noqa: BLE001  the coroutine handles a cancellation
                step: Callable[[], Any] = functools.partial(self._coroutine.throw, exc)
            else:
                step = functools.partial(self._coroutine.send, value)
            try:
                waits_for = step()
            except StopIteration:
                return
