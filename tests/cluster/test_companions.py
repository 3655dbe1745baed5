"""Several processes that serve browsers notice it, where the settings are for one alone."""

from __future__ import annotations

import asyncio
import resource
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("channels")

from channels.layers import InMemoryChannelLayer

from realtime_drf.cluster import companions, layer_backplane, messages
from realtime_drf.cluster.backplane import Backplane, LocalBackplane
from realtime_drf.cluster.companions import Companions, name_process
from realtime_drf.cluster.layer_backplane import LayerBackplane
from realtime_drf.cluster.memory_state import MemoryStore
from tests.processes import environment

OTHER = """
import asyncio, sys
from realtime_drf.cluster import companions
companions.OVERLAP = 0
async def serve():
    task = asyncio.create_task(companions.watch_machine(sys.argv[1]))
    await asyncio.sleep(0.01)
    print("serves", flush=True)
    await asyncio.to_thread(sys.stdin.read)
asyncio.run(serve())
"""


class Node:
    """Listens, and does nothing."""

    def deliver(self, items: Any) -> None: ...
    def on_ready(self) -> None: ...
    def on_disconnected(self) -> None: ...
    def on_gap(self, lost: int) -> None: ...


async def attend(served: Backplane, seconds: float = 0.1) -> None:
    task = asyncio.create_task(served.attend(Node()))
    await asyncio.wait([task], timeout=seconds)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.skipif(sys.platform != "linux", reason="names of sockets that are not files")
def test_two_processes_with_a_layer_in_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(companions, "OVERLAP", 0.0)
    name = secrets.token_hex(8)
    local = LocalBackplane(MemoryStore(), None, namespace=name)
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, name],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"serves\n"
        asyncio.run(attend(LocalBackplane(MemoryStore(), None, namespace=f"{name}-other")))
        assert warnings(caplog) == [], "another app"
        asyncio.run(attend(local))
        assert "layer is in memory" in caplog.text
        other.communicate()
    caplog.clear()
    for _ in range(2):  # one process may stop serving, and begin again
        asyncio.run(attend(local))
    assert caplog.records == []


@pytest.mark.skipif(sys.platform != "linux", reason="names of sockets that are not files")
def test_two_event_loops_are_no_second_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(companions, "OVERLAP", 0.0)
    local = LocalBackplane(MemoryStore(), None, namespace=secrets.token_hex(8))
    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(asyncio.run, attend(local, 0.3)) for _ in range(2)]:
            each.result()
    assert caplog.records == []


@pytest.mark.skipif(sys.platform != "linux", reason="names of sockets that are not files")
def test_a_process_that_cannot_look_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(companions, "OVERLAP", 0.0)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def serve() -> bool:
        task = asyncio.create_task(companions.watch_machine(secrets.token_hex(8)))
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            await asyncio.wait([task], timeout=0.05)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        return task.cancel()

    assert asyncio.run(serve())
    assert caplog.records == []


def test_two_processes_with_a_store_in_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(layer_backplane, "INTERVAL", 0.01)
    processes = iter([f"web-{number}:1" for number in range(100)])

    async def serve(name: str) -> None:
        served = LayerBackplane(MemoryStore(), Layer(asyncio.get_running_loop()), namespace="1")
        monkeypatch.setattr(layer_backplane, "name_process", lambda: name or next(processes))
        await attend(served)
        served.close()

    asyncio.run(serve(name_process()))
    assert warnings(caplog) == [], "it receives its own"
    asyncio.run(serve(""))
    assert warnings(caplog) == [], "each of them was there for a moment"
    asyncio.run(serve("web-2:7"))
    (warning,) = warnings(caplog)
    assert "(web-2:7)" in warning


class Layer(InMemoryChannelLayer):  # type: ignore[misc]
    """Delivers on the loop of its node what the publisher's thread sends."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    async def group_send(self, group: str, message: Any) -> None:
        send = super().group_send(group, message)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(send, self._loop))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what is said of other processes; posts that are cut off at the end are an error."""
    return [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]


def test_a_restart_is_no_second_process(caplog: pytest.LogCaptureFixture) -> None:
    seen = Companions()
    for number in range(10):
        seen.add(f"web-1:{number}")
        seen.add(f"web-1:{number}")
    assert caplog.records == []


def test_an_older_version_passes_over_who_serves() -> None:
    message = messages.pack("it", 1, [messages.ServingMessage("web-1:1")])
    message["messages"][0][0] = "of a later version"
    assert messages.unpack(message) == []
