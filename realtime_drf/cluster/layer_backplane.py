"""The backplane of several processes: all messages go through one group of a channel layer."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from realtime_drf.cluster.backplane import Backplane, BackplaneListener
from realtime_drf.cluster.companions import INTERVAL, Companions, name_process
from realtime_drf.cluster.last_events import PATIENCE, LastEvents
from realtime_drf.cluster.messages import (
    Message,
    ServingMessage,
    consumer_group,
    find_cached_events,
    make_consumer_messages,
    node_group,
    unpack,
)
from realtime_drf.cluster.publisher import Publisher
from realtime_drf.cluster.redis_connections import drop_connections, has_died, is_demoted
from realtime_drf.cluster.sequence import GapDetector
from realtime_drf.cluster.serial_worker import EventLoopThread, SerialWorker, raise_if_cancelled
from realtime_drf.cluster.state import PresenceStore
from realtime_drf.forks import ForkLock, PerProcess
from realtime_drf.logs import FailureLog
from realtime_drf.tracebacks import hide_frames

logger = logging.getLogger("realtime_drf")

T = TypeVar("T")

GROUP_RENEWAL: Final = 10.0
"""Seconds after which a node joins its group again, which an emptied Redis has forgotten."""

SILENCE: Final = 1.0
"""Seconds after which a call that was given up has met with silence, and not with a failure."""

INITIAL_DELAY: Final = 0.1
MAX_DELAY: Final = 10.0
"""Seconds between two calls of a layer that fails: at first, and at most."""

JOINING: Final = "joining"
RECEIVING: Final = "receiving"
"""What has to work for a node to receive messages."""


class LayerBackplane(Backplane):
    """A backplane for the nodes of all processes, through a channel layer.

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
        self._group = node_group(namespace)
        self._send_timeout = send_timeout
        self._thread = EventLoopThread("realtime_drf publisher")
        self._lock = ForkLock()
        self._publisher: Publisher | None = None
        self._loops: PerProcess[dict[BackplaneListener, asyncio.AbstractEventLoop]] = PerProcess(
            dict
        )
        self._companions = Companions()
        self._failures = FailureLog("Could not publish a batch to the channel layer", self._clock)

    @property
    def reaches_nodes(self) -> bool:
        return True

    def publish(self, batch: Sequence[Message], timeout: float) -> None:
        future = self._get_worker().put(batch)
        try:
            future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    async def apublish(self, batch: Sequence[Message], timeout: float) -> None:
        await asyncio.wait_for(asyncio.wrap_future(self._get_worker().put(batch)), timeout)

    def post(self, batch: Sequence[Message]) -> None:
        self._get_worker().put(batch).add_done_callback(self._log_failure)

    def ask(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        return self._thread.run(coroutine, timeout)

    async def attend(self, node: BackplaneListener) -> None:
        gap_detector = GapDetector(node.on_gap)
        link = LinkState(node)
        # With its usual prefix: RedisChannelLayer reads for one prefix at a time in a process. With
        # another, consumers of the project in this process would have to wait for us.
        name = await self._persist(self._layer.new_channel, link, JOINING)
        tasks = [asyncio.create_task(self._stay_in_group(name, link))]
        if not self.store.is_shared:
            tasks.append(asyncio.create_task(self._announce_serving()))
        loops = self._loops.get()
        loops[node] = asyncio.get_running_loop()
        try:
            while True:
                message = await self._persist(
                    lambda: self._receive(name),
                    link,
                    RECEIVING,
                    lambda: self._rejoin(name, node, link),
                )
                await self._deliver(_read(message, gap_detector), node)
        finally:
            for task in tasks:
                task.cancel()
            del loops[node]

    def close(self) -> None:
        self._thread.stop(self.store.close)

    def reconnect(self) -> None:
        """Have the layer open new connections on all event loops, after a failover of Redis."""
        if self._publisher is not None:
            self._publisher.connected_at = -math.inf
        for loop in set(self._loops.get().values()):
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(
                    drop_connections(self._layer, subscribed=True), loop
                )

    async def _deliver(self, batch: Sequence[Message], node: BackplaneListener) -> None:
        try:
            if not self.store.is_shared and (cached := find_cached_events(batch)):
                await self._remember(cached)  # since the process that has published it cannot
            for each in batch:
                if isinstance(each, ServingMessage):
                    self._companions.add(each.process)
            node.deliver(batch)
        except Exception as exc:  # such as of another version's messages: the next may be all right
            hide_frames(exc)
            logger.exception("A batch could not be delivered.")

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
                # Redis wait. Then nothing is wrong: no message has come.
                if type(exc).__name__ != "TimeoutError" or clock() - began < SILENCE:
                    raise

    async def _persist(
        self,
        call: Callable[[], Awaitable[T]],
        link: LinkState,
        what: str,
        recover: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Call the layer until it answers, at growing intervals; report failures to the node.

        A connection that was closed, as idle ones are, does not count as a failure yet: the call is
        made again at once.
        """
        delay, has_failed = INITIAL_DELAY, False
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
                link.fails(what)
                logger.error(
                    "The channel layer failed (%s); retrying in %.1f s.", type(exc).__name__, delay
                )
            await asyncio.sleep(delay)
            delay = min(delay * 2, MAX_DELAY)

    async def _stay_in_group(self, name: str, link: LinkState) -> None:
        """Join the group at intervals: the layer may forget the node without telling it."""
        while True:
            await self._persist(lambda: self._layer.group_add(self._group, name), link, JOINING)
            link.works(JOINING)
            await asyncio.sleep(GROUP_RENEWAL)

    async def _announce_serving(self) -> None:
        """Announce that this process serves browsers to others, none of which should."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.post([ServingMessage(name_process())])

    async def _rejoin(self, name: str, node: BackplaneListener, link: LinkState) -> None:
        """Join after a failure: a layer that was restarted has forgotten who is in the group."""
        await self._layer.group_add(self._group, name)
        node.on_gap(0)
        link.works(JOINING)
        link.works(RECEIVING)

    def _get_worker(self) -> SerialWorker[Sequence[Message]]:
        loop = self._thread.loop
        with self._lock:
            if self._publisher is None or self._publisher.loop is not loop:
                # In a new process or thread the numbers begin at 1, so it needs a new name.
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

    async def _carry(self, publisher: Publisher, batch: Sequence[Message]) -> None:
        if self.store.is_shared:
            await publisher.last_events.keep(find_cached_events(batch))
        async with asyncio.timeout(self._send_timeout):
            if publisher.is_stale(self._clock()):
                await drop_connections(self._layer)
            await self._send(self._group, publisher.pack(batch))
            if self._consumer_groups:
                for each in make_consumer_messages(batch):
                    await self._send(consumer_group(each["channel"]), each)

    async def _send(self, group: str, message: dict[str, Any]) -> None:
        """Send to a group, once more if the connection was closed or leads to a replica.

        The layer may have sent it the first time: nodes recognize it by its number.
        """
        try:
            await self._layer.group_send(group, message)
        except Exception as exc:
            raise_if_cancelled()
            if not await self._has_reconnected(exc):
                raise
            await self._layer.group_send(group, message)


class LinkState:
    """The link of a node to the layer: it works while joining the group and receiving both do."""

    def __init__(self, node: BackplaneListener) -> None:
        self._node = node
        self._failing = {JOINING}

    def fails(self, what: str) -> None:
        """Note that one of them has failed."""
        self._failing.add(what)
        self._node.on_disconnected()

    def works(self, what: str) -> None:
        """Note that one of them works."""
        self._failing.discard(what)
        if not self._failing:
            self._node.on_ready()


def _read(message: Any, gap_detector: GapDetector) -> Sequence[Message]:
    try:
        batch = unpack(message)
        is_new = gap_detector.take(message["from"], message["number"])
    except (KeyError, TypeError, ValueError) as exc:
        logger.error("A message on the group of nodes is not one of ours: %r", exc)
        return ()
    return batch if is_new else ()
