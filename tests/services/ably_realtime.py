"""A stand-in for Ably's realtime service, beside its REST API on the same port.

It speaks as much of the protocol as ably-js needs to connect, authorize, attach, be present and
hear: https://sdk.ably.com/builds/ably/specification/main/features/. JSON only. It shows what
clients send and accept, and nothing of how the service itself behaves.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import socket
import threading
from typing import Any

from tests.services.ably_app import Connected, Refusal
from tests.services.ably_http import AblyService
from tests.services.http_connection import Request

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

HEARTBEAT, ACK, NACK, CONNECTED, DISCONNECTED = 0, 1, 2, 4, 6
CLOSE, CLOSED, ERROR, ATTACH, ATTACHED, DETACH, DETACHED = 7, 8, 9, 10, 11, 12, 13
PRESENCE, MESSAGE, SYNC, AUTH = 14, 15, 16, 17
HAS_PRESENCE, MAY_ENTER, MAY_PUBLISH, MAY_SUBSCRIBE = 1, 1 << 16, 1 << 17, 1 << 18 | 1 << 19
ENTER, LEAVE, PRESENT = 2, 3, 1


class AblyRealtime(AblyService):
    """A server of REST and realtime clients for one app."""

    def __init__(self) -> None:
        super().__init__()
        self._clients: list[_Client] = []
        self.app.listeners.append(self._broadcast)

    def converse(self, request: Request, connection: socket.socket) -> None:
        client = _Client(self, request, connection)
        with self.changed:
            self._clients.append(client)
        try:
            client.run()
        finally:
            with self.changed:
                self._clients.remove(client)
                client.leave_all()
                self.changed.notify_all()

    @property
    def attached(self) -> set[tuple[str | None, str]]:
        """Return the subscribers of each channel."""
        with self.changed:
            return {
                (client.connected.session.client_id, channel)
                for client in self._clients
                if client.connected is not None
                for channel in client.attached
            }

    def disconnect(self, code: int) -> None:
        """End all connections with an error, as when tokens expire."""
        with self.changed:
            for client in list(self._clients):
                error = {"statusCode": 401, "code": code, "message": "Told to"}
                client.send({"action": DISCONNECTED, "error": error})
                client.end()

    def _broadcast(self, channel: str, messages: list[dict[str, Any]]) -> None:
        with self.changed:
            for client in list(self._clients):
                client.deliver(channel, messages)

    def tell_presence(self, channel: str, member: dict[str, Any]) -> None:
        """Broadcast to a channel what a member has done."""
        for client in list(self._clients):
            if channel in client.attached:
                client.send({"action": PRESENCE, "channel": channel, "presence": [member]})


class _Client:
    """Talk to one client."""

    def __init__(self, service: AblyRealtime, request: Request, connection: socket.socket) -> None:
        from websockets.protocol import SERVER, Protocol

        self.service, self.app = service, service.app
        self.attached: set[str] = set()
        self.connected: Connected | None = None
        self._query = request.query
        self._headers = request.headers
        self._socket = connection
        self._protocol = Protocol(SERVER, max_size=None)
        self._writing = threading.Lock()
        self._ids = itertools.count()

    def run(self) -> None:
        """Greet, and answer until the end."""
        from websockets.frames import Opcode

        accept = hashlib.sha1(f"{self._headers['sec-websocket-key']}{_MAGIC}".encode()).digest()
        self._socket.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(accept) + b"\r\n\r\n"
        )
        with self.service.changed:
            if not self._greet():
                return
        while data := self._socket.recv(65536):
            with self._writing:
                self._protocol.receive_data(data)
                events = self._protocol.events_received()
                self._flush()
            for frame in events:
                if frame.opcode is Opcode.CLOSE:  # type: ignore[union-attr]
                    return
                if frame.opcode is Opcode.TEXT:  # type: ignore[union-attr]
                    with self.service.changed:
                        self._obey(json.loads(frame.data))  # type: ignore[union-attr]
                        self.service.changed.notify_all()

    def send(self, message: dict[str, Any]) -> None:
        """Send one protocol message; a client that is gone misses it."""
        with self._writing, contextlib.suppress(OSError, Exception):
            self._protocol.send_text(json.dumps(message, default=_encode_binary).encode())
            self._flush()

    def end(self) -> None:
        """Close the connection."""
        with self._writing, contextlib.suppress(OSError, Exception):
            self._protocol.send_close(1000)
            self._flush()

    def deliver(self, channel: str, messages: list[dict[str, Any]]) -> None:
        """Pass messages on to a client that is there, but for its own if it wants no echo."""
        if channel not in self.attached or self.connected is None:
            return
        wanted = [
            _for_json(message)
            for message in messages
            if self._query.get("echo") != "false"
            or message.get("connectionId") != self.connected.id
        ]
        if wanted:
            self.send(
                {
                    "action": MESSAGE,
                    "id": wanted[0]["id"],
                    "channel": channel,
                    "timestamp": wanted[0]["timestamp"],
                    "messages": wanted,
                }
            )

    def leave_all(self) -> None:
        """Leave the presence of all channels."""
        for channel in list(self.attached):
            self._leave(channel)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._socket.sendall(data)

    # What a client says

    def _greet(self) -> bool:
        try:
            if "key" in self._query:
                session = self.app.enter_with_key(self._query["key"])
            else:
                session = self.app.enter_with_token(self._query.get("access_token", ""))
        except Refusal as refusal:
            self.send({"action": ERROR, "error": refusal.error})
            self.end()
            return False
        self.connected = self.app.connect(session)
        self._tell_connected()
        return True

    def _tell_connected(self) -> None:
        assert self.connected is not None
        details = {
            "clientId": self.connected.session.client_id,
            "connectionKey": self.connected.key,
            "maxMessageSize": 65_536,
            "maxInboundRate": 250,
            "maxFrameSize": 262_144,
            "serverId": "stand-in",
            "connectionStateTtl": 120_000,
            "maxIdleInterval": 0,
        }
        self.send(
            {
                "action": CONNECTED,
                "connectionId": self.connected.id,
                "connectionKey": self.connected.key,
                "connectionDetails": {k: v for k, v in details.items() if v is not None},
            }
        )

    def _obey(self, message: dict[str, Any]) -> None:
        channel = message.get("channel", "")
        match message["action"]:
            case 0:
                self.send({"action": HEARTBEAT, "id": message.get("id")})
            case 7:
                self.send({"action": CLOSED})
                self.end()
            case 10:
                self._attach(channel)
            case 12:
                self._leave(channel)
                self.attached.discard(channel)
                self.send({"action": DETACHED, "channel": channel})
            case 14 | 15:
                self._acknowledge(message)
            case 17:
                self._authorize(message["auth"]["accessToken"])

    def _attach(self, channel: str) -> None:
        assert self.connected is not None
        session = self.connected.session
        flags = 0
        rights = {"subscribe": MAY_SUBSCRIBE, "presence": MAY_ENTER, "publish": MAY_PUBLISH}
        for operation, flag in rights.items():
            with contextlib.suppress(Refusal):
                session.check(channel, operation)
                flags |= flag
        if not flags:
            error = {"statusCode": 401, "code": 40160, "message": f"{channel} is denied"}
            self.send({"action": ERROR, "channel": channel, "error": error})
            return
        self.attached.add(channel)
        members = self.app.members.get(channel, [])
        flags |= HAS_PRESENCE if members else 0
        self.send(
            {"action": ATTACHED, "channel": channel, "flags": flags, "channelSerial": "serial:1"}
        )
        if members:
            present = [{**member, "action": PRESENT} for member in members]
            self.send(
                {"action": SYNC, "channel": channel, "channelSerial": "sync:", "presence": present}
            )

    def _acknowledge(self, message: dict[str, Any]) -> None:
        about = {"msgSerial": message["msgSerial"], "count": 1}
        try:
            if message["action"] == MESSAGE:
                self._publish(message["channel"], message["messages"])
            else:
                for each in message["presence"]:
                    self._be_present(message["channel"], each)
        except Refusal as refusal:
            self.send({"action": NACK, **about, "error": refusal.error})
        else:
            self.send({"action": ACK, **about})

    def _publish(self, channel: str, messages: list[dict[str, Any]]) -> None:
        assert self.connected is not None
        for message in messages:
            message.setdefault("id", f"{self.connected.id}:{next(self._ids)}:0")
            message["connectionKey"] = self.connected.key
            message["clientId"] = self.connected.session.client_id
        clean = [{k: v for k, v in message.items() if v is not None} for message in messages]
        self.app.publish(self.connected.session, channel, clean)

    def _be_present(self, channel: str, member: dict[str, Any]) -> None:
        assert self.connected is not None
        session = self.connected.session
        session.check(channel, "presence")
        if member.get("clientId", session.client_id) != session.client_id:
            raise Refusal(400, 40012, "Mismatched clientId")
        if member["action"] == LEAVE:
            self._leave(channel)
            return
        member = {
            **member,
            "id": f"{self.connected.id}:{next(self._ids)}:0",
            "clientId": session.client_id,
            "connectionId": self.connected.id,
            "timestamp": int(self.app.clock() * 1000),
        }
        self.app.members.setdefault(channel, []).append(member)
        self.service.tell_presence(channel, member)

    def _leave(self, channel: str) -> None:
        assert self.connected is not None
        members = self.app.members.get(channel, [])
        for member in [each for each in members if each["connectionId"] == self.connected.id]:
            members.remove(member)
            gone = {**member, "action": LEAVE, "id": f"{self.connected.id}:{next(self._ids)}:0"}
            self.service.tell_presence(channel, gone)

    def _authorize(self, token: str) -> None:
        assert self.connected is not None
        try:
            session = self.app.enter_with_token(token)
            if session.client_id != self.connected.session.client_id:
                raise Refusal(400, 40102, "Mismatched clientId")
        except Refusal as refusal:
            self.send({"action": ERROR, "error": refusal.error})
            self.end()
            return
        self.connected.session = session
        self._tell_connected()
        for channel in sorted(self.attached):
            try:
                session.check(channel, "subscribe")
            except Refusal as refusal:
                self.attached.discard(channel)
                self.send({"action": ERROR, "channel": channel, "error": refusal.error})


def _for_json(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message as a client of JSON gets it: binary data in base64."""
    if not isinstance(message["data"], bytes):
        return message
    encoding = "/".join(filter(None, [message.get("encoding"), "base64"]))
    return {**message, "data": _encode_binary(message["data"]), "encoding": encoding}


def _encode_binary(data: bytes) -> str:
    return base64.b64encode(data).decode()
