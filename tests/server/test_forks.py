"""The child of a fork publishes as any process does, and its parent's nodes are not its own."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("channels")

from realtime_drf.cluster import messages
from realtime_drf.cluster.backplane import Backplane, LocalBackplane
from realtime_drf.cluster.layer_backplane import LayerBackplane
from realtime_drf.cluster.memory_state import MemoryStore
from realtime_drf.events import Event
from realtime_drf.forks import ForkLock, PerProcess
from tests.server.harness import Site

PATIENCE = 10
ITEMS = [messages.EventMessage("told", ["cache-news"], "1")]


class Layer:
    """Take everything."""

    async def group_send(self, group: str, message: Any) -> None: ...


def in_fork(work: Callable[[], object]) -> int:
    """Have a child of this process work, and return 0 if it did, in time and without an error."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


def while_held(lock: Any, act: Callable[[], int]) -> int:
    """Act while another thread holds a lock."""
    is_held, is_done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            is_held.set()
            is_done.wait(2 * PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    assert is_held.wait(PATIENCE)
    try:
        return act()
    finally:
        is_done.set()
        thread.join()


@pytest.mark.parametrize("kind", ["layer", "local"])
@pytest.mark.parametrize("which", ["backplane", "store"])
def test_a_child_publishes_though_a_thread_of_its_parent_was_publishing(
    kind: str, which: str
) -> None:
    store = MemoryStore()
    store.is_shared = kind == "layer"  # so that it is written by whoever publishes
    backplane: Backplane = (
        LayerBackplane(store, Layer(), namespace="1")
        if kind == "layer"
        else LocalBackplane(store, None)
    )
    backplane.publish(ITEMS, PATIENCE)
    parts = {"store": store, "backplane": vars(backplane).get("_local", backplane)}
    lock = vars(parts[which])["_lock"]
    try:
        assert while_held(lock, lambda: in_fork(lambda: backplane.publish(ITEMS, PATIENCE))) == 0
    finally:
        backplane.close()


def test_what_a_child_publishes_in_memory_reaches_nobody_and_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Site() as site:
        client = site.connect()
        client.subscribe("news")
        client.take()

        def publish() -> None:
            site.send(Event("told", "news", "child"))
            assert not site.transport.app.backplane.reaches_nodes
            assert ["reaches nobody" in each.getMessage() for each in caplog.records] == [True]
            before = len(site.loop._ready)  # type: ignore[attr-defined]
            site.transport.app.backplane.post(ITEMS)
            assert len(site.loop._ready) == before  # type: ignore[attr-defined]

        assert in_fork(publish) == 0
        site.publish("told", "news", "parent")
        assert client.events() == [("told", "news", "parent")]
    assert caplog.records == []


def test_a_child_may_serve_browsers_of_its_own() -> None:
    with Site() as site:

        def serve() -> None:
            with Site(beside=site) as own:
                client = own.connect()
                client.subscribe("news")
                client.take()
                own.publish("told", "news", "child")
                assert client.events() == [("told", "news", "child")]
                assert len(vars(site.transport.app.backplane)["_local"].get().loops) == 1

        assert in_fork(serve) == 0


def test_a_lock_is_kept_alive_by_nothing() -> None:
    lock = weakref.ref(ForkLock())
    gc.collect()
    assert lock() is None


class Resource:
    """A resource that notes whether it was destroyed."""

    destroyed: list[int] = []  # noqa: RUF012  each process has its own copy

    def __del__(self) -> None:
        self.destroyed.append(os.getpid())


def test_each_process_makes_its_own_and_leaves_its_parents_alone() -> None:
    each = PerProcess(Resource)
    assert each.peek() is None
    assert each.take() is None
    parents = each.get()
    assert each.get() is each.peek() is parents
    address = id(parents)
    del parents

    def use() -> None:
        Resource.destroyed.clear()
        assert each.peek() is None
        assert id(each.get()) != address
        assert each.get() is each.take()
        assert in_fork(lambda: each.get() and None) == 0
        gc.collect()
        assert len(Resource.destroyed) == 1, "its own, which was taken"

    assert in_fork(use) == 0
    assert id(each.take()) == address
    assert each.peek() is None


def test_threads_of_a_process_share_one() -> None:
    barrier = threading.Barrier(8)
    each = PerProcess(object)
    found: list[object] = []

    def get() -> None:
        barrier.wait(PATIENCE)
        found.append(each.get())

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(one) for one in found}) == 1


def test_a_child_makes_its_own_though_a_thread_of_its_parent_was_making_one() -> None:
    each = PerProcess(object)
    lock = vars(each)["_lock"]
    assert while_held(lock, lambda: in_fork(each.get)) == 0
