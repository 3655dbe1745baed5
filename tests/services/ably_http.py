"""A stand-in for Ably's REST API: it checks what the service checks, and records requests."""

from __future__ import annotations

import base64
import binascii
import json
import re
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus

from tests.services.ably_app import App, Received, Refusal, Session
from tests.services.http_connection import Answer, Request
from tests.services.http_service import HttpService

MSGPACK = "application/x-msgpack"


class AblyService(HttpService):
    """A server of Ably's REST API for one app, on 127.0.0.1, over TLS if it is given a context.

    As the service does, it takes the key over TLS only. `batch_shape` is "spec" or "docs": the two
    forms in which batches are documented to be answered.
    """

    def __init__(
        self,
        *,
        secret: str = "test-secret",
        context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.context = context
        self.app = App(secret=secret, clock=clock)
        self.batch_shape = "spec"
        self.refused: dict[str, Refusal] = {}

    @property
    def key(self) -> str:
        """Return the key of the app."""
        return self.app.key

    @property
    def received(self) -> list[Received]:
        """Return what was accepted for delivery, channel by channel, in order."""
        with self.changed:
            return list(self.app.received)

    def reset(self) -> None:
        """Return to the state of a new service; the server goes on."""
        with self.changed:
            super().reset()
            self.app.forget()
            self.batch_shape = "spec"
            self.refused = {}

    def make_token(
        self, *, client_id: str | None = None, ttl: float = 3600, **capability: Any
    ) -> str:
        """Return a token of the app; by default it may do everything."""
        with self.changed:
            token = f"app1.token{len(self.app.tokens)}-{'x' * 20}"
            expires = self.app.clock() + ttl
            self.app.tokens[token] = Session(capability or {"*": ["*"]}, client_id, expires)
            return token

    def body_of(self, request: Request) -> Any:
        """Return what a request holds, in whichever encoding."""
        if request.headers.get("content-type") == MSGPACK:
            import msgpack

            return msgpack.unpackb(request.raw_body) if request.raw_body else None
        return request.body

    def respond(self, request: Request) -> Answer:
        """Return what the real service would answer."""
        with self.changed:
            try:
                status, content = self._act(request)
                headers = {}
            except Refusal as refusal:
                status, content = refusal.status, {"error": refusal.error}
                headers = {"X-Ably-Errorcode": str(refusal.error["code"])}
            finally:
                self.changed.notify_all()
        return self._render(request, status, content, headers)

    def _render(
        self, request: Request, status: int, content: Any, headers: dict[str, str]
    ) -> Answer:
        if request.headers.get("accept") == MSGPACK:
            import msgpack

            return Answer(status, msgpack.packb(content), MSGPACK, headers)
        text = json.dumps(content, default=lambda data: base64.b64encode(data).decode())
        return Answer(status, text.encode(), "application/json", headers)

    def _act(self, request: Request) -> tuple[int, Any]:
        body = self.body_of(request)
        if (request.method, request.path) == ("GET", "/time"):
            return 200, [int(self.app.clock() * 1000)]
        if match := re.fullmatch(r"/keys/([^/]+)/(requestToken|revokeTokens)", request.path):
            if unquote_plus(match[1]) != self.app.key_name:
                raise Refusal(404, 40400, "No such key")
            if match[2] == "requestToken":
                return 201, self.app.exchange(body)
            return self._revoke(request, body)
        session = self._enter(request)
        if (request.method, request.path) == ("POST", "/messages"):
            return self._batch(session, body)
        match = re.fullmatch(r"/channels/([^/]+)/(messages|presence)", request.path)
        if match is None:
            raise Refusal(404, 40400, "Could not find path")
        channel = unquote_plus(match[1])
        if (request.method, match[2]) == ("POST", "messages"):
            self._check_refused(channel)
            return 201, self.app.publish(session, channel, body)
        if (request.method, match[2]) == ("GET", "presence"):
            session.check(channel, "presence")
            return 200, self.app.members.get(channel, [])
        raise Refusal(405, 40500, "Method not allowed")

    def _enter(self, request: Request) -> Session:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            credentials = base64.b64decode(given, validate=True).decode()
        except (binascii.Error, ValueError):
            raise Refusal(401, 40101, "Invalid credentials") from None
        if scheme == "Bearer":
            return self.app.enter_with_token(credentials)
        if scheme != "Basic":
            raise Refusal(401, 40101, "No authentication information provided")
        if self.context is None:
            raise Refusal(401, 40103, "Invalid use of Basic auth over non-TLS transport")
        client_id = request.headers.get("x-ably-clientid")
        return self.app.enter_with_key(
            credentials, base64.b64decode(client_id).decode() if client_id else None
        )

    def _revoke(self, request: Request, body: Any) -> tuple[int, Any]:
        if not request.headers.get("authorization", "").startswith("Basic "):
            raise Refusal(401, 40162, "Tokens can only be revoked with the key")
        self._enter(request)
        targets = body["targets"]
        if not all(target.startswith("clientId:") for target in targets):
            raise Refusal(400, 40000, "Unknown target")
        self.app.revoked += [target.partition(":")[2] for target in targets]
        results = [{"target": target, "issuedBefore": 1, "appliesAt": 1} for target in targets]
        return 201, {"successCount": len(targets), "failureCount": 0, "results": results}

    def _batch(self, session: Session, body: Any) -> tuple[int, Any]:
        specs = body if isinstance(body, list) else [body]
        channels = [channel for spec in specs for channel in spec["channels"]]
        if not channels or len(set(channels)) > 100:
            raise Refusal(400, 40000, "Between 1 and 100 different channels")
        results = [
            [self._publish(session, name, spec) for name in spec["channels"]] for spec in specs
        ]
        flat = [result for each in results for result in each]
        failed = [result for result in flat if "error" in result]
        if self.batch_shape == "spec":
            found = [
                {
                    "successCount": sum("error" not in result for result in each),
                    "failureCount": sum("error" in result for result in each),
                    "results": each,
                }
                for each in results
            ]
            return 201, found if isinstance(body, list) else found[0]
        if failed:
            error = {
                "code": 40020,
                "statusCode": 400,
                "message": "Batched response includes errors",
            }
            return 400, {"error": error, "batchResponse": flat}
        return 201, flat

    def _publish(self, session: Session, channel: str, spec: Any) -> dict[str, Any]:
        try:
            self._check_refused(channel)
            return self.app.publish(session, channel, spec["messages"])
        except Refusal as refusal:
            return {"channel": channel, "error": refusal.error}

    def _check_refused(self, channel: str) -> None:
        if channel in self.refused:
            raise self.refused[channel]

    def _serve(self, connection: socket.socket, address: tuple[str, int]) -> None:
        if self.context is None:
            super()._serve(connection, address)
            return
        try:
            wrapped = self.context.wrap_socket(connection, server_side=True)
        except OSError:  # the caller does not trust us
            with self.changed:
                self._serving.pop(connection, None)
            connection.close()
            return
        with self.changed:
            self._serving[wrapped] = self._serving.pop(connection)
        super()._serve(wrapped, address)
