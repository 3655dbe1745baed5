"""Read a request of the HTTP API off ASGI, within bounds, and write the answer."""

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
"""Bytes of a request's body; a batch of the usual limit has a tenth of it."""

MAX_PARAMETERS: Final = 100


class Refusal(Exception):
    """Carry the status and the text with which a request is refused.

    Args:
        status: of HTTP.
        message: the text.
        allow: the method that the resource has, if that is why.
    """

    def __init__(self, status: int, message: str, *, allow: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.allow = allow


class Gone(Exception):
    """Say that the client has not waited for its answer."""


def read_parameters(scope: Scope) -> list[tuple[str, str]]:
    """Return the parameters in their order, without escapes."""
    query: bytes = scope.get("query_string", b"")
    try:
        return parse_qsl(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS
        )
    except ValueError:
        raise Refusal(400, "The parameters cannot be read") from None


async def read_body(receive: Receive) -> bytes:
    """Return the body; raise Refusal as soon as it is longer than may be, Gone if it never ends."""
    body = bytearray()
    async for chunk in _read_chunks(receive):
        body += chunk
    return bytes(body)


async def pass_over_body(receive: Receive) -> None:
    """Take the body and keep none of it: a client that still writes does not read the answer."""
    async for _ in _read_chunks(receive):
        pass


async def answer(send: Send, status: int, body: bytes, content_type: bytes, allow: str) -> None:
    """Write the whole answer, be the client there or not."""
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    if allow:
        headers.append((b"allow", allow.encode()))
    with contextlib.suppress(OSError):  # the client is gone
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _read_chunks(receive: Receive) -> AsyncIterator[bytes]:
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise Refusal(413, f"A request has {MAX_BODY_BYTES} bytes at most")
        yield chunk
        if not message.get("more_body"):
            return
        await asyncio.sleep(0)  # the next piece may be there already, and so on for a while
