"""Drive RealtimeServer in this process: no socket, no ASGI server, and time as the test says.

A `Site` is a project with one or more nodes on an event loop of its own, and a `Client` of it
speaks ASGI as a server would. Nothing runs but within the site's methods, each of which returns
when there is nothing left to do: so tests neither wait nor race.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import math
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Final, Self, TypeVar

from django.test import override_settings

from realtime_drf import signals
from realtime_drf.cluster.backplane import LocalBackplane
from realtime_drf.cluster.memory_state import MemoryStore
from realtime_drf.cluster.serial_worker import end
from realtime_drf.cluster.state import PresenceStore
from realtime_drf.events import Event
from realtime_drf.grants import Grant, Identity
from realtime_drf.server.asgi import RealtimeServer
from realtime_drf.server.fast_path import UVICORN
from realtime_drf.server.node import Node
from realtime_drf.transports import transports
from realtime_drf.transports.channels import ChannelsTransport
from realtime_drf.webhook_events import WebhookEvent
from realtime_drf.webhooks import handle_events

T = TypeVar("T")

PATH: Final = "realtime_drf.transports.channels.ChannelsTransport"
OPTIONS: Final = {"app_id": "4242", "key": "app-key", "secret": "test-secret"}
NEVER: Final = 1e6
PATIENCE: Final = 10.0

REPORTS: Final = {
    name: getattr(signals, name)
    for name in (
        "channel_occupied",
        "channel_vacated",
        "member_added",
        "member_removed",
        "client_event",
        "cache_miss",
        "subscription_count",
    )
}

AsgiMessage = Mapping[str, Any]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Server(RealtimeServer):
    """A server whose nodes tick when the test says so."""

    def __init__(self, app: Any, clock: Clock) -> None:
        super().__init__(app)
        self._clock = clock

    def create_node(self, transport: ChannelsTransport) -> Node:
        notify = functools.partial(handle_events, transport)
        return Node(transport.app, notify, clock=self._clock, tick=NEVER)


async def no_app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError(f"The app was called for {scope['type']}.")


class Site:
    """Run a project for as long as the `with` block lasts.

    Args:
        app: is wrapped by the server.
        nodes: how many; they share the backplane, as processes would.
        beside: another site, with whose settings and transport this one runs, on its own loop.
        clock: of the nodes, and of the store.
        store: instead of a `MemoryStore` that goes by the site's clock; text is the option.
        settings: other settings of Django.
        options: of the transport.
    """

    def __init__(
        self,
        *,
        app: Any = no_app,
        nodes: int = 1,
        beside: Site | None = None,
        clock: Clock | None = None,
        store: PresenceStore | str | None = None,
        settings: Mapping[str, Any] | None = None,
        transports: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.clock = clock or Clock()
        self.reports: list[tuple[str, str, str]] = []
        """Kind, channel and user id of the signals that receivers got."""
        self.report_events: list[WebhookEvent] = []
        self.errors: list[dict[str, Any]] = []
        """Errors reported to the event loop: of a task whose exception was never retrieved."""
        self._app = app
        self._count = nodes
        self._store = store
        self._beside = beside
        if isinstance(store, str):
            options["store"] = store
        entries = {"default": {"TRANSPORT": PATH, "OPTIONS": {**OPTIONS, **options}}}
        self._settings = override_settings(
            REALTIME_TRANSPORTS=entries if transports is None else transports, **(settings or {})
        )

    def __enter__(self) -> Self:
        if self._beside is None:
            self._settings.enable()
            try:
                self._adopt_store()
            except BaseException:  # wrong options: other tests have none of these settings
                self._settings.disable()
                raise
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda loop, context: self.errors.append(context))
        self.servers = [Server(self._app, self.clock) for _ in range(self._count)]
        self.clients: list[Client] = []
        self.nodes = [node for server in self.servers for node in self.start(server).values()]
        for signal in REPORTS.values():
            signal.connect(self._on_report)
        self.settle()
        return self

    def __exit__(self, kind: Any, *args: object) -> None:
        try:
            if kind is None:
                for client in self.clients:
                    client.disconnect()
                self.run(self._end_clients())
            self.run(self._stop())
        finally:
            for signal in REPORTS.values():
                signal.disconnect(self._on_report)
            self.loop.close()
            if self._beside is None:
                self._settings.disable()
        if kind is None:
            assert self.errors == [], "something went wrong in the background"

    @property
    def transport(self) -> ChannelsTransport:
        transport = transports["default"]
        assert isinstance(transport, ChannelsTransport)
        return transport

    @property
    def node(self) -> Node:
        return self.nodes[0]

    def start(self, server: RealtimeServer) -> dict[str, Node]:
        """Return the nodes of a server, which start on this loop."""

        async def get_nodes() -> dict[str, Node]:
            return server.get_nodes()

        return self.run(get_nodes())

    # Time

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def settle(self) -> None:
        """Run the loop until nothing is left to do, but for what waits for time or the network."""
        self.run(self._idle())

    def advance(self, seconds: float) -> None:
        """Let time go by, and nodes look at what is due."""
        self.clock.now += seconds
        for node in self.nodes:
            self.run(node.tick())
        self.settle()

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Run the loop until something is so that depends on other threads, or the network."""

        async def wait() -> None:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    await asyncio.sleep(0.001)

        self.run(wait())

    def take_reports(self) -> list[tuple[str, str, str]]:
        """Return what has been reported since one last asked: kind, channel and user id."""
        self.settle()
        for node in self.nodes:
            node._reporter._executor.submit(lambda: None).result(PATIENCE)
        reports, self.reports = self.reports, []
        return reports

    # What a project does

    def publish(
        self,
        name: str,
        channels: str | Iterable[str],
        data: Any = None,
        *,
        but: Client | None = None,
    ) -> None:
        """Have the transport send an event, and wait until it has arrived."""
        self.send(Event(name, channels, data, socket_id=but.socket_id if but else None))
        self.settle()

    def send(self, *events: Event) -> None:
        """Have the transport send events, which no client has received yet."""
        self.transport.send(events)

    # What browsers do

    def client(self, node: int = 0, **arguments: Any) -> Client:
        """Return a client that has not connected yet."""
        client = Client(self, self.servers[node], **arguments)
        self.clients.append(client)
        return client

    def connect(self, node: int = 0, **arguments: Any) -> Client:
        """Return a client that has connected."""
        client = self.client(node, **arguments)
        client.open()
        assert client.socket_id, client.sent
        return client

    def _adopt_store(self) -> None:
        for alias in transports:
            transport = transports[alias]
            if not isinstance(transport, ChannelsTransport):
                continue
            backplane = transport.app.backplane
            if self._store is not None and not isinstance(self._store, str):
                backplane.store = self._store
            elif isinstance(backplane, LocalBackplane):
                delay = vars(backplane.store)["_delay"] / 1000
                backplane.store = MemoryStore(vacated_delay=delay, lease=NEVER, clock=self.clock)

    async def _idle(self) -> None:
        while True:
            await asyncio.sleep(0)
            if not self.loop._ready:  # type: ignore[attr-defined]
                return

    async def _end_clients(self) -> None:
        for client in self.clients:
            await client.end()

    async def _stop(self) -> None:
        for node in self.nodes:
            await node.stop()
        await end(task for task in asyncio.all_tasks() if task is not asyncio.current_task())
        # Receivers that still run read the settings, which are about to change.
        for node in self.nodes:
            await self.loop.run_in_executor(None, node._reporter._executor.shutdown)

    def _on_report(self, sender: Any, channel: str, event: WebhookEvent, **kwargs: Any) -> None:
        self.report_events.append(event)
        self.reports.append((event.kind, channel, event.details.get("user_id", "")))


