"""A worker: it processes on one event loop what all threads put in, in that order."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, Final, Generic, TypeVar

from realtime_drf.forks import PerProcess

logger = logging.getLogger("realtime_drf")

CANCEL_INTERVAL: Final = 0.2
"""Seconds after which a task that has not ended is cancelled again."""

T = TypeVar("T")

MAX_AT_ONCE: Final = 64
"""Entries that were put in while the loop was busy are processed together, so many at a time."""

MAX_WAITING: Final = 10_000
"""Entries that may wait, such as for a layer that hangs. Further ones are refused."""

STOP_TIMEOUT: Final = 5.0
"""Seconds that a loop has to close its connections."""


class SerialWorker(Generic[T]):
    """A worker that processes what all threads put in, one batch after the other.

    Args:
        loop: the event loop to work on.
        work: is awaited with what is waiting, at least one and at most `MAX_AT_ONCE`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, work: Callable[[Sequence[T]], Awaitable[None]]
    ) -> None:
        self._loop = loop
        self._work = work
        self._waiting: deque[tuple[T, Future[None]]] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, item: T) -> Future[None]:
        """Queue something; return a future of when it is done, or how it failed.

        The future fails with BufferError if too much is waiting.

        Raises:
            RuntimeError: the event loop is closed.
        """
        future: Future[None] = Future()
        if len(self._waiting) >= MAX_WAITING:
            future.set_exception(BufferError(f"{MAX_WAITING} are already waiting."))
            return future
        self._waiting.append((item, future))
        self._loop.call_soon_threadsafe(self._begin)
        return future

    def _begin(self) -> None:
        if self._task is None:
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._process(self._take())
        finally:
            self._task = None

    def _take(self) -> list[tuple[T, Future[None]]]:
        batch: list[tuple[T, Future[None]]] = []
        while self._waiting and len(batch) < MAX_AT_ONCE:
            item, future = self._waiting.popleft()
            if future.set_running_or_notify_cancel():  # not where the caller gave up
                batch.append((item, future))
        return batch

    async def _process(self, batch: Sequence[tuple[T, Future[None]]]) -> None:
        if not batch:
            return
        try:
            await self._work([item for item, _ in batch])
        except Exception as exc:  # noqa: BLE001  the futures have it
            for _, future in batch:
                future.set_exception(exc)
        except BaseException:  # the loop ends
            for _, future in batch:
                future.set_exception(ConnectionError("The event loop has ended."))
            raise
        else:
            for _, future in batch:
                future.set_result(None)


def raise_if_cancelled() -> None:
    """Raise CancelledError in a task that should end, after an exception of a library.

    Redis clients turn the cancellation of a call into an error of the connection: without this, a
    task that tries again after errors would go on forever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended, since a Redis client may swallow a cancellation."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_INTERVAL)


class EventLoopThread:
    """An event loop in a thread of its own, for a process that has none or somebody else's.

    It is started when it is first used; the child of a fork starts another.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._running = PerProcess(self._start)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop of this process."""
        return self._running.get()[0]

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        """Run a coroutine there and return its result; raise TimeoutError after so many seconds."""
        return asyncio.run_coroutine_threadsafe(
            asyncio.wait_for(coroutine, timeout), self.loop
        ).result()

    def stop(self, last: Callable[[], Awaitable[None]]) -> None:
        """Call something last, and end the loop and its thread. The next use starts others."""

        async def end() -> None:
            try:
                await last()
            finally:
                asyncio.get_running_loop().stop()

        if (running := self._running.take()) is None:
            return
        loop, thread = running
        asyncio.run_coroutine_threadsafe(end(), loop)
        if thread is not threading.current_thread():
            thread.join(STOP_TIMEOUT)

    def _start(self) -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_run, args=[loop], name=self._name, daemon=True)
        thread.start()
        return loop, thread


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped; layers close their connections when it is closed."""
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(_cancel_tasks())
        loop.close()


async def _cancel_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
