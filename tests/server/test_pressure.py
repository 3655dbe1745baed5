"""A client that does not read harms no other."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.asgi_server import AsgiServer
from tests.services.process import wait_until
from tests.services.pusher_js import PusherJS
from tests.services.silent_client import SilentClient
from tests.services.swarm import Swarmer

pytestmark = pytest.mark.end_to_end

ROUND = 50
EVENT = {"name": "filler", "channels": ["news"], "data": "x" * 10_000}
DROPPED = "its send buffer is full"


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("name", ["uvicorn", "hypercorn"])
def test_a_client_that_does_not_read_is_disconnected(
    name: str, serve: Callable[..., AsgiServer], pusher_js: Callable[..., PusherJS]
) -> None:
    pytest.importorskip(name)
    server = serve(name)
    reader = pusher_js(port=server.port, key=server.key)
    reader.subscribe("news")
    before = resident_bytes(server.pid)
    with SilentClient(port=server.port, key=server.key, channel="news") as silent:
        sent = 0
        while DROPPED not in server.log:
            assert sent < 40 * ROUND, "the server has taken 20 MB for a client that reads nothing"
            server.publish(*[EVENT] * ROUND)
            sent += ROUND
        assert resident_bytes(server.pid) - before < 40_000_000
        server.publish({"name": "last", "channels": ["news"]})
        reader.expect("last")
        assert len(reader.events) == sent + 1, "the others have received each event once"
        # What it reads at last ends with the reason, where its server has room for it still.
        assert b"Send buffer is full" in silent.read_to_end()


@pytest.mark.parametrize("clients", [100, pytest.param(500, marks=pytest.mark.soak)])
def test_one_of_many_that_stops_reading_is_no_matter_to_the_others(
    serve: Callable[..., AsgiServer], clients: int
) -> None:
    server = serve("uvicorn")

    async def connect() -> list[Swarmer]:
        return await asyncio.gather(
            *(
                Swarmer.connect(server.port, server.key, lambda socket_id: [{"channel": "news"}])
                for _ in range(clients)
            )
        )

    async def receive(reader: Swarmer) -> list[int]:
        """Return the numbers of all events but the last."""
        numbers = []
        while (frame := await reader.read())["event"] != "last":
            numbers.append(json.loads(frame["data"])["number"])
        return numbers

    def publish() -> int:
        """Publish until the silent client is disconnected; return how many events."""
        sent = 0
        while DROPPED not in server.log:
            assert sent < 40 * ROUND, "the server has taken 20 MB for a client that reads nothing"
            data = ({"number": sent + number, "text": "x" * 10_000} for number in range(ROUND))
            server.publish(*({**EVENT, "data": each} for each in data))
            sent += ROUND
        server.publish({"name": "last", "channels": ["news"]})
        return sent

    async def run() -> None:
        async with asyncio.timeout(120):
            readers = await connect()
            before = resident_bytes(server.pid)
            with SilentClient(port=server.port, key=server.key, channel="news") as silent:
                sent, *received = await asyncio.gather(
                    asyncio.to_thread(publish), *map(receive, readers)
                )
                assert b"Send buffer is full" in silent.read_to_end()
            assert resident_bytes(server.pid) - before < 40_000_000
            assert received == [list(range(sent))] * clients
            for reader in readers:
                reader.close()

    asyncio.run(run())


def test_a_stuck_client_does_not_hold_up_the_end(
    serve: Callable[..., AsgiServer], pusher_js: Callable[..., PusherJS]
) -> None:
    server = serve("uvicorn")
    reader = pusher_js(port=server.port, key=server.key)
    with SilentClient(port=server.port, key=server.key, channel="news"):
        while DROPPED not in server.log:
            server.publish(*[EVENT] * ROUND)
        pid = server.pid
        server.signal(signal.SIGTERM)
        reader.wait_for(lambda report: report["type"] == "error" and "4150" in str(report["error"]))
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 15)
