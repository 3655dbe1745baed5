"""An app of Ably's: keys, tokens, capabilities, connections, and what is published.

Both stand-ins use it, the one for REST and the one for realtime clients. It is as strict as the
documentation says that the service is, and proves what clients and the SDK send. It is
no proof of what the service does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MESSAGE_LIMIT = 65_536
CLOCK_TOLERANCE = 120
_FIELDS = {"name", "data", "id", "encoding", "clientId", "connectionKey", "extras"}


class Refusal(Exception):
    """Refuse a request as the service does, with a status and a code of its own."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.error = {
            "statusCode": status,
            "code": code,
            "message": message,
            "href": f"https://help.ably.io/error/{code}",
        }
        self.status = status


@dataclass(frozen=True)
class Session:
    """A client that has signed in, and what it may do."""

    capability: Mapping[str, list[str]]
    client_id: str | None = None
    expires: float | None = None

    def check(self, channel: str, operation: str) -> None:
        """Refuse what the capability does not hold."""
        for resource, operations in self.capability.items():
            if _covers(resource, channel) and {operation, "*"} & set(operations):
                return
        raise Refusal(
            401, 40160, f"Channel denied access based on given capability: {channel}, {operation}"
        )


@dataclass(frozen=True)
class Received:
    """A message for one channel, as subscribers would receive it."""

    channel: str
    name: str
    data: Any
    encoding: str | None
    id: str
    client_id: str | None
    connection_id: str | None
    extras: Any = None


@dataclass
class Connected:
    """A realtime connection."""

    key: str
    id: str
    session: Session
    presence: dict[str, Any] = field(default_factory=dict)


