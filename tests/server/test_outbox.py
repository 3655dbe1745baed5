"""An outbox is done with whatever its server does in the meantime."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any

from realtime_drf.server.outbox import MAX_BACKLOG_BYTES, Outbox
from realtime_drf.server.shortcut import Shortcut, TextMessage, Turn


class Server:
    """Take messages as an ASGI server does, but those that have to wait until it reads on."""

    def __init__(self) -> None:
        self.sent: list[MutableMapping[str, Any]] = []
        self.reads = asyncio.Event()

    async def send(self, message: MutableMapping[str, Any]) -> None:
        await self.reads.wait()
        self.sent.append(message)


def test_nobody_waits_for_what_was_abandoned_before_it_began_to_wait() -> None:
    async def abandon() -> None:
        outbox = Outbox(Server().send)
        outbox.write(TextMessage("never read"))
        outbox.abandon()
        async with asyncio.timeout(5):
            await asyncio.gather(outbox.flushed(), outbox.caught_up())

    asyncio.run(abandon())


def test_a_client_that_has_caught_up_too_late_is_still_told_why_it_is_closed() -> None:
    async def overflow() -> None:
        server = Server()
        outbox = Outbox(server.send)
        outbox.write(TextMessage("first"))
        assert not outbox.write(TextMessage("x" * MAX_BACKLOG_BYTES))
        server.reads.set()
        await outbox.flushed()
        assert not outbox.write(TextMessage("not after a gap"))
        outbox.finish({"type": "websocket.close"})
        assert [each["type"] for each in server.sent] == ["websocket.send", "websocket.close"]
        assert not outbox.write(TextMessage("nor after the close"))

    asyncio.run(overflow())


def test_one_client_whose_transport_fails_keeps_nothing_from_the_others() -> None:
    written: list[bytes] = []

    def fail(data: bytes) -> None:
        raise RuntimeError("the handler is closed")

    async def write() -> None:
        turn = Turn()
        for act in (fail, written.append):
            transport = SimpleNamespace(is_closing=lambda: False, write=act)
            protocol = SimpleNamespace(
                writable=asyncio.Event(), disconnected=False, close_sent=False, transport=transport
            )
            protocol.writable.set()
            assert Shortcut(protocol, turn).write(TextMessage("hello"))
        await asyncio.sleep(0)

    asyncio.run(write())
    assert written == [b"\x81\x05hello"]
