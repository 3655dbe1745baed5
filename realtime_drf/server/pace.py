"""How much of a turn of the event loop the clients of a node may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

MAX_STEPS: Final = 16
"""Steps in one turn of the event loop."""

MAX_SECONDS: Final = 0.005
"""Seconds in one turn of the event loop."""


class Pace:
    """Bounds what a node does for its clients before the event loop can do something else.

    A loop that awaits does not suspend if what it awaits is there already. An ASGI server hands
    over frames as fast as TCP brings them, so that a client which never stops writing would stop
    everything else. All loops of a node share its pace: many clients take no more than one.

    Args:
        clock: returns seconds that never go back.
    """

    __slots__ = ("_began_at", "_clock", "_steps")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._steps = 0
        self._began_at = 0.0

    async def give_way(self) -> None:
        """Count a step, and let everything else go first if there were enough of them."""
        if self._steps == 0:
            self._began_at = self._clock()
            asyncio.get_running_loop().call_soon(self._begin_turn)
        self._steps += 1
        if self._steps >= MAX_STEPS or self._clock() - self._began_at >= MAX_SECONDS:
            await asyncio.sleep(0)

    def _begin_turn(self) -> None:
        self._steps = 0