class App:
    """An app of the service. `clock` returns the service's Unix time."""

    def __init__(
        self,
        app_id: str = "app1",
        key_id: str = "key1",
        secret: str = "test-secret",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.key_name = f"{app_id}.{key_id}"
        self.key = f"{self.key_name}:{secret}"
        self._secret = secret.encode()
        self.clock = clock
        self._numbers = itertools.count(1)
        self.listeners: list[Callable[[str, list[dict[str, Any]]], None]] = []
        self.forget()

    def forget(self) -> None:
        """Return to the state of a new app."""
        self.received: list[Received] = []
        self.key_capability: dict[str, list[str]] = {"*": ["*"]}
        self.tokens: dict[str, Session] = {}
        self.nonces: set[str] = set()
        self.ids: set[tuple[str, str]] = set()
        self.connections: dict[str, Connected] = {}
        self.members: dict[str, list[dict[str, Any]]] = {}
        self.revoked: list[str] = []
        self.message_limit = MESSAGE_LIMIT

    # Who is there

    def enter_with_key(self, key: str, client_id: str | None = None) -> Session:
        """Authenticate a request with a key."""
        if not hmac.compare_digest(key, self.key):
            raise Refusal(401, 40101, "Invalid credentials")
        return Session(self.key_capability, client_id)

    def enter_with_token(self, token: str) -> Session:
        """Authenticate a request with a token, ours or a JWT."""
        session = self.tokens.get(token) or self._read_jwt(token)
        if session.expires is not None and session.expires <= self.clock():
            raise Refusal(401, 40142, "Token expired")
        if session.client_id in self.revoked:
            raise Refusal(401, 40141, "Token revoked")
        return session

    def exchange(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Make a token of a signed request."""
        known = {"keyName", "ttl", "capability", "clientId", "timestamp", "nonce", "mac"}
        if set(request) - known or request.get("keyName") != self.key_name:
            raise Refusal(400, 40003, "Invalid token request")
        # Missing values and null are empty in the text that is signed.
        names = ("keyName", "ttl", "capability", "clientId", "timestamp", "nonce")
        values = [request.get(name) for name in names]
        text = "".join(f"{'' if value is None else value}\n" for value in values)
        mac = base64.b64encode(hmac.new(self._secret, text.encode(), hashlib.sha256).digest())
        if not hmac.compare_digest(mac.decode(), request.get("mac", "")):
            raise Refusal(401, 40101, "mac doesn't match")
        if abs(request["timestamp"] / 1000 - self.clock()) > CLOCK_TOLERANCE:
            raise Refusal(401, 40104, "Timestamp not current")
        if len(request["nonce"]) < 16 or request["nonce"] in self.nonces:
            raise Refusal(401, 40105, "Nonce value replayed")
        self.nonces.add(request["nonce"])
        capability = self._within(request.get("capability") or '{"*":["*"]}')
        issued = int(self.clock() * 1000)
        expires = issued + (request.get("ttl") or 3_600_000)
        token = f"{self.key_name.partition('.')[0]}.{secrets.token_urlsafe(24)}"
        client_id = request.get("clientId")
        self.tokens[token] = Session(capability, client_id, expires / 1000)
        details = {
            "token": token,
            "keyName": self.key_name,
            "issued": issued,
            "expires": expires,
            "capability": json.dumps(capability),
        }
        return details | ({"clientId": client_id} if client_id else {})

    def connect(self, session: Session) -> Connected:
        """Assign an id and a key to a connection."""
        number = next(self._numbers)
        connected = Connected(f"{secrets.token_hex(6)}!{number}key-x", f"conn{number}", session)
        self.connections[connected.key] = connected
        return connected

    def _read_jwt(self, token: str) -> Session:
        try:
            head, claims, signature = token.split(".")
            wanted = hmac.new(self._secret, f"{head}.{claims}".encode(), hashlib.sha256).digest()
            header, content = (json.loads(_decode(part)) for part in (head, claims))
            is_ours = header["kid"] == self.key_name and header["alg"] == "HS256"
            if not is_ours or not hmac.compare_digest(wanted, _decode(signature)):
                raise ValueError("signature")
            capability = self._within(content["x-ably-capability"])
            if content["iat"] > self.clock() + CLOCK_TOLERANCE:
                raise ValueError("iat")
            return Session(capability, content.get("x-ably-clientId"), content["exp"])
        except (ValueError, KeyError, TypeError):
            raise Refusal(401, 40144, "Invalid JWT") from None

    def _within(self, text: str) -> dict[str, list[str]]:
        """Return what of a wanted capability the key has too."""
        wanted = json.loads(text)
        if not isinstance(wanted, dict) or not wanted or not all(wanted.values()):
            raise Refusal(400, 40160, "Invalid capability")
        found = {}
        for resource, operations in wanted.items():
            session = Session(self.key_capability)
            allowed = [each for each in operations if _may(session, resource, each)]
            if allowed:
                found[resource] = allowed
        if not found:
            raise Refusal(401, 40160, "Capability not permitted with provided key")
        return found

    # What is published

    def publish(self, session: Session, channel: str, body: Any) -> dict[str, Any]:
        """Publish one message or several, all or none, and return what the service answers."""
        messages = body if isinstance(body, list) else [body]
        _check_channel(channel)
        session.check(channel, "publish")
        if not messages or len(messages) > 1000:
            raise Refusal(400, 40000, "Between 1 and 1000 messages")
        for place, message in enumerate(messages):
            self._check_message(session, message, place, many=len(messages) > 1)
        if sum(map(_size, messages)) > self.message_limit:
            raise Refusal(400, 40009, "Maximum message length exceeded")
        new = [each for each in messages if (channel, each.get("id")) not in self.ids]
        arrived = [self._receive(channel, each) for each in new]
        if arrived:
            for listener in list(self.listeners):
                listener(channel, arrived)
        return {"channel": channel, "messageId": messages[0].get("id", secrets.token_hex(8))}

    def _receive(self, channel: str, message: dict[str, Any]) -> dict[str, Any]:
        message = dict(message)
        key = message.pop("connectionKey", None)
        if message.get("id") is None:
            message["id"] = f"{secrets.token_hex(5)}:0"
        self.ids.add((channel, message["id"]))
        if key is not None:
            message["connectionId"] = self.connections[key].id
        received = Received(
            channel,
            message.get("name", ""),
            message.get("data"),
            message.get("encoding"),
            message["id"],
            message.get("clientId"),
            message.get("connectionId"),
            message.get("extras"),
        )
        self.received.append(received)
        return message | {"timestamp": int(self.clock() * 1000)}

    def _check_message(self, session: Session, message: Any, place: int, *, many: bool) -> None:
        if not isinstance(message, dict) or set(message) - _FIELDS:
            raise Refusal(400, 40000, f"Unknown fields in a message: {sorted(message)}")
        if not isinstance(message.get("data"), str | bytes):
            raise Refusal(400, 40003, "data is text or binary")
        message_id = message.get("id")
        if many and message_id is not None and not re.fullmatch(rf"[^:]+:{place}", message_id):
            raise Refusal(400, 40031, "Invalid id: several have one base and their places")
        self._check_identity(session, message)

    def _check_identity(self, session: Session, message: dict[str, Any]) -> None:
        client_id, key = message.get("clientId"), message.get("connectionKey")
        if session.client_id not in (None, "*", client_id) and client_id is not None:
            raise Refusal(400, 40012, "Mismatched clientId")
        if key is None:
            return
        connected = self.connections.get(key)
        if connected is None or connected.session.client_id != client_id:
            raise Refusal(400, 40006, "Invalid connection key, or of another clientId")


def _covers(resource: str, channel: str) -> bool:
    if resource == "*":
        return True
    if resource.endswith(":*"):
        return channel.startswith(resource[:-1])
    return resource == channel


def _may(session: Session, channel: str, operation: str) -> bool:
    try:
        session.check(channel, operation)
    except Refusal:
        return False
    return True


def _check_channel(channel: Any) -> None:
    if not isinstance(channel, str) or not channel or channel[0] in "[:" or "\n" in channel:
        raise Refusal(400, 40010, "Invalid channel name")


def _size(message: Mapping[str, Any]) -> int:
    data = message["data"]
    size = len(data.encode() if isinstance(data, str) else data)
    extras = json.dumps(message["extras"], separators=(",", ":")) if "extras" in message else ""
    return size + len(message.get("name", "").encode()) + len(extras.encode())


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
