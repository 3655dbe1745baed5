"""What sends the batches of a process over a channel layer, one after the other."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from realtime_drf.cluster.last_events import LastEvents
from realtime_drf.cluster.messages import Message, pack
from realtime_drf.cluster.sequence import cut
from realtime_drf.cluster.serial_worker import SerialWorker

MAX_IDLE: Final = 3.0
MAX_AGE: Final = 30.0
"""Seconds without a message, and at most, after which the publisher opens new connections.

A connection to a server that was the master before a failover may stay open. It accepts what is
published there, although nobody subscribes there any more.
"""


class Publisher:
    """A sender of all batches of a process, one after the other, in messages that are numbered.

    Batches that wait go in one message, or in several if that would be too large for a layer.

    Args:
        loop: the event loop that sends.
        last_events: keeps those of cache channels.
        carry: sends a batch in one message.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        last_events: LastEvents,
        carry: Callable[[Publisher, Sequence[Message]], Awaitable[None]],
    ) -> None:
        self.loop = loop
        self.worker = SerialWorker(loop, self._send)
        self.last_events = last_events
        self.connected_at = -math.inf
        self._used_at = -math.inf
        self._carry = carry
        self._name = secrets.token_hex(8)
        self._number = 0

    def pack(self, batch: Sequence[Message]) -> dict[str, Any]:
        """Make the layer's next message."""
        self._number += 1
        return pack(self._name, self._number, batch)

    def is_stale(self, now: float) -> bool:
        """Return whether its connections are too old to be trusted, so that others are opened."""
        is_stale = now - self._used_at > MAX_IDLE or now - self.connected_at > MAX_AGE
        self._used_at = now
        if is_stale:
            self.connected_at = now
        return is_stale

    async def _send(self, batches: Sequence[Sequence[Message]]) -> None:
        for part in cut(each for batch in batches for each in batch):
            await self._carry(self, part)
