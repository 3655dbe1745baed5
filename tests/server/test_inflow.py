"""A server reads no more from a client than has been handled, where that can be seen to."""

from __future__ import annotations

import asyncio
import functools
import socket
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("channels")

from realtime_drf.server.inflow import MAX_READ, READ_BUFFER, Inflow


class Daphne:
    """The server of daphne, as its applications see it."""

    __module__ = "daphne.server"

    async def handle_reply(self, protocol: Any, message: Any) -> None:
        pass


class Transport:
    """A transport of Twisted that notes whether it reads."""

    bufferSize = 65_536  # noqa: N815  Twisted's name

    def __init__(self) -> None:
        self.reads = [True]

    def pauseProducing(self) -> None:  # noqa: N802
        self.reads.append(False)

    def resumeProducing(self) -> None:  # noqa: N802
        self.reads.append(True)


class Uvicorn:
    """A WebSocket of uvicorn."""

    __module__ = "uvicorn.protocols.websockets.websockets_sansio_impl"

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    async def receive(self) -> Any:
        pass

    async def send(self, message: Any) -> None:
        pass


def read_buffer(connection: socket.socket) -> int:
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def test_daphne_reads_on_once_all_is_handled_that_it_has_read() -> None:
    queue: asyncio.Queue[Any] = asyncio.Queue()
    transport = Transport()
    send = functools.partial(Daphne().handle_reply, SimpleNamespace(transport=transport))
    inflow = Inflow(queue.get, send)
    assert transport.bufferSize == MAX_READ
    inflow.keep_up()
    assert transport.reads == [True]
    queue.put_nowait("one")
    queue.put_nowait("two")
    for _ in range(2):
        inflow.keep_up()
        queue.get_nowait()
        assert transport.reads == [True, False]
    for _ in range(2):
        inflow.keep_up()
        assert transport.reads == [True, False, True]


def test_uvicorn_reads_a_little_at_once() -> None:
    with socket.socket() as connection:
        before = read_buffer(connection)
        transport = SimpleNamespace(get_extra_info={"socket": connection}.get)
        protocol = Uvicorn(transport)
        inflow = Inflow(protocol.receive, protocol.send)
        assert read_buffer(connection) <= 2 * READ_BUFFER < before
        inflow.keep_up()
        assert connection.fileno() != -1


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("transport", [None, object(), SimpleNamespace(get_extra_info={}.get)])
def test_a_server_that_looks_otherwise_is_left_alone(transport: Any) -> None:
    protocol = Uvicorn(transport)
    partial = functools.partial(Daphne().handle_reply, SimpleNamespace(transport=transport))
    for receive, send in (
        (protocol.receive, protocol.send),
        (protocol.receive, partial),
        (asyncio.Queue().get, partial),
        (asyncio.Queue().get, functools.partial(Daphne().handle_reply)),
        (lambda: None, lambda message: None),
    ):
        Inflow(receive, send).keep_up()


def test_a_socket_that_is_closed_is_left_alone() -> None:
    connection = socket.socket()
    connection.close()
    protocol = Uvicorn(SimpleNamespace(get_extra_info={"socket": connection}.get))
    Inflow(protocol.receive, protocol.send).keep_up()
