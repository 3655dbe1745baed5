"""What the processes of an app share: how hand-overs get to all nodes, and the store.

A node is a process that serves browsers, seen from its event loop. With Channels' in-memory layer
there is but one process, and hand-overs go straight to its nodes. With any other layer all go
through one group, in messages that one publisher a process sends, one after the other.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, Protocol, TypeVar

from realtime_drf.cluster import messages
from realtime_drf.cluster.companions import INTERVAL, Companions, name_process, watch_machine
from realtime_drf.cluster.last_events import PATIENCE, LastEvents
from realtime_drf.cluster.redis_connections import drop_connections, has_died, is_demoted
from realtime_drf.cluster.serial_worker import EventLoopThread, SerialWorker, raise_if_cancelled
from realtime_drf.cluster.state import PresenceStore, finish
from realtime_drf.forks import ForkLock
from realtime_drf.logs import FailureLog
from realtime_drf.names import CLIENT_PREFIX, parse_channel_name
from realtime_drf.tracebacks import hide_frames

logger = logging.getLogger("realtime_drf")

T = TypeVar("T")

GROUP_RENEWAL: Final = 10.0
"""Seconds after which a node joins its group again, which an emptied Redis has forgotten."""

SILENCE: Final = 1.0
"""Seconds after which a call that was given up has met with silence, and not with a failure."""

MAX_IN_MESSAGE: Final = 1_048_576
"""Characters of items in one message: Redis parts with whoever has more than 32 MB to read."""

MAX_IDLE: Final = 3.0
MAX_AGE: Final = 30.0
"""Seconds without a message, and at most, after which the publisher's connections are made anew.

A connection to a server that was the master before a failover may stay open, and takes what is
published there, where nobody subscribes any more.
"""

INITIAL_DELAY: Final = 0.1
MAX_DELAY: Final = 10.0
"""Seconds between two calls of a layer that fails: at first, and at most."""

JOINING: Final = "joining"
RECEIVING: Final = "receiving"
"""What a node has to do in order to hear."""


class BackplaneListener(Protocol):
    """Be a node, as a backplane sees it. All is called on the node's own event loop."""

    def deliver(self, items: Sequence[messages.Message]) -> None:
        """Take the items of a hand-over."""

    def on_ready(self) -> None:
        """Know that what is published from now on arrives."""

    def on_disconnected(self) -> None:
        """Know that the layer fails: until it is ready again, what is published may not arrive."""

    def on_gap(self, lost: int) -> None:
        """Know that so many hand-overs were lost on the way; 0 if nobody can say how many."""


