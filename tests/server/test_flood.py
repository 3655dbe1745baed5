"""A client that writes frames as fast as it can holds up no other, whichever server reads them."""

from __future__ import annotations

import asyncio
import statistics
import time
import urllib.request
from collections.abc import Callable

import pytest

from tests.services.asgi_server import AsgiServer
from tests.services.flooder import Flooder
from tests.services.swarm import Swarmer

pytestmark = pytest.mark.end_to_end

MEDIAN = 0.25
MOST = 0.5
"""Seconds that a request of somebody else may take, and an event to somebody else."""

WINDOW = 1.0
MAX_WINDOWS = 8
"""On a busy machine something else may hold up a request, but not in each window."""

EVENT = {"name": "told", "channels": ["news"]}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("uvicorn", []),
        ("uvicorn", ["--ws", "websockets-sansio", "--loop", "asyncio"]),
        ("uvicorn", ["--ws", "websockets"]),
        ("daphne", []),
        ("hypercorn", []),
        ("granian", []),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value[1::2]) or "default",
)
def test_a_flood_of_tiny_frames_holds_up_nobody(
    name: str, arguments: list[str], serve: Callable[..., AsgiServer]
) -> None:
    pytest.importorskip(name)
    server = serve(name, arguments=arguments)

    async def run() -> None:
        bystander = await Swarmer.connect(
            server.port, server.key, lambda socket_id: [{"channel": "news"}]
        )
        try:
            with Flooder(port=server.port, key=server.key) as flooder:
                for _ in range(MAX_WINDOWS):
                    sent = flooder.sent
                    requests, events = await watch(server, bystander)
                    assert flooder.sent - sent > 50_000, "it was no flood"
                    is_well = statistics.median(requests) <= MEDIAN
                    if is_well and max(*requests, *events) <= MOST:
                        return
            raise AssertionError(f"requests took {requests}, events {events}")
        finally:
            bystander.close()

    asyncio.run(run())


@pytest.mark.parametrize("name", ["uvicorn", "daphne"])
def test_long_frames_come_as_quickly_as_ever(name: str, serve: Callable[..., AsgiServer]) -> None:
    """TCP waits, for a fifth of a second, if a server reads too little at once."""
    pytest.importorskip(name)
    server = serve(name)

    async def run() -> None:
        client = await Swarmer.connect(server.port, server.key, lambda socket_id: [])
        try:
            for _ in range(20):
                client.send({"event": "x" * 60_000})
                assert (await client.read())["event"] == "pusher:error"
        finally:
            client.close()

    asyncio.run(asyncio.wait_for(run(), 3))


async def watch(server: AsgiServer, bystander: Swarmer) -> tuple[list[float], list[float]]:
    """Return how long requests and events have taken, in seconds."""
    requests, events = [], []
    began = time.monotonic()
    while time.monotonic() - began < WINDOW:
        started = time.monotonic()
        publishing = asyncio.create_task(asyncio.to_thread(server.publish, dict(EVENT)))
        assert (await asyncio.wait_for(bystander.read(), 5))["event"] == "told"
        events.append(time.monotonic() - started)
        await publishing
        started = time.monotonic()
        await asyncio.to_thread(get, f"http://{server.host}:{server.port}/alive/")
        requests.append(time.monotonic() - started)
    return requests, events


def get(url: str) -> None:
    urllib.request.urlopen(url, timeout=5).close()
