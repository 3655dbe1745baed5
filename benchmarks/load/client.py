"""The process of the load: take commands as lines of JSON on stdin, answer each with a line.

The timing is done here, and no command is read while something is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import uvloop

from benchmarks.load.browser import Browser, LoadError, Tally
from benchmarks.load.events import NAME, SIZE, channel_names, event_data
from benchmarks.load.publisher import publish, trigger

HOST = "127.0.0.1"
# So many connections are made at once: more than a server's backlog is refused.
_AT_ONCE = 50
# Seconds without a message after which those that are missing have been dropped.
_QUIET = 3.0
_POLL = 0.1


class Load:
    """The connections and their counts."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.browsers: list[Browser] = []
        self.stalled: list[Browser] = []

    async def open(self, *, stalled: int = 0, **options: Any) -> dict[str, Any]:
        """Add browsers, of which the last `stalled` read nothing once they are subscribed."""
        start = time.perf_counter()
        added = await self._connect(**options)
        reading = len(added) - stalled
        self.browsers += added[:reading]
        for browser in added[reading:]:
            assert browser.transport is not None
            browser.transport.pause_reading()
            self.stalled.append(browser)
        return {"seconds": time.perf_counter() - start}

    async def _connect(
        self,
        *,
        ports: Sequence[int],
        path: str,
        subscribe: bool,
        connections: int,
        deflate: bool,
        channels: int = 1,
    ) -> list[Browser]:
        """Make connections to all ports and channels in turns; return when all are subscribed."""
        loop = asyncio.get_running_loop()
        names = channel_names(channels) if subscribe else [None]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def connect(port: int, channel: str | None) -> Browser:
            def browser() -> Browser:
                return Browser(
                    self.tally, host=f"{HOST}:{port}", path=path, channel=channel, deflate=deflate
                )

            async with gate:
                _, connected = await loop.create_connection(browser, HOST, port)
                await asyncio.wait_for(connected.ready, 30)
                return connected

        return await asyncio.gather(
            *(
                connect(ports[number % len(ports)], names[number % len(names)])
                for number in range(connections)
            )
        )

    async def run(
        self,
        *,
        ports: Sequence[int],
        app: dict[str, str],
        events: int,
        under_way: int,
        size: int = SIZE,
        channels: int = 1,
    ) -> dict[str, Any]:
        """Trigger events, each on all channels; return what came until nothing more did."""
        turns = {
            port: trigger(
                host=f"{HOST}:{port}",
                name=NAME,
                channels=channel_names(channels),
                data=event_data(size),
                **app,
            )
            for port in ports
        }
        requests = list(itertools.islice(itertools.cycle(turns.items()), events))
        tally = self.tally
        tally.messages = tally.size = 0
        tally.expected = events * len(self.browsers)
        arrived: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        tally.on_expected = lambda: arrived.set_result(time.perf_counter())
        processor, start = time.process_time(), time.perf_counter()
        await publish(requests, host=HOST, under_way=under_way)
        published = time.perf_counter()
        end = await self._wait(arrived)
        tally.on_expected = None
        return {
            "messages": tally.messages,
            "expected": tally.expected,
            "bytes": tally.size,
            "seconds": end - start,
            "publishing_seconds": published - start,
            "client_cpu": time.process_time() - processor,
            "lost": sum(browser.lost for browser in self.browsers),
        }

    async def _wait(self, arrived: asyncio.Future[float]) -> float:
        """Return when the last message came: the last expected, or the last before it is quiet."""
        seen, last = -1, time.perf_counter()
        while not arrived.done():
            if self.tally.messages != seen:
                seen, last = self.tally.messages, time.perf_counter()
            elif time.perf_counter() - last > _QUIET:
                return last
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(arrived), _POLL)
        return arrived.result()

    async def close(self) -> dict[str, Any]:
        """End all connections."""
        for browser in [*self.browsers, *self.stalled]:
            assert browser.transport is not None
            browser.transport.abort()
        while not all(browser.lost for browser in [*self.browsers, *self.stalled]):
            await asyncio.sleep(0.01)
        self.browsers.clear()
        self.stalled.clear()
        return {}


async def serve() -> None:
    """Do what stdin says until it ends."""
    load = Load()
    commands: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
        "open": load.open,
        "run": load.run,
        "close": load.close,
    }
    while line := await asyncio.to_thread(sys.stdin.readline):
        given = json.loads(line)
        try:
            answer = await commands[given.pop("do")](**given)
        except* (LoadError, OSError) as errors:
            answer = {"error": repr(errors.exceptions[0])}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(serve())
