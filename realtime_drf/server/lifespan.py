"""The lifespan of the wrapped app, which need not support it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from realtime_drf.cluster.serial_worker import end

logger = logging.getLogger("realtime_drf")

AsgiMessage = MutableMapping[str, Any]
Application = Callable[..., Awaitable[None]]


class Lifespan:
    """The lifespan of an ASGI app, which runs in a task of its own.

    Many apps, Django's among them, raise on lifespan. They are served nevertheless, as ASGI servers
    do.

    Args:
        app: the app.
        scope: of the server, whose ``state`` the app may fill.
    """

    def __init__(self, app: Application, scope: MutableMapping[str, Any]) -> None:
        self._inbox: asyncio.Queue[AsgiMessage] = asyncio.Queue()
        self._answer: asyncio.Future[AsgiMessage] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(app, scope))
        self._task.add_done_callback(self._log)
        self._has_received = False

    async def send(self, message: AsgiMessage) -> AsgiMessage:
        """Pass a message of the server on, and return the answer, even if the app has ended."""
        self._answer = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait(message)
        waited_for: list[asyncio.Future[Any]] = [self._answer, self._task]
        await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
        if self._answer.done():
            return self._answer.result()
        return {"type": f"{message['type']}.complete"}

    async def end(self) -> None:
        """Cancel the app's lifespan if it is still running."""
        await end([self._task])

    def _log(self, task: asyncio.Task[None]) -> None:
        exc = None if task.cancelled() else task.exception()
        if exc is not None and self._has_received:
            logger.error("The wrapped app failed during its lifespan.", exc_info=exc)
        elif exc is not None:
            logger.debug("The wrapped app does not support lifespan: %s", type(exc).__name__)

    async def _run(self, app: Application, scope: MutableMapping[str, Any]) -> None:
        await app(scope, self._receive, self._receive_answer)

    async def _receive(self) -> AsgiMessage:
        self._has_received = True
        return await self._inbox.get()

    async def _receive_answer(self, message: AsgiMessage) -> None:
        if not self._answer.done():
            self._answer.set_result(message)
