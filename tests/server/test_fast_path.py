"""What goes past uvicorn's `send` is what `send` would have sent, and is bounded the same."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from pytest_django import Settings

from realtime_drf.events import Event
from realtime_drf.server import RealtimeServer
from realtime_drf.server import connection as connection_module
from realtime_drf.server.fast_path import UVICORN, FlushScheduler, TextMessage, find_fast_path
from realtime_drf.server.writer import Writer
from realtime_drf.transports import transports
from tests.server.harness import OPTIONS, PATH, no_app
from tests.services.process import wait_until

uvicorn = pytest.importorskip("uvicorn")
client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")

TEXTS = ["", "x", "é" * 62, "x" * 125, "x" * 126, "ü" * 32_767, "x" * 65_535, "x" * 65_536, "end"]


class App:
    """Accept connections, and do with the writer of each what a test says."""

    def __init__(self, act: Callable[[Writer], Any]) -> None:
        self.act = act
        self.has_fast_path: bool | None = None
        self.failure: Exception | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.has_fast_path = find_fast_path(send, FlushScheduler()) is not None
        try:
            await self.act(Writer(send, FlushScheduler()))
        except Exception as exc:  # noqa: BLE001  for the test to see
            self.failure = exc
        while (await receive())["type"] != "websocket.disconnect":
            pass


@contextlib.contextmanager
def serve(app: Any, **options: Any) -> Iterator[str]:
    """Run an app under uvicorn in a thread, and give its address."""
    config = uvicorn.Config(
        app, port=0, lifespan="off", ws="websockets-sansio", log_level="error", **options
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join()


async def send_all(writer: Writer) -> None:
    """Write texts in one iteration of the loop and in several; the last together with the close."""
    for text in TEXTS:
        assert writer.write(TextMessage(text))
    for text in TEXTS:
        assert writer.write(TextMessage(text))
        await asyncio.sleep(0)
    writer.write(TextMessage("last"))
    writer.write({"type": "websocket.close", "code": 4200, "reason": "again"})


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("deflate", [False, True])
def test_a_client_gets_all_in_order_and_then_the_close(loop: str, deflate: bool) -> None:
    pytest.importorskip(loop)
    app = App(send_all)
    with serve(app, ws_per_message_deflate=deflate, loop=loop) as address:
        received = []
        with (
            client.connect(address, proxy=None) as connection,
            pytest.raises(exceptions.ConnectionClosed) as closed,
        ):
            while True:
                received.append(connection.recv(timeout=5))
    assert app.failure is None
    assert received == [*TEXTS, *TEXTS, "last"]
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4200, "again")
    # Each connection compresses by itself, so there is no frame for all.
    assert app.has_fast_path is not deflate


def test_what_one_iteration_of_the_loop_has_for_a_client_is_written_at_once() -> None:
    writes: list[bytes] = []

    async def act(writer: Writer) -> None:
        fast_path: Any = writer._fast_path
        transport = fast_path._protocol.transport
        fast_path._protocol.transport = Spy(transport, writes)
        for number in range(50):
            writer.write(TextMessage(str(number)))
        assert writes == []
        await asyncio.sleep(0)
        fast_path._protocol.transport = transport

    app = App(act)
    with (
        serve(app, ws_per_message_deflate=False) as address,
        client.connect(address, proxy=None) as connection,
    ):
        received = [connection.recv(timeout=5) for _ in range(50)]
    assert app.failure is None
    assert received == [str(number) for number in range(50)]
    assert len(writes) == 1


def test_a_client_that_does_not_read_fails_within_bounds() -> None:
    written = 0
    failed = threading.Event()

    async def act(writer: Writer) -> None:
        nonlocal written
        message = TextMessage("x" * 10_000)
        while writer.write(message) and written < 100_000_000:
            written += 10_000
            await asyncio.sleep(0)
        failed.set()

    # It reads a message ahead, and then no more until it is asked.
    with (
        serve(App(act), ws_per_message_deflate=False) as address,
        client.connect(address, proxy=None, max_queue=1, close_timeout=0),
    ):
        assert failed.wait(20)
    # What the system buffers for a connection, and the writer.
    assert 1_000_000 < written < 20_000_000


def test_writing_to_a_client_that_has_disconnected_fails() -> None:
    gone = threading.Event()
    results: list[bool] = []

    async def act(writer: Writer) -> None:
        protocol: Any = writer._send.__self__  # type: ignore[attr-defined]
        while not protocol.disconnected:
            await asyncio.sleep(0.01)
        results.append(writer.write(TextMessage("anybody?")))
        gone.set()

    app = App(act)
    with serve(app, ws_per_message_deflate=False) as address:
        with client.connect(address, proxy=None):
            pass
        assert gone.wait(5)
    assert results == [False]


def test_nothing_is_written_after_the_server_has_begun_to_close() -> None:
    writes: list[bytes] = []

    async def act(writer: Writer) -> None:
        fast_path: Any = writer._fast_path
        writer.write(TextMessage("too late"))
        fast_path._protocol.shutdown()
        fast_path._protocol.transport = Spy(fast_path._protocol.transport, writes)
        await asyncio.sleep(0)

    app = App(act)
    with (
        serve(app, ws_per_message_deflate=False) as address,
        client.connect(address, proxy=None) as connection,
        pytest.raises(exceptions.ConnectionClosed) as closed,
    ):
        connection.recv(timeout=5)
    assert closed.value.rcvd.code == 1012
    assert (app.failure, writes) == (None, [])


def test_what_is_published_goes_past_send(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A message that holds no frame would arrive just the same, only slower.
    module = pytest.importorskip(UVICORN)
    sent: list[str] = []
    original = module.WebSocketsSansIOProtocol.send

    async def send(protocol: Any, message: Any) -> None:
        sent.append(message["type"])
        await original(protocol, message)

    monkeypatch.setattr(module.WebSocketsSansIOProtocol, "send", send)
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH, "OPTIONS": OPTIONS}}
    with (
        serve(RealtimeServer(no_app), ws_per_message_deflate=False) as address,
        client.connect(f"{address}app/app-key?protocol=7", proxy=None) as connection,
    ):
        connection.recv(timeout=5)
        connection.send('{"event":"pusher:subscribe","data":{"channel":"news"}}')
        assert "subscription_succeeded" in connection.recv(timeout=5)
        transports["default"].send_batch([Event("told", "news", 1)])
        assert "told" in connection.recv(timeout=5)
        assert sent == ["websocket.accept"]


def test_a_frame_beyond_the_limit_of_uvicorn_ends_the_connection(settings: Settings) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH, "OPTIONS": OPTIONS}}
    with (
        serve(RealtimeServer(no_app), ws_max_size=65_536) as address,
        client.connect(f"{address}app/app-key?protocol=7", proxy=None) as connection,
    ):
        connection.recv(timeout=5)
        connection.send("x" * 65_537)
        with pytest.raises(exceptions.ConnectionClosed) as closed:
            connection.recv(timeout=5)
    assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("is_dropped", [True, False], ids=["backlog", "buffer"])
def test_a_client_that_does_not_take_its_close_is_cut_off(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, loop: str, deflate: bool, is_dropped: bool
) -> None:
    pytest.importorskip(loop)
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT", 0.5)
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH, "OPTIONS": OPTIONS}}
    transport: Any = transports["default"]
    options = {"ws_per_message_deflate": deflate, "loop": loop}
    with serve(RealtimeServer(no_app), **options) as address, mute_client(address) as own:
        (node,) = transport.app.nodes
        wait_until(lambda: node.connections)
        (connection,) = node.connections.values()
        protocol = connection._writer._send.__self__
        wait_until(lambda: "news" in connection.channels)
        assert bool(protocol.conn.extensions) is deflate
        sockets = count_sockets()

        def is_full() -> bool:
            # What the system buffers is full once uvicorn buffers; what uvicorn does, once we do.
            transport.send_batch(
                [Event("told", "news", secrets.token_hex(4_000)) for _ in range(8)]
            )
            return bool(node.dropped if is_dropped else protocol.transport.get_write_buffer_size())

        wait_until(is_full, 30)
        protocol.loop.call_soon_threadsafe(connection.close, 4200)
        wait_until(lambda: count_sockets() < sockets)
        assert own.fileno() != -1, "which is not the client's"
        assert node.connections == {}


@contextlib.contextmanager
def mute_client(address: str) -> Iterator[socket.socket]:
    """Connect, subscribe, and read nothing any more."""
    url = urlsplit(address)
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        own.settimeout(5)
        own.connect((url.hostname, url.port))
        own.sendall(
            b"GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: here\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b"101" in own.recv(1024)
        text = b'{"event":"pusher:subscribe","data":{"channel":"news"}}'
        own.sendall(bytes((0x81, 0x80 | len(text))) + bytes(4) + text)  # masked by zeros
        yield own


def count_sockets() -> int:
    """Return how many sockets this process has open."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # it has been closed meanwhile
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    return sum(link.startswith("socket:") for link in links)


def test_there_is_none_past_a_send_that_somebody_has_wrapped() -> None:
    async def send(message: Any) -> None:
        """Be what a middleware puts before the server's own."""

    assert find_fast_path(send, FlushScheduler()) is None


class Spy:
    """Note what is written to a transport."""

    def __init__(self, transport: Any, writes: list[bytes]) -> None:
        self._transport = transport
        self._writes = writes

    def write(self, data: bytes) -> None:
        self._writes.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