class Uvicorn:
    """Look like uvicorn's WebSocket to what writes past its `send`, for one client."""

    __module__ = UVICORN

    def __init__(self, client: Client) -> None:
        self._client = client
        self.conn = SimpleNamespace(extensions=[])
        self.disconnected = False
        self.close_sent = False
        self.writable = asyncio.Event()
        self.writable.set()
        self.transport = self
        self.writes: list[int] = []
        """Bytes of each write past `send`."""
        self.takes = math.inf
        """Writes after which the client is stuck."""

    async def send(self, message: AsgiMessage) -> None:
        await self.writable.wait()
        await self._client._send(message)
        self.close_sent |= message["type"] == "websocket.close"

    def is_closing(self) -> bool:
        return self.disconnected

    def write(self, data: bytes) -> None:
        self.writes.append(len(data))
        if len(self.writes) >= self.takes:
            self.takes = math.inf
            self._client.is_stuck = True
        for text in read_frames(data):
            self._client._take({"type": "websocket.send", "text": text})


def read_frames(data: bytes) -> Iterator[str]:
    """Read the text of frames that a server has written."""
    while data:
        assert data[0] == 0x81, "a whole text"
        start, size = 2, data[1]
        if size > 125:
            start = {126: 4, 127: 10}[size]
            size = int.from_bytes(data[2:start], "big")
        assert len(data) >= start + size
        yield data[start : start + size].decode()
        data = data[start + size :]


