"""Call the HTTP API of an app without a server, signed as an SDK signs or in any other way."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from realtime_drf.cluster.state import NodeState
from realtime_drf.server.http_api import HttpApi
from realtime_drf.transports.channels import ChannelsTransport

NOW = 1_800_000_000
KEY, SECRET = "api-key", "test-secret"


class Api:
    """Call the API of an app, and keep what it publishes, and the headers of its last answer."""

    def __init__(self, **options: Any) -> None:
        self.transport = ChannelsTransport(
            **{"app_id": "4242", "key": KEY, "secret": SECRET, "http_api": True, **options}
        )
        self.api = HttpApi(self.transport.app, clock=lambda: NOW)
        self.published: list[Any] = []
        self.headers: dict[bytes, bytes] = {}
        self.transport.app.backplane.post = self.published.extend  # type: ignore[method-assign]

    def put(self, channel: str, subscriptions: int, **members: str) -> None:
        sync = self.transport.app.backplane.store.sync(
            "n", [NodeState(channel, subscriptions, members)]
        )
        asyncio.run(sync)

    def call(
        self,
        method: str,
        resource: str,
        content: Any = None,
        *,
        params: dict[str, Any] | None = None,
        body: bytes | None = None,
        signed_body: bytes | None = None,
        secret: str = SECRET,
        chunks: int = 1,
        query: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> tuple[int, Any]:
        """Make a request as an SDK does; `params` go over those that are signed."""
        if body is None:
            body = b"" if content is None else json.dumps(content).encode()
        path = f"/apps/4242{resource}"
        given = {"auth_key": KEY, "auth_timestamp": NOW, "auth_version": "1.0"}
        given |= {**(query or {}), **parameters}
        if body:
            digest = hashlib.md5(body if signed_body is None else signed_body).hexdigest()
            given["body_md5"] = digest
        given["auth_signature"] = sign(method, escape(path), given, secret)
        given |= params or {}
        return self.send(method, path, urlencode(given).encode(), split(body, chunks))

    def send(self, method: str, path: str, query: bytes, body: Iterable[bytes]) -> tuple[int, Any]:
        """Make a request, signed or not; return status and content, 0 and None if none came."""
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": escape(path).encode(),
            "query_string": query,
        }
        return asyncio.run(self._exchange(scope, list(body)))

    async def _exchange(self, scope: dict[str, Any], chunks: Sequence[bytes]) -> tuple[int, Any]:
        messages = [{"type": "http.request", "body": each, "more_body": True} for each in chunks]
        messages[-1]["more_body"] = False
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.api(scope, scope["path"].removeprefix("/apps/4242"), receive, send)
        if not sent:
            return 0, None
        start, answer = sent
        self.headers = dict(start["headers"])
        text = answer["body"].decode()
        return start["status"], json.loads(text) if start["status"] == 200 else text


def sign(method: str, path: str, query: Mapping[str, Any], secret: str) -> str:
    """Return the signature of a request whose path is as it will be sent."""
    lower = sorted((name.lower(), value) for name, value in query.items())
    text = "&".join(f"{name}={value}" for name, value in lower)
    message = f"{method}\n{path}\n{text}".encode()
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def escape(path: str) -> str:
    """Return a path as SDKs send it, which escape no more than they must."""
    return quote(path, safe="/=@,;.!#")


def split(body: bytes, chunks: int) -> list[bytes]:
    """Cut a body into so many pieces, or fewer."""
    size = -(-len(body) // chunks) or 1
    return [body[at : at + size] for at in range(0, len(body), size)] or [b""]
