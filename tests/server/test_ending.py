"""A node that has to end does, whatever the layer and the store make of it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("channels")

from realtime_drf.cluster.layer_backplane import LayerBackplane
from realtime_drf.cluster.memory_state import MemoryStore
from realtime_drf.cluster.serial_worker import end
from realtime_drf.pusher_protocol import frames
from realtime_drf.server import connection as connection_module
from realtime_drf.server import shutdown as stopping
from realtime_drf.server.shutdown import stop_gracefully
from tests.server.harness import Site


class DenyingLayer:
    """Turn the cancellation of a call into an error of the connection, as Redis clients do."""

    async def new_channel(self) -> str:
        return "specific.name"

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
    def on_disconnected(self) -> None: ...
    def on_gap(self, lost: int) -> None: ...


def test_attending_ends_when_it_is_cancelled() -> None:
    async def attend() -> None:
        backplane = LayerBackplane(MemoryStore(), DenyingLayer(), namespace="1")
        task = asyncio.create_task(backplane.attend(SilentNode()))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert done
        assert task.cancelled()

    asyncio.run(attend())


class DenyingStore(MemoryStore):
    """Do so once it is held."""

    is_held = False

    async def recall(self, channel: str) -> str | None:
        if not self.is_held:
            return await super().recall(channel)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError from None
        return None


def test_a_client_that_is_given_up_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT", 0.01)
    store = DenyingStore()
    with Site(store=store) as site:
        client = site.connect()
        client.subscribe("news")
        store.is_held = client.is_stuck = True
        client.subscribe("cache-news")
        site.publish("told", "news", "never read")
        site.loop.call_soon(site.node.connections[client.socket_id].close, frames.RECONNECT)
        site.wait_for(lambda: not client.is_served)


def test_clients_of_the_only_process_wait_a_second_before_they_reconnect() -> None:
    with Site() as site:
        client = site.connect()
        site.run(site.node.drain())
        assert client.close_code == frames.RECONNECT_LATER


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Return a signal whose handler a test may replace."""
    monkeypatch.setattr(stopping, "_delays", [])
    before = signal.getsignal(signal.SIGTERM)
    yield signal.SIGTERM
    signal.signal(signal.SIGTERM, before)


def test_a_signal_that_is_ignored_sends_nobody_away(
    handled: int, loop: asyncio.AbstractEventLoop
) -> None:
    signal.signal(handled, signal.SIG_IGN)
    stop_gracefully(loop, [])
    assert signal.getsignal(handled) is signal.SIG_IGN


def test_a_signal_that_is_handled_outside_of_python_stays_so(
    handled: int, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(handled)
    with monkeypatch.context() as patch:
        patch.setattr(signal, "getsignal", lambda number: None)
        stop_gracefully(loop, [])
    assert signal.getsignal(handled) is before


class SlowNode:
    """Take a while to send the clients away."""

    def __init__(self, happened: list[str]) -> None:
        self._happened = happened

    async def drain(self) -> None:
        await asyncio.sleep(0.05)
        self._happened.append("told")


def _make_loop(name: str) -> asyncio.AbstractEventLoop:
    if name == "asyncio":
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = pytest.importorskip(name).new_event_loop()
    return loop


@pytest.mark.parametrize("name", ["asyncio", "uvloop"])
@pytest.mark.usefixtures("handled")
def test_a_handler_of_the_loop_waits_for_draining_too(name: str) -> None:
    happened: list[str] = []
    loop = _make_loop(name)

    async def act() -> None:
        ended, hung_up = asyncio.Event(), asyncio.Event()

        def end() -> None:
            happened.append("ended")
            ended.set()

        loop.add_signal_handler(signal.SIGTERM, end)
        loop.add_signal_handler(signal.SIGUSR1, hung_up.set)
        stop_gracefully(loop, [SlowNode(happened)])  # type: ignore[list-item]
        async with asyncio.timeout(10):
            signal.raise_signal(signal.SIGUSR1)
            await hung_up.wait()  # other signals are none of its business
            signal.raise_signal(signal.SIGTERM)
            await ended.wait()
            ended.clear()
            signal.raise_signal(signal.SIGTERM)  # a second is not held back
            await ended.wait()

    try:
        loop.run_until_complete(act())
    finally:
        loop.close()
    assert happened == ["told", "ended", "ended"]


def test_a_signal_that_is_held_goes_before_another(handled: int) -> None:
    # uvicorn takes an interrupt after it was told to end for the wish to end by force.
    order: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: order.append(number))
    signal.signal(handled, lambda number, frame: order.append(number))

    async def act() -> None:
        patch = pytest.MonkeyPatch()
        with patch.context() as patched:
            patched.setattr(stopping, "SIGNALS", (signal.SIGUSR1, signal.SIGTERM))
            stop_gracefully(asyncio.get_running_loop(), [SlowNode(told)])  # type: ignore[list-item]
        signal.raise_signal(signal.SIGUSR1)
        await asyncio.sleep(0)
        assert order == []
        signal.raise_signal(handled)
        assert order == [signal.SIGUSR1, handled]
        async with asyncio.timeout(10):
            while not told:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0)

    told: list[str] = []
    try:
        asyncio.run(act())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert order == [signal.SIGUSR1, handled]


