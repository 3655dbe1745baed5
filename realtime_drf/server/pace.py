"""The share of an event loop iteration that the clients of a node may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

MAX_STEPS: Final = 16
"""Steps in one iteration of the event loop."""

MAX_SECONDS: Final = 0.005
"""Seconds in one iteration of the event loop."""


class Pace:
    """A limit on what a node does for its clients before the event loop can do anything else.

    An `await` does not suspend if its result is available already. An ASGI server passes on frames
    as fast as TCP delivers them, so a client that never stops writing would block everything else.
    All connections of a node share its pace: many clients take no more time than one.

    Args:
        clock: returns seconds that never go back.
    """

    __slots__ = ("_began_at", "_clock", "_steps")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._steps = 0
        self._began_at = 0.0

    async def give_way(self) -> None:
        """Count a step, and let everything else run first if the limit is reached."""
        if self._steps == 0:
            self._began_at = self._clock()
            asyncio.get_running_loop().call_soon(self._reset)
        self._steps += 1
        if self._steps >= MAX_STEPS or self._clock() - self._began_at >= MAX_SECONDS:
            await asyncio.sleep(0)

    def _reset(self) -> None:
        self._steps = 0
