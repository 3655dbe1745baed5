"""Requests and responses of the HTTP API in ASGI, with limits on their size."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY_BYTES: Final = 1_048_576
"""Bytes of a request's body; a batch within the default payload limit has a tenth of it."""

MAX_PARAMETERS: Final = 100


class Refusal(Exception):
    """The status and the text with which a request is refused.

    Args:
        status: of HTTP.
        message: the text.
        allow: the method that the resource supports, if that is the reason.
    """

    def __init__(self, status: int, message: str, *, allow: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.allow = allow


class Disconnected(Exception):
    """The client has disconnected before the response."""


def read_parameters(scope: Scope) -> list[tuple[str, str]]:
    """Return the query parameters in their order, unescaped."""
    query: bytes = scope.get("query_string", b"")
    try:
        return parse_qsl(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS
        )
    except ValueError:
        raise Refusal(400, "The query string is not valid") from None


async def read_body(receive: Receive) -> bytes:
    """Return the body; raise Refusal if it is too long, Disconnected if it is incomplete."""
    body = bytearray()
    async for chunk in _read_chunks(receive):
        body += chunk
    return bytes(body)


async def discard_body(receive: Receive) -> None:
    """Read the body and discard it: a client that still writes does not read the response."""
    async for _ in _read_chunks(receive):
        pass


async def answer(send: Send, status: int, body: bytes, content_type: bytes, allow: str) -> None:
    """Write the whole response, even if the client has disconnected."""
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    if allow:
        headers.append((b"allow", allow.encode()))
    with contextlib.suppress(OSError):  # the client has disconnected
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _read_chunks(receive: Receive) -> AsyncIterator[bytes]:
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise Refusal(413, f"A request may have at most {MAX_BODY_BYTES} bytes")
        yield chunk
        if not message.get("more_body"):
            return
        await asyncio.sleep(0)  # the next chunk may be available already, and so on for long