@pytest.mark.parametrize("end", ["stopped", "closed"])
def test_a_signal_after_the_loop_is_not_held(handled: int, end: str) -> None:
    came: list[int] = []
    signal.signal(handled, lambda number, frame: came.append(number))
    loop = asyncio.new_event_loop()

    async def act() -> None:
        stop_gracefully(loop, [])

    loop.run_until_complete(act())
    try:
        if end == "closed":
            loop.close()
        signal.raise_signal(handled)
        assert came == [handled]
    finally:
        loop.close()


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="open files cannot be counted")
def test_loops_one_after_another_take_no_more_descriptors(handled: int) -> None:
    came: list[int] = []
    before = signal.signal(handled, lambda number, frame: came.append(number))
    counts = []
    for _ in range(3):
        first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
        stop_gracefully(first, [])
        stop_gracefully(second, [])  # two at once are in force one on the other
        first.close()
        second.close()
        counts.append(len(list(Path("/dev/fd").iterdir())))
    assert counts == [counts[0]] * 3
    signal.raise_signal(handled)
    assert came == [handled]
    signal.signal(handled, before)


def test_a_handler_that_was_installed_later_is_kept(handled: int) -> None:
    loop = asyncio.new_event_loop()
    stop_gracefully(loop, [])
    loop.close()
    ours = signal.getsignal(handled)
    came: list[int] = []

    def handle(number: int, frame: Any) -> None:
        came.append(number)
        signal.signal(number, ours)

    signal.signal(handled, handle)
    other = asyncio.new_event_loop()
    stop_gracefully(other, [])
    other.close()
    signal.raise_signal(handled)
    assert came == [handled]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_signal_to_a_child_is_not_held(handled: int, loop: asyncio.AbstractEventLoop) -> None:
    signal.signal(handled, signal.SIG_DFL)

    async def act() -> int:
        stop_gracefully(loop, [])
        pid = os.fork()
        if pid == 0:
            os.kill(os.getpid(), handled)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        return status

    status = loop.run_until_complete(act())
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == handled


class QuietLayer(DenyingLayer):
    """Give up a call in which nothing comes, as redis-py does from 8.0, then bring a message."""

    def __init__(self, loop_time: list[float]) -> None:
        self.calls = 0
        self._time = loop_time

    async def group_add(self, group: str, name: str) -> None:
        pass

    async def receive(self, name: str) -> Any:
        self.calls += 1
        if self.calls < 4:
            self._time[0] += 5
            raise TimeoutError
        if self.calls == 4:
            return {"messages": [["disconnect", "7"]], "from": "a", "number": 1}
        return await asyncio.Event().wait()


def test_silence_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    class Node(SilentNode):
        def deliver(self, items: Any) -> None:
            delivered.extend(items)

    delivered: list[Any] = []
    offset = [0.0]

    async def attend() -> None:
        loop = asyncio.get_running_loop()
        real = loop.time
        loop.time = lambda: real() + offset[0]  # type: ignore[method-assign]
        backplane = LayerBackplane(MemoryStore(), QuietLayer(offset), namespace="1")
        task = asyncio.create_task(backplane.attend(Node()))
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(attend())
    assert [item.user_id for item in delivered] == ["7"]
    assert caplog.text == ""


def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = []

    async def stubborn() -> None:
        for number in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(number)
        await asyncio.Event().wait()

    async def act() -> None:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await end([task])
        assert task.cancelled()

    asyncio.run(act())
    assert swallowed == [0, 1]
