"""What the processes of an app share: how hand-overs get to all nodes, and the store.

A node is a process that serves browsers, seen from its event loop. With Channels' in-memory layer
there is but one process, and hand-overs go straight to its nodes. With any other layer all go
through one group, in messages that one publisher a process sends, one after the other.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Final, Protocol, TypeVar

from realtime_drf.names import CLIENT_PREFIX, parse_channel_name
from realtime_drf.server import wire
from realtime_drf.server.failures import FailureLog
from realtime_drf.server.lane import Lane, LoopThread, raise_if_cancelled
from realtime_drf.server.locks import ForkLock
from realtime_drf.server.store import Store, finish
from realtime_drf.tracebacks import hide_frames

logger = logging.getLogger("realtime_drf")

T = TypeVar("T")

GROUP_RENEWAL: Final = 10.0
"""Seconds after which a node joins its group again, which an emptied Redis has forgotten."""

SILENCE: Final = 1.0
"""Seconds after which a call that was given up has met with silence, and not with a failure."""

MOST_IN_MESSAGE: Final = 1_048_576
"""Characters of items in one message: Redis parts with whoever has more than 32 MB to read."""

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
"""Seconds between two calls of a layer that fails: at first, and at most."""

JOINING: Final = "joining"
RECEIVING: Final = "receiving"
"""What a node has to do in order to hear."""


class Attendant(Protocol):
    """Be a node, as a backplane sees it. All is called on the node's own event loop."""

    def deliver(self, items: Sequence[wire.Item]) -> None:
        """Take the items of a hand-over."""

    def on_ready(self) -> None:
        """Know that what is published from now on arrives."""

    def on_deaf(self) -> None:
        """Know that the layer fails: until it is ready again, what is published may not arrive."""

    def on_gap(self, lost: int) -> None:
        """Know that so many hand-overs were lost on the way; 0 if nobody can say how many."""


