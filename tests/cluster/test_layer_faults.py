"""Events reach subscribers once and in order, though connections die and the store fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

pytest.importorskip("channels")

from realtime_drf.cluster import last_events, messages
from realtime_drf.cluster.last_events import LastEvents
from realtime_drf.cluster.layer_backplane import LayerBackplane, _read
from realtime_drf.cluster.memory_state import MemoryStore
from realtime_drf.cluster.sequence import GapDetector
from realtime_drf.logs import FailureLog
from tests.examples import scaled
from tests.server.harness import Clock
from tests.services.process import wait_until

PATIENCE = 10.0


class ReadOnlyError(Exception):
    """Named as redis-py's."""


class FaultyLayer:
    """Takes messages, unless it fails as the test says: each fault is used up by one call."""

    FAULTS: ClassVar = {
        "closed": ConnectionResetError,
        "closed after the call": ConnectionResetError,
        "demoted": ReadOnlyError,
    }

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.faults: list[str] = []

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        fault = self.faults.pop(0) if self.faults else None
        if fault in (None, "closed after the call"):
            self.sent.append((group, message))
        if fault is not None:
            raise self.FAULTS[fault]

    def receive(self, group: str) -> list[str]:
        """Return the names of all events on the group, as a node reads them."""
        gap_detector = GapDetector(lambda lost: None)
        return [
            item.name
            for to, message in self.sent
            if to == group
            for item in _read(message, gap_detector)
            if isinstance(item, messages.EventMessage)
        ]


class SharedStore(MemoryStore):
    """Keeps the last events of all processes, unless it fails or hangs."""

    is_shared = True
    mode = "works"

    async def remember(self, events: Mapping[str, str], age: float = 0.0) -> None:
        if self.mode == "fails":
            raise ConnectionError("redis://:a-password@store/0")
        if self.mode == "hangs":
            await asyncio.sleep(PATIENCE)
        await super().remember(events, age)

    def recalls(self, channel: str) -> str | None:
        return asyncio.run(self.recall(channel))


def event(name: str, channel: str = "cache-news") -> messages.EventMessage:
    return messages.EventMessage(name, [channel], "1")


@pytest.fixture
def layer() -> FaultyLayer:
    return FaultyLayer()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> SharedStore:
    monkeypatch.setattr(last_events, "PAUSE", 0.01)
    return SharedStore()


@pytest.fixture
def backplane(layer: FaultyLayer, store: SharedStore) -> Iterator[LayerBackplane]:
    made = LayerBackplane(store, layer, namespace="1", consumer_groups=True)
    yield made
    made.close()


NODES = messages.node_group("1")


@pytest.mark.parametrize(
    "unknown", [{"_connections": [object()]}, {"_shards": [object()]}, {"_shards": None}]
)
def test_a_layer_of_another_version_is_called_all_the_same(
    backplane: LayerBackplane, layer: FaultyLayer, unknown: dict[str, Any]
) -> None:
    vars(layer)["_layers"] = {backplane._thread.loop: SimpleNamespace(**unknown)}
    layer.faults = ["closed"]
    backplane.publish([event("one")], PATIENCE)
    assert layer.receive(NODES) == ["one"]


@pytest.mark.parametrize("fault", FaultyLayer.FAULTS)
def test_a_call_that_met_a_dead_connection_is_made_once_more(
    backplane: LayerBackplane, layer: FaultyLayer, fault: str
) -> None:
    for number in range(3):
        layer.faults = [fault]
        backplane.publish([event(f"told-{number}", "news")], PATIENCE)
    assert layer.receive(NODES) == ["told-0", "told-1", "told-2"]
    consumers = [message["name"] for group, message in layer.sent if group == "realtime.news"]
    assert consumers == ["told-0", "told-1", "told-2"]


def test_consumers_may_get_what_was_sent_once_more_twice(
    backplane: LayerBackplane, layer: FaultyLayer
) -> None:
    layer.faults = []
    backplane.publish([event("told-0", "news")], PATIENCE)
    layer.faults = ["closed after the call"] * 2
    with pytest.raises(ConnectionResetError):  # and no more than once more
        backplane.publish([event("told-1", "news")], PATIENCE)
    assert layer.receive(NODES) == ["told-0", "told-1"]


def test_other_errors_of_a_layer_are_not_tried_again(
    backplane: LayerBackplane, layer: FaultyLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FaultyLayer.FAULTS, "refused", TypeError)
    layer.faults = ["refused"]
    with pytest.raises(TypeError):
        backplane.publish([event("told", "news")], PATIENCE)
    assert layer.sent == []


