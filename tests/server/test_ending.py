"""A node that is told to end does, whatever the layer and the store make of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("channels")

from realtime_drf.server.backplane import LayerBackplane
from realtime_drf.server.memory_store import MemoryStore


class DenyingLayer:
    """Turn the cancellation of a call into an error of the connection, as Redis clients do."""

    async def new_channel(self, prefix: str) -> str:
        return prefix

    async def group_add(self, group: str, name: str) -> None:
        await self._wait()

    async def receive(self, name: str) -> Any:
        await self._wait()

    async def _wait(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError from None


class SilentNode:
    def deliver(self, items: Any) -> None: ...
    def on_ready(self) -> None: ...
    def on_gap(self, lost: int) -> None: ...


def test_attending_ends_when_it_is_cancelled() -> None:
    async def attend() -> None:
        backplane = LayerBackplane(MemoryStore(), DenyingLayer(), app_id="1")
        task = asyncio.create_task(backplane.attend(SilentNode()))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert done
        assert task.cancelled()

    asyncio.run(attend())