class Backplane(ABC):
    """Carry items to all nodes of an app, and keep its store.

    Args:
        store: the state of the app's channels.
        consumer_groups: events are also sent to a group for each channel.
    """

    def __init__(self, store: Store, *, consumer_groups: bool = False) -> None:
        self.store = store
        self._consumer_groups = consumer_groups

    @property
    @abstractmethod
    def reaches_nodes(self) -> bool:
        """Tell whether what this process publishes can arrive anywhere."""

    @abstractmethod
    def publish(self, items: Sequence[wire.Item], timeout: float) -> None:
        """Carry items, from a thread without an event loop; return once they are on their way.

        Raises OSError, TimeoutError or whatever the layer raises where that fails.
        """

    @abstractmethod
    async def apublish(self, items: Sequence[wire.Item], timeout: float) -> None:
        """Do what `publish` does, from any event loop."""

    @abstractmethod
    def post(self, items: Sequence[wire.Item]) -> None:
        """Carry items, from a node's own event loop; a failure is logged."""

    @abstractmethod
    def ask(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        """Run a call of the store from a thread without an event loop."""

    @abstractmethod
    async def attend(self, node: Attendant) -> None:
        """Have items delivered to a node on this event loop, for as long as this is awaited."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections; the next call opens others."""


class LocalBackplane(Backplane):
    """Serve the nodes of this process alone.

    Args:
        layer: the layer of the consumers, if they shall hear too.
    """

    def __init__(self, store: Store, layer: Any, **kwargs: Any) -> None:
        super().__init__(store, **kwargs)
        self._layer = layer
        self._pid = os.getpid()
        self._nodes: dict[Attendant, asyncio.AbstractEventLoop] = {}
        self._lanes: dict[asyncio.AbstractEventLoop, Lane[dict[str, Any]]] = {}
        self._lock = ForkLock()

    @property
    def reaches_nodes(self) -> bool:
        self._part_from_parent()
        return bool(self._nodes)

    def publish(self, items: Sequence[wire.Item], timeout: float) -> None:
        self.post(items)

    async def apublish(self, items: Sequence[wire.Item], timeout: float) -> None:
        self.post(items)

    def post(self, items: Sequence[wire.Item]) -> None:
        if cached := cached_events(items):
            finish(self.store.remember(cached))
        self._part_from_parent()
        with self._lock:  # so that all nodes see the same order
            for node, loop in list(self._nodes.items()):
                try:
                    loop.call_soon_threadsafe(node.deliver, items)
                except RuntimeError:  # it is closed
                    self._forget(node)
            # On one loop alone, or consumers would hear it once for each.
            for lane in list(self._lanes.values())[:1]:
                for message in consumer_messages(items):
                    lane.put(message)

    def ask(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        answer: T = finish(coroutine)
        return answer

    def close(self) -> None:
        pass  # there are none

    async def attend(self, node: Attendant) -> None:
        self._part_from_parent()
        loop = asyncio.get_running_loop()
        self._nodes[node] = loop
        if self._consumer_groups:
            self._lanes[loop] = Lane(loop, self._send_to_consumers)
        node.on_ready()
        try:
            await loop.create_future()
        finally:
            self._forget(node)

    def _part_from_parent(self) -> None:
        """Forget the nodes of the process of which this one is a fork: their loops run there."""
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid != os.getpid():  # no other thread was first
                self._nodes, self._lanes = {}, {}
                self._pid = os.getpid()

    def _forget(self, node: Attendant) -> None:
        loop = self._nodes.pop(node, None)
        if loop is not None and loop not in self._nodes.values():
            self._lanes.pop(loop, None)

    async def _send_to_consumers(self, messages: Sequence[dict[str, Any]]) -> None:
        for message in messages:
            await self._layer.group_send(wire.consumer_group(message["channel"]), message)


class LayerBackplane(Backplane):
    """Reach the nodes of all processes through a channel layer.

    Args:
        layer: one of Channels' layers.
        app_id: names the group.
        send_timeout: seconds that the layer may take for a message.
        clock: returns seconds that never go back.
    """

    def __init__(
        self,
        store: Store,
        layer: Any,
        *,
        app_id: str,
        send_timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        **kwargs: Any,
    ) -> None:
        super().__init__(store, **kwargs)
        self._layer = layer
        self._group = wire.node_group(app_id)
        self._send_timeout = send_timeout
        self._thread = LoopThread("realtime_drf publisher")
        self._lock = ForkLock()
        self._publisher: Publisher | None = None
        self._failures = FailureLog("A hand-over of this process was lost", clock)

    @property
    def reaches_nodes(self) -> bool:
        return True

    def publish(self, items: Sequence[wire.Item], timeout: float) -> None:
        future = self._get_lane().put(items)
        try:
            future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    async def apublish(self, items: Sequence[wire.Item], timeout: float) -> None:
        await asyncio.wait_for(asyncio.wrap_future(self._get_lane().put(items)), timeout)

    def post(self, items: Sequence[wire.Item]) -> None:
        self._get_lane().put(items).add_done_callback(self._log_failure)

    def ask(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        return self._thread.run(coroutine, timeout)

    async def attend(self, node: Attendant) -> None:
        numbers = Numbers(node.on_gap)
        hearing = Hearing(node)
        name = await self._persist(
            lambda: self._layer.new_channel("realtime_drf."), hearing, JOINING
        )
        renewal = asyncio.create_task(self._stay_in_group(name, hearing))
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
            renewal.cancel()

    def close(self) -> None:
        self._thread.stop(self.store.close)

    async def _deliver(self, items: Sequence[wire.Item], node: Attendant) -> None:
        try:
            if not self.store.is_shared and (cached := cached_events(items)):
                await self.store.remember(cached)  # for whoever has published it cannot
            node.deliver(items)
        except Exception as exc:  # such as of another version's items: the next may be all right
            hide_frames(exc)
            logger.exception("A hand-over could not be delivered.")

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
        hearing: Hearing,
        what: str,
        recover: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Call the layer until it answers, at growing intervals; what fails is told the node."""
        pause = FIRST_PAUSE
        while True:
            try:
                if pause > FIRST_PAUSE and recover is not None:
                    await recover()
                return await call()
            except Exception as exc:  # noqa: BLE001  any layer, any error: try again
                raise_if_cancelled()
                hearing.fails(what)
                logger.error(
                    "The channel layer failed (%s); again in %.1f s.", type(exc).__name__, pause
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _stay_in_group(self, name: str, hearing: Hearing) -> None:
        """Join the group, and again and again: the layer may forget us, and would not say so."""
        while True:
            await self._persist(lambda: self._layer.group_add(self._group, name), hearing, JOINING)
            hearing.works(JOINING)
            await asyncio.sleep(GROUP_RENEWAL)

    async def _begin_again(self, name: str, node: Attendant, hearing: Hearing) -> None:
        """Join after a failure: a layer that was restarted has forgotten who is in the group."""
        await self._layer.group_add(self._group, name)
        node.on_gap(0)
        hearing.works(JOINING)
        hearing.works(RECEIVING)

    def _get_lane(self) -> Lane[Sequence[wire.Item]]:
        loop = self._thread.loop
        with self._lock:
            if self._publisher is None or self._publisher.loop is not loop:
                # A new process, or a new thread: its numbers begin anew, so it has a new name.
                self._publisher = Publisher(loop, self._carry)
            return self._publisher.lane

    def _log_failure(self, future: Future[None]) -> None:
        if not future.cancelled() and (exc := future.exception()):
            self._failures.add(exc)

    async def _carry(self, message: dict[str, Any], items: Sequence[wire.Item]) -> None:
        async with asyncio.timeout(self._send_timeout):
            if self.store.is_shared and (cached := cached_events(items)):
                await self.store.remember(cached)
            await self._layer.group_send(self._group, message)
            if self._consumer_groups:
                for each in consumer_messages(items):
                    await self._layer.group_send(wire.consumer_group(each["channel"]), each)


class Publisher:
    """Send all hand-overs of a process, one after the other, in messages that are numbered.

    What has gathered is one message, or several if that would be too large for a layer.

    Args:
        loop: the event loop that sends.
        carry: sends a message, which holds the items.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        carry: Callable[[dict[str, Any], Sequence[wire.Item]], Awaitable[None]],
    ) -> None:
        self.loop = loop
        self.lane = Lane(loop, self._send)
        self._carry = carry
        self._name = secrets.token_hex(8)
        self._number = 0

    async def _send(self, handovers: Sequence[Sequence[wire.Item]]) -> None:
        for items in cut(item for handover in handovers for item in handover):
            self._number += 1
            await self._carry(wire.pack(self._name, self._number, items), items)


class Hearing:
    """Tell a node whether it hears, for which joining its group and receiving have to work."""

    def __init__(self, node: Attendant) -> None:
        self._node = node
        self._failing = {JOINING}

    def fails(self, what: str) -> None:
        """Know that one of them has failed."""
        self._failing.add(what)
        self._node.on_deaf()

    def works(self, what: str) -> None:
        """Know that one of them works."""
        self._failing.discard(what)
        if not self._failing:
            self._node.on_ready()


class Numbers:
    """Notice, by the numbers of their messages, what got lost of other processes' hand-overs."""

    MOST_SENDERS: Final = 1000

    def __init__(self, on_gap: Callable[[int], None]) -> None:
        self._on_gap = on_gap
        self._last: dict[str, int] = {}

    def take(self, sender: str, number: int) -> None:
        """Note a message; tell of those that are missing before it."""
        last = self._last.pop(sender, None)
        self._last[sender] = max(number, last or 0)
        if len(self._last) > self.MOST_SENDERS:
            del self._last[next(iter(self._last))]  # the one not heard of for longest
        if last is not None and number > last + 1:
            self._on_gap(number - last - 1)


def cut(items: Iterable[wire.Item]) -> Iterator[list[wire.Item]]:
    """Cut items into lists for one message each; an item that is too large is alone in one."""
    part: list[wire.Item] = []
    size = 0
    for item in items:
        item_size = wire.measure(item)
        if part and size + item_size > MOST_IN_MESSAGE:
            yield part
            part, size = [], 0
        part.append(item)
        size += item_size
    if part:
        yield part


def cached_events(items: Sequence[wire.Item]) -> dict[str, str]:
    """Return the last event of each cache channel among the items, as text for the store."""
    return {
        channel: dump_event(item)
        for item in items
        if isinstance(item, wire.EventItem) and not item.name.startswith(CLIENT_PREFIX)
        for channel in item.channels
        if parse_channel_name(channel).cache
    }


def dump_event(item: wire.EventItem) -> str:
    """Return what a cache channel keeps of an event."""
    return json.dumps([item.name, item.body, item.id], ensure_ascii=False)


def load_event(text: str, channel: str) -> wire.EventItem:
    """Read back what a cache channel has kept."""
    name, body, id_ = json.loads(text)
    return wire.EventItem(name, [channel], body, id=id_)


def consumer_messages(items: Sequence[wire.Item]) -> list[dict[str, Any]]:
    """Return the messages for consumers of one's own, in order."""
    return [
        wire.consumer_message(item, channel)
        for item in items
        if isinstance(item, wire.EventItem)
        for channel in item.channels
    ]


def _read(message: Any, numbers: Numbers) -> Sequence[wire.Item]:
    try:
        items = wire.unpack(message)
        numbers.take(message["from"], message["number"])
    except (KeyError, TypeError, ValueError) as exc:
        logger.error("A message on the group of nodes is none of ours: %r", exc)
        return ()
    return items
