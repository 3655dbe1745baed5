"""Trigger events over HTTP as a server of Pusher takes them, with so many under way."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import cast

from benchmarks.load.browser import LoadError


def trigger(
    *, host: str, app_id: str, key: str, secret: str, name: str, channels: Sequence[str], data: str
) -> bytes:
    """Return the request that triggers an event, signed.

    Source: https://pusher.com/docs/channels/library_auth_reference/rest-api/.
    """
    body = json.dumps({"name": name, "channels": channels, "data": data}).encode()
    path = f"/apps/{app_id}/events"
    query = (
        f"auth_key={key}&auth_timestamp={int(time.time())}&auth_version=1.0"
        f"&body_md5={hashlib.md5(body).hexdigest()}"
    )
    to_sign = f"POST\n{path}\n{query}"
    signature = hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    head = (
        f"POST {path}?{query}&auth_signature={signature} HTTP/1.1\r\n"
        f"Host: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def publish(requests: Sequence[tuple[int, bytes]], *, host: str, under_way: int) -> None:
    """Send all requests, each to its port, with `under_way` of them unanswered at any time.

    Raises LoadError when one is refused.
    """
    waiting = iter(requests)

    async def work() -> None:
        connections: dict[int, _Connection] = {}
        for port, request in waiting:
            if port not in connections or connections[port].lost:
                loop = asyncio.get_running_loop()
                _, connections[port] = await loop.create_connection(_Connection, host, port)
            await connections[port].ask(request)
        for connection in connections.values():
            connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(under_way):
            group.create_task(work())


class _Connection(asyncio.Protocol):
    """Send one request after the other on a connection that is kept."""

    def __init__(self) -> None:
        self.lost = False
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def ask(self, request: bytes) -> None:
        """Return when the answer is there."""
        assert self._transport is not None
        self._received = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        await self._answer

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not _is_whole(self._received) or self._answer is None:
            return
        # Soketi announces that it closes the connection after each answer, and does.
        self.lost = b"\r\nconnection: close\r\n" in self._received.lower()
        # It says 200 whatever it thinks of a request.
        if self._received[9:12] == b"200" and b'"error"' not in self._received:
            self._answer.set_result(None)
        else:
            self._answer.set_exception(LoadError(f"no trigger: {self._received!r}"))
        self._answer = None

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(LoadError("the connection ended without an answer"))


def _is_whole(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return len(body) >= int(value)
    return body.endswith(b"0\r\n\r\n")
