"""The least that an ASGI app can do: send a ready message to each connection, in a loop."""

from __future__ import annotations

from typing import Any

from benchmarks.load.events import message_text

_MESSAGE = {"type": "websocket.send", "text": message_text()}
_connections: dict[int, Any] = {}


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await _listen(receive, send)
    elif scope["type"] == "http":
        await _publish(receive, send)


async def _listen(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    _connections[id(send)] = send
    try:
        while (await receive())["type"] != "websocket.disconnect":
            pass
    finally:
        del _connections[id(send)]


async def _publish(receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    for connection in list(_connections.values()):
        await connection(_MESSAGE)
    length = (b"content-length", b"2")
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": b"{}"})
