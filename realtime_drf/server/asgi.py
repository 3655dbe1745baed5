"""The ASGI app around Django, which serves the Pusher protocol and passes on all else."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs
from weakref import WeakKeyDictionary

from django.core.handlers.asgi import ASGIHandler

from realtime_drf.conf import configs
from realtime_drf.pusher_protocol import frames
from realtime_drf.server.connection import Connection
from realtime_drf.server.http_api import HttpApi
from realtime_drf.server.lifespan import Lifespan
from realtime_drf.server.node import Node
from realtime_drf.server.paths import API_PATH, SOCKET_PATH, read_path
from realtime_drf.server.shutdown import stop_gracefully
from realtime_drf.transports import transports
from realtime_drf.transports.channels import ChannelsTransport
from realtime_drf.webhooks import handle_events

logger = logging.getLogger("realtime_drf")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class ConnectionRejected(Exception):
    """A rejected connection: the close code of the protocol, and the reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class RealtimeServer:
    """The server of every transport that is a `ChannelsTransport`, around an ASGI app.

    A WebSocket at ``/app/<key>`` speaks the Pusher protocol, where ``key`` is that of a transport
    in REALTIME_TRANSPORTS. All other WebSockets are passed to the app, and rejected if they reach
    Django, which does not support them. HTTP at ``/apps/<app_id>/`` is Pusher's API, if the
    transport has the option ``http_api``; all other requests are passed to the app, and lifespan
    too. Without a `ChannelsTransport` in the settings everything is passed to the app.

    Args:
        app: an ASGI app, such as that of `get_asgi_application()`.
    """

    def __init__(self, app: Application) -> None:
        self.app = app
        self._nodes: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Node]] = (
            WeakKeyDictionary()
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._answer_lifespan(scope, receive, send)
            return
        nodes = self.get_nodes()
        if scope["type"] == "http" and (found := self._find_api(scope)) is not None:
            api, resource = found
            await api(scope, resource, receive, send)
        elif scope["type"] == "websocket" and nodes and (key := _read_key(scope)) is not None:
            await _serve(nodes.get(key), scope, receive, send)
        elif scope["type"] == "websocket":
            await _serve_foreign(self.app, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def get_nodes(self) -> dict[str, Node]:
        """Return the nodes of the running event loop by their apps' keys; start them if need be."""
        loop = asyncio.get_running_loop()
        nodes = self._nodes.get(loop)
        if nodes is None:
            nodes = self._nodes[loop] = {
                transport.signer.key: self.create_node(transport) for transport in _get_served()
            }
            for node in nodes.values():
                node.start()
                node.app.nodes.add(node)
            if nodes:
                stop_gracefully(loop, nodes.values())
        return nodes

    def create_node(self, transport: ChannelsTransport) -> Node:
        """Return a new node of an app, not started yet."""
        return Node(transport.app, functools.partial(handle_events, transport))

    async def _answer_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        lifespan = Lifespan(self.app, scope)
        try:
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send(await lifespan.send(message))
            # Some servers end the process by a signal, and no exit handlers run.
            nodes = self._nodes.get(asyncio.get_running_loop(), {})
            await asyncio.gather(*(node.send_webhooks() for node in nodes.values()))
            await send(await lifespan.send(message))
        finally:
            await lifespan.end()

    def _find_api(self, scope: Scope) -> tuple[HttpApi, str] | None:
        """Return the HTTP API that a path belongs to, and the rest of the path."""
        path = read_path(scope)
        if not path.startswith(API_PATH):
            return None
        app_id, slash, resource = path.removeprefix(API_PATH).partition("/")
        for node in self.get_nodes().values():
            if node.app.serves_http_api and node.app.app_id == app_id:
                return HttpApi(node.app), f"{slash}{resource}"
        return None


def _get_served() -> list[ChannelsTransport]:
    return [
        transport
        for alias in transports
        if configs[alias].enabled and isinstance(transport := transports[alias], ChannelsTransport)
    ]


def _read_key(scope: Scope) -> str | None:
    """Return the key in the path, or None if it is not a path of the protocol."""
    path = read_path(scope)
    key = path.removeprefix(SOCKET_PATH)
    return key if path.startswith(SOCKET_PATH) and "/" not in key else None


async def _serve_foreign(app: Application, scope: Scope, receive: Receive, send: Send) -> None:
    """Pass a WebSocket to the app; reject it if it reaches Django through any middleware."""
    has_received = False

    async def receive_noting() -> MutableMapping[str, Any]:
        nonlocal has_received
        has_received = True
        return await receive()

    try:
        await app(scope, receive_noting, send)
    except ValueError as exc:
        if not _is_of_django(exc):
            raise
        if not has_received:
            await receive()
        await send({"type": "websocket.close"})  # before it is accepted: the client sees a 403


def _is_of_django(exc: Exception) -> bool:
    """Return whether Django's app has raised an error, as it does for a WebSocket."""
    traceback = exc.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return False
    frame = traceback.tb_frame
    # By names: Sentry, among others, replaces the method with a wrapper.
    place = frame.f_globals.get("__name__"), frame.f_code.co_name
    return place == (ASGIHandler.__module__, "__call__")


async def _serve(node: Node | None, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one client until it disconnects."""
    await receive()
    try:
        await send({"type": "websocket.accept"})
        connection = await _admit(node, scope, send)
    except ConnectionRejected as exc:
        await _reject(exc, send)
        return
    except OSError:  # the client has disconnected
        return
    connection.send(
        frames.established(connection.socket_id, connection.node.options.activity_timeout)
    )
    await connection.serve(receive)


async def _reject(exc: ConnectionRejected, send: Send) -> None:
    """Close an accepted connection: only then does a client see the code and reason."""
    reason = str(exc)
    with contextlib.suppress(Exception):  # servers raise all kinds of errors after a disconnect
        await send({"type": "websocket.send", "text": frames.error(reason, exc.code)})
        await send({"type": "websocket.close", "code": exc.code, "reason": reason})


async def _admit(node: Node | None, scope: Scope, send: Send) -> Connection:
    """Return a new connection, or raise ConnectionRejected."""
    if node is None:
        if not _read_key(scope):
            raise ConnectionRejected(frames.NO_SUCH_PATH, "The path is not /app/<key>")
        raise ConnectionRejected(frames.NO_SUCH_APP, "No app has this key")
    _check_version(scope)
    if not _is_allowed_origin(node, scope):
        raise ConnectionRejected(frames.UNAUTHORIZED, "The origin is not allowed")
    await node.ready()
    if node.is_draining:
        raise ConnectionRejected(node.restart_code, "The server is restarting")
    connection = node.connect(send)
    if connection is None:
        raise ConnectionRejected(frames.OVER_CAPACITY, "Connection limit reached")
    return connection


def _check_version(scope: Scope) -> None:
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    version = query.get("protocol", [""])[0]
    if not version:
        raise ConnectionRejected(frames.NO_VERSION, "No protocol version was given")
    if not (version.isascii() and version.isdigit()):
        raise ConnectionRejected(frames.INVALID_VERSION, "Protocol version is not a number")
    if int(version[:9]) not in frames.PROTOCOLS:
        raise ConnectionRejected(frames.UNSUPPORTED_VERSION, "Unsupported protocol version")


def _is_allowed_origin(node: Node, scope: Scope) -> bool:
    if node.origins is None:
        return True
    origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
    return all(origin in node.origins for origin in origins)
