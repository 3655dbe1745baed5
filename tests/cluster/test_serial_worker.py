"""What hangs or fails on its way to the nodes neither takes up memory nor stops them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("channels")

from channels.layers import InMemoryChannelLayer

from realtime_drf.cluster import messages
from realtime_drf.cluster import serial_worker as worker
from realtime_drf.cluster.last_events import LastEvents
from realtime_drf.cluster.layer_backplane import LayerBackplane
from realtime_drf.cluster.memory_state import MemoryStore
from realtime_drf.cluster.publisher import Publisher
from realtime_drf.cluster.sequence import MAX_IN_MESSAGE
from realtime_drf.cluster.serial_worker import SerialWorker
from realtime_drf.logs import FailureLog
from tests.server.harness import Clock


def test_a_lane_takes_no_more_than_may_wait_and_goes_on_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "MAX_WAITING", 3)
    done: list[int] = []

    async def fill() -> None:
        hangs = asyncio.Event()

        async def work(items: Sequence[int]) -> None:
            await hangs.wait()
            done.extend(items)

        road = SerialWorker(asyncio.get_running_loop(), work)
        futures = [road.put(0)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        futures += [road.put(number) for number in range(1, 6)]
        assert [type(each.exception()) for each in futures[4:]] == [BufferError] * 2
        hangs.set()
        await asyncio.wait_for(asyncio.wrap_future(futures[3]), 5)
        await asyncio.wait_for(asyncio.wrap_future(road.put(6)), 5)

    asyncio.run(fill())
    assert done == [0, 1, 2, 3, 6]


def test_what_is_too_large_for_one_message_comes_in_several_in_order() -> None:
    sent: list[dict[str, Any]] = []

    async def carry(publisher: Publisher, items: Sequence[messages.Message]) -> None:
        sent.append(publisher.pack(items))
        assert messages.unpack(sent[-1]) == items

    async def publish() -> None:
        publisher = make_publisher(carry)
        batches = [
            [messages.EventMessage("told", ["news"], "x" * size) for size in sizes]
            for sizes in ([10], [MAX_IN_MESSAGE // 4] * 10, [2 * MAX_IN_MESSAGE, 10], [10, 10])
        ]
        futures = [publisher.worker.put(each) for each in batches]
        async with asyncio.timeout(5):
            await asyncio.gather(*map(asyncio.wrap_future, futures))

    asyncio.run(publish())
    assert [len(message["messages"]) for message in sent] == [4, 3, 3, 1, 1, 3]
    assert [message["number"] for message in sent] == list(range(1, 7))
    assert len({message["from"] for message in sent}) == 1


def make_publisher(carry: Any) -> Publisher:
    last_events = LastEvents(MemoryStore(), FailureLog("", Clock()))
    return Publisher(asyncio.get_running_loop(), last_events, carry)


class Node:
    """Takes batches, but for one that it cannot."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.names: list[str] = []
        self.received = asyncio.Event()

    def deliver(self, items: Sequence[messages.Message]) -> None:
        for item in items:
            assert isinstance(item, messages.EventMessage)
            self.names += [item.name for _ in item.channels]
        self.received.set()

    def on_ready(self) -> None:
        self.ready.set()

    def on_disconnected(self) -> None: ...
    def on_gap(self, lost: int) -> None: ...


def test_a_batch_that_cannot_be_delivered_does_not_stop_a_node(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def attend() -> list[str]:
        layer: Any = InMemoryChannelLayer()
        node = Node()
        backplane = LayerBackplane(MemoryStore(), layer, namespace="1")
        task = asyncio.create_task(backplane.attend(node))
        await node.ready.wait()
        group = messages.node_group("1")
        wrong: Any = None
        for number, channels in enumerate([wrong, ["news"]]):
            item = messages.EventMessage("told", channels, "1")
            await layer.group_send(group, messages.pack("me", number, [item]))
        await asyncio.wait(
            [task, asyncio.ensure_future(node.received.wait())],
            timeout=5,
            return_when=asyncio.FIRST_COMPLETED,
        )
        task.cancel()
        await asyncio.wait([task])
        return node.names

    assert asyncio.run(attend()) == ["told"]
    assert [each.levelno for each in caplog.records] == [logging.ERROR]


def test_one_process_remembers_in_memory_what_others_publish_to_a_cache_channel() -> None:
    async def publish() -> tuple[list[str], str | None, str | None]:
        layer: Any = InMemoryChannelLayer()
        node = Node()
        served, other = MemoryStore(), MemoryStore()
        task = asyncio.create_task(LayerBackplane(served, layer, namespace="1").attend(node))
        await node.ready.wait()
        backplane = LayerBackplane(other, layer, namespace="1")
        items = [messages.EventMessage("told", ["cache-news"], "1")]
        await backplane._carry(make_publisher(backplane._carry), items)
        await asyncio.wait_for(node.received.wait(), 5)
        task.cancel()
        await asyncio.wait([task])
        return node.names, await served.recall("cache-news"), await other.recall("cache-news")

    assert asyncio.run(publish()) == (["told"], '["told", "1", ""]', None)
