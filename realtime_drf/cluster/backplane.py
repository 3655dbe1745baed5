"""How messages get to all nodes of an app, and where the state of its channels is kept.

A node is a process that serves browsers, seen from its event loop. With Channels' in-memory layer
there is one process alone, and messages go straight to its nodes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from realtime_drf.cluster.companions import watch_machine
from realtime_drf.cluster.messages import (
    Message,
    consumer_group,
    find_cached_events,
    make_consumer_messages,
)
from realtime_drf.cluster.serial_worker import SerialWorker
from realtime_drf.cluster.state import PresenceStore, finish
from realtime_drf.forks import PerProcess
from realtime_drf.logs import FailureLog

logger = logging.getLogger("realtime_drf")

T = TypeVar("T")


class BackplaneListener(Protocol):
    """A node, as a backplane sees it. All methods are called on the node's own event loop."""

    def deliver(self, batch: Sequence[Message]) -> None:
        """Deliver messages."""

    def on_ready(self) -> None:
        """Note that what is published from now on arrives."""

    def on_disconnected(self) -> None:
        """Note that the layer fails: until it is ready again, messages may be lost."""

    def on_gap(self, lost: int) -> None:
        """Note that so many batches were lost on the way; 0 if their number is not known."""


class Backplane(ABC):
    """A carrier of messages to all nodes of an app, with the store of its state.

    Args:
        store: the state of the app's channels.
        consumer_groups: events are also sent to a group for each channel.
        clock: returns seconds that never go back.
    """

    def __init__(
        self,
        store: PresenceStore,
        *,
        consumer_groups: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self._consumer_groups = consumer_groups
        self._clock = clock
        self._store_failures = FailureLog("The store of the server failed", clock)

    @property
    @abstractmethod
    def reaches_nodes(self) -> bool:
        """Whether what this process publishes can arrive anywhere."""

    @abstractmethod
    def publish(self, batch: Sequence[Message], timeout: float) -> None:
        """Publish messages from a thread without an event loop; return once they are sent.

        Raises OSError, TimeoutError or whatever the layer raises where that fails.
        """

    @abstractmethod
    async def apublish(self, batch: Sequence[Message], timeout: float) -> None:
        """Do what `publish` does, from any event loop."""

    @abstractmethod
    def post(self, batch: Sequence[Message]) -> None:
        """Publish messages from a node's own event loop; a failure is logged."""

    @abstractmethod
    def ask(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        """Run a call of the store from a thread without an event loop."""

    @abstractmethod
    async def attend(self, node: BackplaneListener) -> None:
        """Deliver messages to a node on this event loop, for as long as this is awaited."""

    @abstractmethod
    def close(self) -> None:
        """Close connections; the next call opens others."""


class LocalBackplane(Backplane):
    """A backplane for the nodes of this process alone.

    Args:
        layer: the layer of the project's consumers, if they should receive events too.
        namespace: tells the app from others on this machine.
    """

    def __init__(
        self, store: PresenceStore, layer: Any, *, namespace: str = "", **kwargs: Any
    ) -> None:
        super().__init__(store, **kwargs)
        self._layer = layer
        self._namespace = namespace
        # The nodes of a fork's parent run there.
        self._local = PerProcess(_LocalNodes)

    @property
    def reaches_nodes(self) -> bool:
        return bool(self._local.get().loops)

    def publish(self, batch: Sequence[Message], timeout: float) -> None:
        self.post(batch)

    async def apublish(self, batch: Sequence[Message], timeout: float) -> None:
        self.post(batch)

    def post(self, batch: Sequence[Message]) -> None:
        if cached := find_cached_events(batch):
            try:
                finish(self.store.remember(cached))
            except Exception as exc:  # noqa: BLE001  any store, any error: subscribers get the events
                self._store_failures.add(exc)
        local = self._local.get()
        with local.lock:  # so that all nodes see the same order
            for node, loop in list(local.loops.items()):
                try:
                    loop.call_soon_threadsafe(node.deliver, batch)
                except RuntimeError:  # it is closed
                    local.remove(node)
            # On one loop alone, or consumers would receive each event once for each loop.
            for worker in list(local.workers.values())[:1]:
                for message in make_consumer_messages(batch):
                    worker.put(message)

    def ask(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        answer: T = finish(coroutine)
        return answer

    def close(self) -> None:
        pass  # there are none

    async def attend(self, node: BackplaneListener) -> None:
        local, loop = self._local.get(), asyncio.get_running_loop()
        local.loops[node] = loop
        if self._consumer_groups:
            local.workers[loop] = SerialWorker(loop, self._send_to_consumers)
        node.on_ready()
        try:
            await watch_machine(self._namespace)
        finally:
            local.remove(node)

    async def _send_to_consumers(self, batch: Sequence[dict[str, Any]]) -> None:
        for message in batch:
            await self._layer.group_send(consumer_group(message["channel"]), message)


class _LocalNodes:
    """The nodes of one process by their event loops, and what sends to consumers on each loop."""

    def __init__(self) -> None:
        self.loops: dict[BackplaneListener, asyncio.AbstractEventLoop] = {}
        self.workers: dict[asyncio.AbstractEventLoop, SerialWorker[dict[str, Any]]] = {}
        self.lock = threading.Lock()

    def remove(self, node: BackplaneListener) -> None:
        """Remove a node that has ended."""
        loop = self.loops.pop(node, None)
        if loop is not None and loop not in self.loops.values():
            self.workers.pop(loop, None)