class Client:
    """Be a browser, as an ASGI server shows it to the app.

    Args:
        site: the project.
        server: of the site, the one that it connects to.
        path: of the request, as are `query` and `headers`.
        root_path: of the ASGI server.
        is_on_uvicorn: the ASGI server lets itself be written to past `send`.
        is_wrapped: a middleware stands between the ASGI server and the app.
    """

    __module__ = "hypercorn.stand_in"
    _ports = itertools.count(50_000)

    def __init__(
        self,
        site: Site,
        server: RealtimeServer,
        *,
        path: str = "/app/app-key",
        query: str = "protocol=7&client=js&version=8.4.0",
        headers: Iterable[tuple[bytes, bytes]] = (),
        root_path: str = "",
        is_on_uvicorn: bool = False,
        is_wrapped: bool = False,
    ) -> None:
        self.site = site
        self.is_wrapped = is_wrapped
        self.uvicorn = Uvicorn(self) if is_on_uvicorn else None
        self.scope = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "path": path,
            "root_path": root_path,
            "query_string": query.encode(),
            "headers": list(headers),
            "subprotocols": [],
        }
        self.sent: list[AsgiMessage] = []
        """What the app has sent, in ASGI's messages."""
        self.sends: list[AsgiMessage] = []
        """What the app has tried to send, the same unless something waits or was refused."""
        self._is_stuck = False
        self.breaks_after: int | None = None
        """After so many messages, `send` raises, as servers do once a client has disconnected."""
        self.sends_under_way = 0
        self._server = server
        self._inbox: asyncio.Queue[AsgiMessage] = asyncio.Queue()
        self._reading = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_gone = False
        self._seen = 0

    @property
    def is_stuck(self) -> bool:
        """It reads nothing: whatever is sent waits."""
        return self._is_stuck

    @is_stuck.setter
    def is_stuck(self, value: bool) -> None:
        self._is_stuck = value
        if self.uvicorn is not None:
            change = self.uvicorn.writable.clear if value else self.uvicorn.writable.set
            change()

    # What it does

    def open(self, *, goes_after: int | None = None) -> None:
        """Connect; whether that succeeds is seen from what was sent.

        The client may go at once, after so many messages were sent to it.
        """

        async def start() -> None:
            self._task = asyncio.create_task(self._serve())

        self._inbox.put_nowait({"type": "websocket.connect"})
        if goes_after is not None:
            self.breaks_after = goes_after
            self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1006})
        self.site.run(start())
        self.site.settle()
        self.take()

    def say(self, text: Any, *, settle: bool = True) -> None:
        """Send a frame: text as it is, anything else as JSON."""
        text = text if isinstance(text, str) else json.dumps(text)
        self._receive({"type": "websocket.receive", "text": text, "bytes": None}, settle)

    def say_bytes(self, content: bytes) -> None:
        """Send a binary frame."""
        self._receive({"type": "websocket.receive", "text": None, "bytes": content})

    def disconnect(self, *, settle: bool = True) -> None:
        """Disconnect; do nothing if it has already. Sends that wait raise."""
        self._is_gone = True
        self._reading.set()
        if self.uvicorn is not None:
            self.uvicorn.disconnected = True
            self.uvicorn.writable.set()
        self._receive({"type": "websocket.disconnect", "code": 1006}, settle)

    def read_on(self) -> None:
        """Take what has waited."""
        self.is_stuck = False
        self._reading.set()
        self.site.settle()

    def read_one(self) -> None:
        """Take the one message that is being sent, and no more."""
        self._reading.set()
        self.site.settle()

    def subscribe(self, channel: str, *, settle: bool = True, **data: Any) -> None:
        """Ask for a channel, with whatever is given besides its name."""
        frame = {"event": "pusher:subscribe", "data": {"channel": channel, **data}}
        self.say(frame, settle=settle)

    def join(
        self, channel: str, user_id: str = "", info: Any = None, *, settle: bool = True
    ) -> None:
        """Ask for a channel, with what the project's endpoint answers for a user."""
        grant = Grant(channel=channel, user_id=user_id, user_info=info)
        token = self.site.transport.signer.channel_token(self.socket_id, grant)
        token.pop("shared_secret", None)
        self.subscribe(channel, settle=settle, **token)

    def leave(self, channel: str, *, settle: bool = True) -> None:
        """Leave a channel."""
        self.say({"event": "pusher:unsubscribe", "data": {"channel": channel}}, settle=settle)

    def sign_in(
        self,
        user_id: str,
        info: Mapping[str, Any] | None = None,
        *,
        watchlist: Iterable[str] = (),
        settle: bool = True,
    ) -> None:
        """Sign in, with what the project's endpoint answers for a user."""
        identity = Identity(user_id=user_id, user_info=info, watchlist=tuple(watchlist))
        token = self.site.transport.signer.user_token(self.socket_id, identity)
        self.say({"event": "pusher:signin", "data": token}, settle=settle)

    def trigger(self, event: str, channel: str, data: Any, *, settle: bool = True) -> None:
        """Send an event to the others on a channel."""
        self.say({"event": event, "channel": channel, "data": data}, settle=settle)

    # What it has received

    @property
    def socket_id(self) -> str:
        """The name of its connection, empty if it was not established."""
        for frame in self.frames:
            if frame["event"] == "pusher:connection_established":
                return str(json.loads(frame["data"])["socket_id"])
        return ""

    @property
    def frames(self) -> list[dict[str, Any]]:
        """All frames so far."""
        return [json.loads(each["text"]) for each in self.sent if each["type"] == "websocket.send"]

    @property
    def close_code(self) -> int | None:
        """With which code it was closed, if it was."""
        closes = [each for each in self.sent if each["type"] == "websocket.close"]
        assert len(closes) <= 1, "closed twice"
        return closes[0].get("code", 1000) if closes else None

    @property
    def is_served(self) -> bool:
        """Whether the app still serves it."""
        return self._task is not None and not self._task.done()

    def take(self) -> list[dict[str, Any]]:
        """Return the frames since one last asked, with the data of each read."""
        frames = self.frames
        new, self._seen = frames[self._seen :], len(frames)
        return [_read(frame) for frame in new]

    def events(self) -> list[tuple[str, str, Any]]:
        """Return name, channel and data of the frames since one last asked."""
        return [(each["event"], each.get("channel", ""), each.get("data")) for each in self.take()]

    def forget(self) -> None:
        """Discard the frames received so far, which take memory."""
        self.sent.clear()
        self.sends.clear()
        self._seen = 0

    async def end(self) -> None:
        """Check that the app is done with it; raise what it has raised."""
        if self._task is not None:
            self._reading.set()
            await asyncio.wait([self._task], timeout=PATIENCE)
            await self._task

    # Within

    async def _serve(self) -> None:
        send = self._send if self.uvicorn is None else self.uvicorn.send

        async def wrapped(message: AsgiMessage) -> None:
            await send(message)

        await self._server(self.scope, self._inbox.get, wrapped if self.is_wrapped else send)

    def _receive(self, message: AsgiMessage, settle: bool = True) -> None:
        self._inbox.put_nowait(message)
        if settle:
            self.site.settle()

    async def _send(self, message: AsgiMessage) -> None:
        self._look_at(message)
        if self.breaks_after is not None and len(self.sent) >= self.breaks_after:
            raise OSError("the client has disconnected")
        if self.is_stuck and not self._is_gone:
            self.sends_under_way += 1
            try:
                self._reading.clear()
                await self._reading.wait()
            finally:
                self.sends_under_way -= 1
            if self._is_gone:
                raise OSError("the client has disconnected")
        if self.uvicorn is not None and self.uvicorn.disconnected:
            raise OSError("the client has disconnected")
        message.get("text", "").encode()  # as a server must: text that is none cannot be sent
        self.sent.append(message)

    def _take(self, message: AsgiMessage) -> None:
        """Take a message that was not given to `send`."""
        self._look_at(message)
        self.sent.append(message)

    def _look_at(self, message: AsgiMessage) -> None:
        self.sends.append(message)
        assert not any(each["type"] == "websocket.close" for each in self.sent), (
            f"{message} was sent after the close"
        )
        assert self.sends_under_way == 0, "two messages are sent at once"


def _read(frame: dict[str, Any]) -> dict[str, Any]:
    if isinstance(frame.get("data"), str):
        with contextlib.suppress(ValueError):
            return {**frame, "data": json.loads(frame["data"])}
    return frame
