"""Read HTTP/1.1 requests off one connection and answer them, or break it as a fault says."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import responses
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from tests.services.faults import (
    Close,
    Fault,
    Garbage,
    Half,
    HalfThenClose,
    Hang,
    Html,
    Reset,
    Slow,
    Status,
)

# These have no body by definition, so a length would make the caller wait for one.
_WITHOUT_BODY = frozenset({204, 304})


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, as the service gives it."""

    status: int = 200
    body: bytes = b"{}"
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A request as it arrived, whatever its answer."""

    method: str
    #: As in the request line, without the query and still percent-encoded.
    path: str
    #: Percent-decoded.
    query: Mapping[str, str]
    #: The parsed JSON, or None where there is none.
    body: Any
    #: With names in lower case.
    headers: Mapping[str, str]
    raw_body: bytes = field(default=b"", repr=False)


class Responder(Protocol):
    """Describe what a connection needs of its service."""

    def take(self, request: Request) -> Fault | None:
        """Record a request and return the fault that is ordered for it."""

    def respond(self, request: Request) -> Answer:
        """Return the answer to a request."""

    def converse(self, request: Request, connection: socket.socket) -> None:
        """Serve WebSocket on a connection until it closes."""


class Connection(BaseHTTPRequestHandler):
    """Read requests off one connection and answer each in a single write.

    With the headers in one packet and the body in the next, Nagle's algorithm and delayed
    acknowledgements would add 40 ms to every call.
    """

    protocol_version = "HTTP/1.1"

    def __init__(
        self, connection: socket.socket, address: tuple[str, int], service: Responder
    ) -> None:
        self.service = service
        # The base class keeps its third argument and does nothing with it.
        super().__init__(connection, address, None)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - also the base class's
        """Stay silent: tests look at `requests` instead."""

    def _handle(self) -> None:
        request = self._read()
        fault = self.service.take(request)
        match fault:
            case None if request.headers.get("upgrade", "").lower() == "websocket":
                self.close_connection = True
                self.service.converse(request, self.connection)
            case None:
                self._send(self.service.respond(request))
            case Slow():
                answer = self.service.respond(request)
                fault.wait()
                self._send(answer)
            case Status():
                self._send(Answer(fault.code, fault.body.encode(), "text/plain", fault.headers))
            case Html():
                self._send(Answer(fault.code, fault.body.encode(), "text/html"))
            case _:
                self.close_connection = True
                self._break(fault)

    def _read(self) -> Request:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = None
        address = urlsplit(self.path)
        return Request(
            method=self.command,
            path=address.path,
            query=dict(parse_qsl(address.query, keep_blank_values=True)),
            body=body,
            headers={name.lower(): value for name, value in self.headers.items()},
            raw_body=raw,
        )

    def _send(self, answer: Answer) -> None:
        self.wfile.write(_render(answer))

    def _break(self, fault: Fault) -> None:
        whole = _render(Answer(body=b'{"half": "of this body is all that arrives"}'))
        match fault:
            case Hang():
                self._hold()
            case Half():
                self.wfile.write(whole[:-20])
                self._hold()
            case HalfThenClose():
                self.wfile.write(whole[:-20])
            case Garbage():
                self.wfile.write(fault.data)
            case Reset():
                # A lingering time of zero makes close() abort the connection.
                option = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            case Close():
                pass
            case _:
                raise TypeError(f"unknown fault {fault!r}")

    def _hold(self) -> None:
        """Block until the caller leaves or the service shuts the connection down."""
        while self.rfile.read1(65536):
            pass


def _render(answer: Answer) -> bytes:
    head = {"Content-Type": answer.content_type, **answer.headers}
    body = answer.body
    if answer.status in _WITHOUT_BODY:
        body = b""
    else:
        head["Content-Length"] = str(len(body))
    first = f"HTTP/1.1 {answer.status} {responses.get(answer.status, 'Unknown')}"
    lines = [first, *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