class Backplane(ABC):
    """Carry items to all nodes of an app, and keep its store.

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
        """Tell whether what this process publishes can arrive anywhere."""

    @abstractmethod
    def publish(self, items: Sequence[messages.Message], timeout: float) -> None:
        """Carry items, from a thread without an event loop; return once they are on their way.

        Raises OSError, TimeoutError or whatever the layer raises where that fails.
        """

    @abstractmethod
    async def apublish(self, items: Sequence[messages.Message], timeout: float) -> None:
        """Do what `publish` does, from any event loop."""

    @abstractmethod
    def post(self, items: Sequence[messages.Message]) -> None:
        """Carry items, from a node's own event loop; a failure is logged."""

    @abstractmethod
    def ask(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        """Run a call of the store from a thread without an event loop."""

    @abstractmethod
    async def attend(self, node: BackplaneListener) -> None:
        """Have items delivered to a node on this event loop, for as long as this is awaited."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections; the next call opens others."""


class LocalBackplane(Backplane):
    """Serve the nodes of this process alone.

    Args:
        layer: the layer of the consumers, if they shall hear too.
        namespace: tells the app from others on this machine.
    """

    def __init__(
        self, store: PresenceStore, layer: Any, *, namespace: str = "", **kwargs: Any
    ) -> None:
        super().__init__(store, **kwargs)
        self._layer = layer
        self._namespace = namespace
        self._pid = os.getpid()
        self._nodes: dict[BackplaneListener, asyncio.AbstractEventLoop] = {}
        self._workers: dict[asyncio.AbstractEventLoop, SerialWorker[dict[str, Any]]] = {}
        self._lock = ForkLock()

    @property
    def reaches_nodes(self) -> bool:
        self._forget_parent()
        return bool(self._nodes)

    def publish(self, items: Sequence[messages.Message], timeout: float) -> None:
        self.post(items)

    async def apublish(self, items: Sequence[messages.Message], timeout: float) -> None:
        self.post(items)

    def post(self, items: Sequence[messages.Message]) -> None:
        if cached := cached_events(items):
            try:
                finish(self.store.remember(cached))
            except Exception as exc:  # noqa: BLE001  any store, any error: subscribers get the events
                self._store_failures.add(exc)
        self._forget_parent()
        with self._lock:  # so that all nodes see the same order
            for node, loop in list(self._nodes.items()):
                try:
                    loop.call_soon_threadsafe(node.deliver, items)
                except RuntimeError:  # it is closed
                    self._forget(node)
            # On one loop alone, or consumers would hear it once for each.
            for worker in list(self._workers.values())[:1]:
                for message in consumer_messages(items):
                    worker.put(message)

    def ask(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        answer: T = finish(coroutine)
        return answer

    def close(self) -> None:
        pass  # there are none

    async def attend(self, node: BackplaneListener) -> None:
        self._forget_parent()
        loop = asyncio.get_running_loop()
        self._nodes[node] = loop
        if self._consumer_groups:
            self._workers[loop] = SerialWorker(loop, self._send_to_consumers)
        node.on_ready()
        try:
            await watch_machine(self._namespace)
        finally:
            self._forget(node)

    def _forget_parent(self) -> None:
        """Forget the nodes of the process of which this one is a fork: their loops run there."""
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid != os.getpid():  # no other thread was first
                self._nodes, self._workers = {}, {}
                self._pid = os.getpid()

    def _forget(self, node: BackplaneListener) -> None:
        loop = self._nodes.pop(node, None)
        if loop is not None and loop not in self._nodes.values():
            self._workers.pop(loop, None)

    async def _send_to_consumers(self, batch: Sequence[dict[str, Any]]) -> None:
        for message in batch:
            await self._layer.group_send(messages.consumer_group(message["channel"]), message)


class LayerBackplane(Backplane):
    """Reach the nodes of all processes through a channel layer.

    Args:
        layer: one of Channels' layers.
        namespace: is in the name of the group.
        send_timeout: seconds that the layer may take for a message.
    """

    def __init__(
        self,
        store: PresenceStore,
        layer: Any,
        *,
        namespace: str,
        send_timeout: float = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(store, **kwargs)
        self._layer = layer
        self._group = messages.node_group(namespace)
        self._send_timeout = send_timeout
        self._thread = EventLoopThread("realtime_drf publisher")
        self._lock = ForkLock()
        self._publisher: Publisher | None = None
        self._attending: dict[BackplaneListener, tuple[int, asyncio.AbstractEventLoop]] = {}
        self._companions = Companions()
        self._failures = FailureLog("A hand-over of this process was lost", self._clock)

    @property
    def reaches_nodes(self) -> bool:
        return True

    def publish(self, items: Sequence[messages.Message], timeout: float) -> None:
        future = self._get_worker().put(items)
        try:
            future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    async def apublish(self, items: Sequence[messages.Message], timeout: float) -> None:
        await asyncio.wait_for(asyncio.wrap_future(self._get_worker().put(items)), timeout)

    def post(self, items: Sequence[messages.Message]) -> None:
        self._get_worker().put(items).add_done_callback(self._log_failure)

    def ask(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        return self._thread.run(coroutine, timeout)

    async def attend(self, node: BackplaneListener) -> None:
        numbers = GapDetector(node.on_gap)
        hearing = LinkState(node)
        # With its usual prefix: RedisChannelLayer reads for one prefix at a time in a process. With
        # another, consumers of the project in this process would have to wait for us.
        name = await self._persist(self._layer.new_channel, hearing, JOINING)
        tasks = [asyncio.create_task(self._stay_in_group(name, hearing))]
        if not self.store.is_shared:
            tasks.append(asyncio.create_task(self._say_that_we_serve()))
        self._attending[node] = os.getpid(), asyncio.get_running_loop()
        try:
            while True:
                message = await self._persist(
                    lambda: self._receive(name),
                    hearing,
                    RECEIVING,
                    lambda: self._begin_again(name, node, hearing),
                )
                await self._deliver(_read(message, numbers), node)
        finally:
            for task in tasks:
                task.cancel()
            del self._attending[node]

    def close(self) -> None:
        self._thread.stop(self.store.close)

    def reconnect(self) -> None:
        """Have the layer open new connections on all event loops, after a failover of Redis."""
        if self._publisher is not None:
            self._publisher.connected_at = -math.inf
        for pid, loop in set(self._attending.values()):
            if pid == os.getpid() and loop.is_running():  # a fork's loops run in its parent
                asyncio.run_coroutine_threadsafe(
                    drop_connections(self._layer, subscribed=True), loop
                )

    async def _deliver(self, items: Sequence[messages.Message], node: BackplaneListener) -> None:
        try:
            if not self.store.is_shared and (cached := cached_events(items)):
                await self._remember(cached)  # for whoever has published it cannot
            for item in items:
                if isinstance(item, messages.ServingMessage):
                    self._companions.add(item.process)
            node.deliver(items)
        except Exception as exc:  # such as of another version's items: the next may be all right
            hide_frames(exc)
            logger.exception("A hand-over could not be delivered.")

    async def _remember(self, cached: Mapping[str, str]) -> None:
        try:
            await self.store.remember(cached)
        except Exception as exc:  # noqa: BLE001  any store, any error: subscribers get the events
            raise_if_cancelled()
            self._store_failures.add(exc)

    async def _receive(self, name: str) -> Any:
        """Wait for a message for as long as it takes."""
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                return await self._layer.receive(name)
            except Exception as exc:
                raise_if_cancelled()
                # redis-py from 8.0 gives up a call after 5 seconds, for which RedisChannelLayer has
                # Redis wait: then nothing is wrong, but that nothing has come.
                if type(exc).__name__ != "TimeoutError" or clock() - began < SILENCE:
                    raise

    async def _persist(
        self,
        call: Callable[[], Awaitable[T]],
        hearing: LinkState,
        what: str,
        recover: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Call the layer until it answers, at growing intervals; what fails is told the node.

        A connection that was closed, as idle ones are, is no failure yet: the call is made again at
        once.
        """
        pause, has_failed = INITIAL_DELAY, False
        while True:
            try:
                if has_failed and recover is not None:
                    await recover()
                return await call()
            except Exception as exc:  # noqa: BLE001  any layer, any error: try again
                raise_if_cancelled()
                is_first, has_failed = not has_failed, True
                if await self._has_reconnected(exc) and is_first:
                    continue
                hearing.fails(what)
                logger.error(
                    "The channel layer failed (%s); again in %.1f s.", type(exc).__name__, pause
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_DELAY)

    async def _stay_in_group(self, name: str, hearing: LinkState) -> None:
        """Join the group, and again and again: the layer may forget us, and would not say so."""
        while True:
            await self._persist(lambda: self._layer.group_add(self._group, name), hearing, JOINING)
            hearing.works(JOINING)
            await asyncio.sleep(GROUP_RENEWAL)

    async def _say_that_we_serve(self) -> None:
        """Tell the others, of whom there should be none."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.post([messages.ServingMessage(name_process())])

    async def _begin_again(self, name: str, node: BackplaneListener, hearing: LinkState) -> None:
        """Join after a failure: a layer that was restarted has forgotten who is in the group."""
        await self._layer.group_add(self._group, name)
        node.on_gap(0)
        hearing.works(JOINING)
        hearing.works(RECEIVING)

    def _get_worker(self) -> SerialWorker[Sequence[messages.Message]]:
        loop = self._thread.loop
        with self._lock:
            if self._publisher is None or self._publisher.loop is not loop:
                # A new process, or a new thread: its numbers begin anew, so it has a new name.
                patience = min(PATIENCE, self._send_timeout / 2)
                last_events = LastEvents(self.store, self._store_failures, patience=patience)
                self._publisher = Publisher(loop, last_events, self._carry)
            return self._publisher.worker

    async def _has_reconnected(self, exc: Exception) -> bool:
        """Drop the layer's connections if a call failed because of one; return whether it did."""
        if not (has_died(exc) or is_demoted(exc)):
            return False
        await drop_connections(self._layer, subscribed=is_demoted(exc))
        return True

    def _log_failure(self, future: Future[None]) -> None:
        if not future.cancelled() and (exc := future.exception()):
            self._failures.add(exc)

    async def _carry(self, publisher: Publisher, items: Sequence[messages.Message]) -> None:
        if self.store.is_shared:
            await publisher.last_events.keep(cached_events(items))
        async with asyncio.timeout(self._send_timeout):
            if publisher.is_stale(self._clock()):
                await drop_connections(self._layer)
            await self._send(self._group, publisher.pack(items))
            if self._consumer_groups:
                for each in consumer_messages(items):
                    await self._send(messages.consumer_group(each["channel"]), each)

    async def _send(self, group: str, message: dict[str, Any]) -> None:
        """Send to a group, once more if the connection was closed or leads to a replica.

        The layer may have sent it the first time: our nodes know by the number that it is the same.
        """
        try:
            await self._layer.group_send(group, message)
        except Exception as exc:
            raise_if_cancelled()
            if not await self._has_reconnected(exc):
                raise
            await self._layer.group_send(group, message)


class Publisher:
    """Send all hand-overs of a process, one after the other, in messages that are numbered.

    What has gathered is one message, or several if that would be too large for a layer.

    Args:
        loop: the event loop that sends.
        last_events: keeps those of cache channels.
        carry: sends a message of items.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        last_events: LastEvents,
        carry: Callable[[Publisher, Sequence[messages.Message]], Awaitable[None]],
    ) -> None:
        self.loop = loop
        self.worker = SerialWorker(loop, self._send)
        self.last_events = last_events
        self.connected_at = -math.inf
        self._used_at = -math.inf
        self._carry = carry
        self._name = secrets.token_hex(8)
        self._number = 0

    def pack(self, items: Sequence[messages.Message]) -> dict[str, Any]:
        """Make the next message."""
        self._number += 1
        return messages.pack(self._name, self._number, items)

    def is_stale(self, now: float) -> bool:
        """Tell whether its connections are too old to be trusted; others are opened, if so."""
        is_stale = now - self._used_at > MAX_IDLE or now - self.connected_at > MAX_AGE
        self._used_at = now
        if is_stale:
            self.connected_at = now
        return is_stale

    async def _send(self, handovers: Sequence[Sequence[messages.Message]]) -> None:
        for items in cut(item for handover in handovers for item in handover):
            await self._carry(self, items)


class LinkState:
    """Tell a node whether it hears, for which joining its group and receiving have to work."""

    def __init__(self, node: BackplaneListener) -> None:
        self._node = node
        self._failing = {JOINING}

    def fails(self, what: str) -> None:
        """Know that one of them has failed."""
        self._failing.add(what)
        self._node.on_disconnected()

    def works(self, what: str) -> None:
        """Know that one of them works."""
        self._failing.discard(what)
        if not self._failing:
            self._node.on_ready()


class GapDetector:
    """The numbers of other processes' messages: some are missing, and some come twice."""

    MAX_SENDERS: Final = 1000
    MAX_MISSING: Final = 100
    """Of one sender, those that may still come."""

    def __init__(self, on_gap: Callable[[int], None]) -> None:
        self._on_gap = on_gap
        self._last: dict[str, int] = {}
        self._missing: dict[str, set[int]] = {}

    def take(self, sender: str, number: int) -> bool:
        """Note a message, and tell of those that are missing before it.

        Returns:
            False if it has come before: a layer may deliver twice what was sent once, and what had
            to be sent twice.
        """
        last = self._last.pop(sender, None)
        missing = self._missing.setdefault(sender, set())
        if last is not None and number <= last:
            self._last[sender] = last
            is_late = number in missing
            missing.discard(number)
            return is_late
        self._last[sender] = number
        if last is not None and number > last + 1:
            self._on_gap(number - last - 1)
            missing.update(range(max(last + 1, number - self.MAX_MISSING), number))
            missing.intersection_update(range(number - self.MAX_MISSING, number))
        self._forget_oldest()
        return True

    def _forget_oldest(self) -> None:
        if len(self._last) > self.MAX_SENDERS:
            oldest = next(iter(self._last))  # the one not heard of for longest
            del self._last[oldest], self._missing[oldest]


def cut(items: Iterable[messages.Message]) -> Iterator[list[messages.Message]]:
    """Cut items into lists for one message each; an item that is too large is alone in one."""
    part: list[messages.Message] = []
    size = 0
    for item in items:
        item_size = messages.measure(item)
        if part and size + item_size > MAX_IN_MESSAGE:
            yield part
            part, size = [], 0
        part.append(item)
        size += item_size
    if part:
        yield part


def cached_events(items: Sequence[messages.Message]) -> dict[str, str]:
    """Return the last event of each cache channel among the items, as text for the store."""
    return {
        channel: dump_event(item)
        for item in items
        if isinstance(item, messages.EventMessage) and not item.name.startswith(CLIENT_PREFIX)
        for channel in item.channels
        if parse_channel_name(channel).cache
    }


def dump_event(item: messages.EventMessage) -> str:
    """Return what a cache channel keeps of an event."""
    return json.dumps([item.name, item.body, item.id], ensure_ascii=False)


def load_event(text: str, channel: str) -> messages.EventMessage:
    """Read back what a cache channel has kept."""
    name, body, id_ = json.loads(text)
    return messages.EventMessage(name, [channel], body, id=id_)


def consumer_messages(items: Sequence[messages.Message]) -> list[dict[str, Any]]:
    """Return the messages for consumers of one's own, in order."""
    return [
        messages.consumer_message(item, channel)
        for item in items
        if isinstance(item, messages.EventMessage)
        for channel in item.channels
    ]


def _read(message: Any, numbers: GapDetector) -> Sequence[messages.Message]:
    try:
        items = messages.unpack(message)
        is_new = numbers.take(message["from"], message["number"])
    except (KeyError, TypeError, ValueError) as exc:
        logger.error("A message on the group of nodes is none of ours: %r", exc)
        return ()
    return items if is_new else ()
