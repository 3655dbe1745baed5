"""The last events of cache channels, on their way to a store that may fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from realtime_drf.cluster.serial_worker import raise_if_cancelled
from realtime_drf.cluster.state import PresenceStore
from realtime_drf.logs import FailureLog

PATIENCE: Final = 0.5
"""Seconds for which events wait for the store, so that a new subscriber does not miss them."""

PAUSE: Final = 1.0
"""Seconds between two tries while the store fails."""

MAX_WAITING: Final = 10_000
"""Channels whose last event waits for the store. For others the store keeps what it has."""


class LastEvents:
    """The writer of the last events of cache channels to the store.

    Delivery does not wait for it: while the store fails or hangs, the last event of each channel
    waits here, and is written in the background once the store answers again.

    Args:
        store: where the events are kept.
        failures: logs what the store raises.
        patience: seconds for which a batch waits for the store before it is sent.
        clock: returns seconds that never go back.
    """

    def __init__(
        self,
        store: PresenceStore,
        failures: FailureLog,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._failures = failures
        self._patience = patience
        self._clock = clock
        self._waiting: dict[str, str] = {}
        self._since = 0.0
        """When the first of the waiting events was published."""
        self._task: asyncio.Task[None] | None = None

    async def keep(self, events: Mapping[str, str]) -> None:
        """Write events, or have them written later; return within `patience` either way."""
        if not events:
            return
        if self._task is None and await self._write(events):
            return
        if not self._waiting:
            self._since = self._clock()
        self._waiting.update(events)
        while len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
        if self._task is None:
            self._task = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        """Write what is waiting, and what is added meanwhile, as soon as the store answers."""
        try:
            while self._waiting:
                await asyncio.sleep(PAUSE)
                waiting, self._waiting = self._waiting, {}
                since = self._since
                if not await self._write(waiting, age=self._clock() - since):
                    self._waiting, self._since = {**waiting, **self._waiting}, since
        finally:
            self._task = None

    async def _write(self, events: Mapping[str, str], age: float = 0.0) -> bool:
        try:
            async with asyncio.timeout(self._patience):
                await self._store.remember(events, age)
        except Exception as exc:  # noqa: BLE001  any store, any error: subscribers get the events
            raise_if_cancelled()
            self._failures.add(exc)
            return False
        return True
