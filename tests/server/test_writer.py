"""An writer is done with whatever its server does in the meantime."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from contextvars import ContextVar
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_drf.server.fast_path import FastPath, FlushScheduler, TextMessage
from realtime_drf.server.pace import MAX_STEPS, Pace
from realtime_drf.server.writer import MAX_BACKLOG_BYTES, Writer


class Server:
    """Take messages as an ASGI server does, but those that have to wait until it reads on."""

    def __init__(self) -> None:
        self.sent: list[MutableMapping[str, Any]] = []
        self.reads = asyncio.Event()

    async def send(self, message: MutableMapping[str, Any]) -> None:
        await self.reads.wait()
        self.sent.append(message)


class OwnServer(Server):
    """The same, where `send` is known to be an ASGI server's own."""

    __module__ = "hypercorn.protocol.ws_stream"


both = pytest.mark.parametrize("kind", [Server, OwnServer])

trace: ContextVar[str] = ContextVar("trace")


class Tracing:
    """A middleware that sets a context variable for as long as a message is being sent."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def send(self, message: MutableMapping[str, Any]) -> None:
        token = trace.set("sending")
        try:
            await self._server.send(message)
        finally:
            trace.reset(token)


class OwnTracing(Tracing):
    """The same, of an ASGI server itself."""

    __module__ = "uvicorn.protocols.websockets.another"


class Hurrying:
    """A middleware that bounds how long a message may take."""

    def __init__(self, server: Server, seconds: float) -> None:
        self._server = server
        self._seconds = seconds

    async def send(self, message: MutableMapping[str, Any]) -> None:
        async with asyncio.timeout(self._seconds):
            await self._server.send(message)


@both
def test_nobody_waits_for_what_was_abandoned_before_it_began_to_wait(kind: type[Server]) -> None:
    async def abandon() -> None:
        writer = Writer(kind().send)
        writer.write(TextMessage("never read"))
        writer.abandon()
        async with asyncio.timeout(5):
            await asyncio.gather(writer.flushed(), writer.caught_up())

    asyncio.run(abandon())


@both
def test_a_client_that_has_caught_up_too_late_still_receives_why_it_is_closed(
    kind: type[Server],
) -> None:
    async def overflow() -> None:
        server = kind()
        writer = Writer(server.send)
        writer.write(TextMessage("first"))
        assert not writer.write(TextMessage("x" * MAX_BACKLOG_BYTES))
        server.reads.set()
        await writer.flushed()
        assert not writer.write(TextMessage("not after a gap"))
        writer.finish({"type": "websocket.close"})
        await writer.flushed()
        assert [each["type"] for each in server.sent] == ["websocket.send", "websocket.close"]
        assert not writer.write(TextMessage("nor after the close"))

    asyncio.run(overflow())


@pytest.mark.parametrize(("count", "size"), [(8, MAX_BACKLOG_BYTES // 3), (9_000, 1)])
def test_a_slow_client_may_be_sent_more_in_all_than_may_wait_at_once(count: int, size: int) -> None:
    class Slow(Server):
        async def send(self, message: MutableMapping[str, Any]) -> None:
            await super().send(message)
            self.reads.clear()

    async def dawdle() -> None:
        server = Slow()
        writer = Writer(server.send)
        writer.write(TextMessage("first"))
        for number in range(count):  # two wait at a time
            assert writer.write(TextMessage("x" * size))
            while len(server.sent) <= number:
                server.reads.set()
                await asyncio.sleep(0)
        server.reads.set()
        await writer.flushed()
        assert len(server.sent) == count + 1

    asyncio.run(dawdle())


def test_messages_with_hardly_any_text_fill_a_backlog_too() -> None:
    async def fill() -> None:
        writer = Writer(Server().send)
        writer.write(TextMessage("first"))
        most = MAX_BACKLOG_BYTES // 64
        assert not all(writer.write(TextMessage("")) for _ in range(most + 1))
        writer.abandon()

    asyncio.run(fill())


@both
def test_a_close_goes_ahead_of_the_backlog_and_behind_what_is_being_sent(
    kind: type[Server],
) -> None:
    async def close() -> None:
        server = kind()
        writer = Writer(server.send)
        for text in ("being sent", "waits", "waits too"):
            assert writer.write(TextMessage(text))
        await asyncio.sleep(0)
        writer.finish({"type": "websocket.close", "code": 4009})
        assert not writer.write(TextMessage("after the close"))
        server.reads.set()
        await writer.flushed()
        assert [each.get("text", each["type"]) for each in server.sent] == [
            "being sent",
            "websocket.close",
        ]

    asyncio.run(close())


@both
def test_to_have_caught_up_is_to_have_sent_all_that_waited_and_nothing_since(
    kind: type[Server],
) -> None:
    class Slow(kind):  # type: ignore[misc, valid-type]
        __module__ = kind.__module__

        async def send(self, message: MutableMapping[str, Any]) -> None:
            await super().send(message)
            self.reads.clear()

    async def catch_up() -> None:
        server = Slow()
        writer = Writer(server.send)
        for number in range(3):
            writer.write(TextMessage(str(number)))
        waiting = asyncio.create_task(writer.caught_up())
        for number in range(3):
            await asyncio.sleep(0)
            assert not waiting.done()
            writer.write(TextMessage("since"))
            server.reads.set()
            while len(server.sent) <= number:
                await asyncio.sleep(0)
        await asyncio.wait_for(waiting, 5)
        assert len(server.sent) == 3
        writer.abandon()

    asyncio.run(catch_up())


def test_a_server_may_return_a_future() -> None:
    async def write() -> None:
        server = Server()
        writer = Writer(lambda message: asyncio.ensure_future(server.send(message)))
        assert writer.write(TextMessage("first"))
        assert writer.write(TextMessage("second"))
        server.reads.set()
        await writer.flushed()
        assert [each["text"] for each in server.sent] == ["first", "second"]
        assert not writer.is_disconnected

    asyncio.run(write())


@pytest.mark.parametrize("middleware", [Tracing, OwnTracing])
def test_a_send_that_sets_and_resets_a_variable_loses_nothing_of_a_client_that_paused(
    middleware: type[Tracing],
) -> None:
    async def pause() -> None:
        server = Server()
        writer = Writer(middleware(server).send)
        for number in range(3):
            assert writer.write(TextMessage(str(number)))
        await asyncio.sleep(0)  # it has begun to wait
        assert writer.write(TextMessage("3"))
        server.reads.set()
        await writer.flushed()
        assert writer.write(TextMessage("later"))
        await writer.flushed()
        assert [each["text"] for each in server.sent] == ["0", "1", "2", "3", "later"]
        assert not writer.is_disconnected
        assert trace.get("") == "", "the context of the caller is as it was"

    asyncio.run(pause())


def test_a_send_with_a_timeout_loses_nothing_of_a_client_that_paused() -> None:
    async def pause() -> None:
        server = Server()
        writer = Writer(Hurrying(server, 60).send)
        asyncio.get_running_loop().call_soon(writer.write, TextMessage("of no task"))
        await asyncio.sleep(0)
        assert writer.write(TextMessage("of a task"))
        await asyncio.sleep(0)
        server.reads.set()
        await writer.flushed()
        assert [each["text"] for each in server.sent] == ["of no task", "of a task"]

    asyncio.run(pause())


def test_a_timeout_of_a_send_hits_nobody_but_that_client() -> None:
    async def time_out() -> None:
        writer = Writer(Hurrying(Server(), 0.01).send)
        writer.write(TextMessage("never read"))
        await asyncio.wait_for(writer.flushed(), 5)
        assert writer.is_disconnected
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

    asyncio.run(time_out())


def test_a_client_that_reads_on_does_not_keep_the_loop_to_itself() -> None:
    async def read_on() -> None:
        server = Server()
        writer = Writer(server.send, pace=Pace(lambda: 0.0))
        for number in range(10 * MAX_STEPS):
            assert writer.write(TextMessage(str(number)))
        server.reads.set()
        turns = []
        while writer.task is not None:
            await asyncio.sleep(0)
            turns.append(len(server.sent))
        assert turns[-1] == 10 * MAX_STEPS
        assert max(after - before for before, after in pairwise(turns)) <= MAX_STEPS

    asyncio.run(read_on())


def test_one_client_whose_transport_fails_keeps_nothing_from_the_others() -> None:
    written: list[bytes] = []

    def fail(data: bytes) -> None:
        raise RuntimeError("the handler is closed")

    async def write() -> None:
        scheduler = FlushScheduler()
        for act in (fail, written.append):
            transport = SimpleNamespace(is_closing=lambda: False, write=act)
            protocol = SimpleNamespace(
                writable=asyncio.Event(), disconnected=False, close_sent=False, transport=transport
            )
            protocol.writable.set()
            assert FastPath(protocol, scheduler).write(TextMessage("hello"))
        await asyncio.sleep(0)

    asyncio.run(write())
    assert written == [b"\x81\x05hello"]