@pytest.mark.parametrize("mode", ["fails", "hangs"])
def test_a_store_that_fails_takes_no_event_with_it(
    backplane: LayerBackplane,
    layer: FaultyLayer,
    store: SharedStore,
    mode: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.mode = mode
    began = time.monotonic()
    for number in range(20):
        backplane.publish([event(f"cached-{number}"), event(f"plain-{number}", "news")], PATIENCE)
    assert time.monotonic() - began < 5, "and holds none of them up, but for the first"
    names = layer.receive(NODES)
    assert names == [f"{kind}-{number}" for number in range(20) for kind in ("cached", "plain")]
    store.mode = "works"
    wait_until(lambda: store.recalls("cache-news") == '["cached-19", "1", ""]', PATIENCE)
    backplane.publish([event("cached-20")], PATIENCE)
    wait_until(lambda: store.recalls("cache-news") == '["cached-20", "1", ""]', PATIENCE)
    messages = {each.getMessage().partition(" (")[0] for each in caplog.records}
    assert messages <= {
        f"The store of the server failed: {name}" for name in ("ConnectionError", "TimeoutError")
    }
    assert messages


def test_a_store_that_hangs_leaves_a_short_timeout_enough(
    layer: FaultyLayer, store: SharedStore
) -> None:
    store.mode = "hangs"
    backplane = LayerBackplane(store, layer, namespace="1", send_timeout=0.4)
    try:
        backplane.publish([event("cached")], 0.4)
    finally:
        backplane.close()
    assert layer.receive(NODES) == ["cached"]


def test_what_waited_for_the_store_replaces_nothing_that_is_later(store: SharedStore) -> None:
    clock = Clock()
    store = SharedStore(clock=clock)

    async def publish() -> None:
        late = LastEvents(store, FailureLog("", clock), clock=clock)
        store.mode = "fails"
        await late.keep({"cache-a": "waited", "cache-b": "waited"})
        store.mode = "works"
        clock.now += 1
        await store.remember({"cache-a": "later"})
        clock.now += 1
        async with asyncio.timeout(PATIENCE):
            while await store.recall("cache-b") is None:
                await asyncio.sleep(0.001)
        assert await store.recall("cache-b") == "waited"
        assert await store.recall("cache-a") == "later"

    asyncio.run(publish())


def test_no_more_channels_wait_for_the_store_than_may(
    store: SharedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_events, "MAX_WAITING", 3)

    async def publish() -> list[str | None]:
        late = LastEvents(store, FailureLog("", Clock()))
        store.mode = "fails"
        for number in range(5):
            await late.keep({f"cache-{number}": "waited"})
        store.mode = "works"
        async with asyncio.timeout(PATIENCE):
            while await store.recall("cache-4") is None:
                await asyncio.sleep(0.001)
        return [await store.recall(f"cache-{number}") for number in range(5)]

    assert asyncio.run(publish()) == [None, None, "waited", "waited", "waited"]


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 12)), max_size=60))
def test_a_number_counts_once_however_often_and_late_it_comes(
    messages: list[tuple[str, int]],
) -> None:
    lost: list[int] = []
    gap_detector = GapDetector(lost.append)
    taken = [message for message in messages if gap_detector.take(*message)]
    assert len(taken) == len(set(taken))
    for sender in {sender for sender, _ in messages}:
        first = next(number for each, number in messages if each == sender)
        expected = {number for each, number in messages if each == sender and number >= first}
        assert {number for each, number in taken if each == sender} == expected
    assert all(count > 0 for count in lost)


class Publishing(RuleBasedStateMachine):
    """Publish through a layer that closes connections and beside a store that fails."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.store = FaultyLayer(), SharedStore()
        self.backplane = LayerBackplane(self.store, self.layer, namespace="1")
        self.published: list[str] = []
        self.last_cached = ""

    def teardown(self) -> None:
        """In the end the store has the last event of the cache channel."""
        self.store.mode = "works"
        try:
            if self.last_cached:
                text = f'["{self.last_cached}", "1", ""]'
                wait_until(lambda: self.store.recalls("cache-news") == text, PATIENCE)
        finally:
            self.backplane.close()

    @rule(channels=st.lists(st.sampled_from(["news", "cache-news"]), min_size=1, max_size=3))
    def publish(self, channels: list[str]) -> None:
        start = len(self.published)
        items = [event(f"told-{number}", each) for number, each in enumerate(channels, start)]
        self.backplane.publish(items, PATIENCE)
        self.published += [item.name for item in items]
        cached = [item.name for item in items if item.channels == ["cache-news"]]
        self.last_cached = cached[-1] if cached else self.last_cached

    @rule(fault=st.sampled_from(sorted(FaultyLayer.FAULTS)))
    def connection_dies(self, fault: str) -> None:
        self.layer.faults = [fault]

    @rule(mode=st.sampled_from(["works", "fails"]))
    def store_changes(self, mode: str) -> None:
        self.store.mode = mode

    @invariant()
    def all_has_arrived_once_and_in_order(self) -> None:
        assert self.layer.receive(NODES) == self.published


@pytest.mark.hypothesis
@pytest.mark.usefixtures("store")
def test_everything_arrives_once_and_in_order_whatever_fails() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Publishing, settings=settings(max_examples=scaled(50), stateful_step_count=20)
    )
