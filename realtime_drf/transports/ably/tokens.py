"""Ably's tokens: signed requests for one, and JSON Web Tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from typing import Any

from realtime_drf.exceptions import InvalidRequest
from realtime_drf.rendering import render
from realtime_drf.transports.ably.credentials import Credentials


class Signer:
    """Signs tokens with one key."""

    def __init__(self, credentials: Credentials, ttl: int, clock: Callable[[], float]) -> None:
        self._name = credentials.name
        self._secret = credentials.secret.encode()
        self._ttl = ttl
        self._clock = clock

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def token_request(self, capability: str, client_id: str | None) -> dict[str, Any]:
        """Return a signed request: https://ably.com/docs/api/token-request-spec#hmac."""
        fields = {
            "keyName": self._name,
            "ttl": self._ttl * 1000,
            "capability": capability,
            "clientId": client_id,
            "timestamp": int(self._clock() * 1000),
            "nonce": secrets.token_hex(16),
        }
        text = "".join(f"{'' if value is None else value}\n" for value in fields.values())
        mac = base64.b64encode(self._sign(text)).decode()
        return {k: v for k, v in {**fields, "mac": mac}.items() if v is not None}

    def jwt(self, capability: str, client_id: str | None) -> str:
        """Return a JSON Web Token: https://ably.com/docs/auth/token#jwt."""
        now = int(self._clock())
        claims = {"iat": now, "exp": now + self._ttl, "x-ably-capability": capability}
        if client_id is not None:
            claims["x-ably-clientId"] = client_id
        head = {"typ": "JWT", "alg": "HS256", "kid": self._name}
        text = f"{_encode(render(head).encode())}.{_encode(render(claims).encode())}"
        return f"{text}.{_encode(self._sign(text))}"

    def _sign(self, text: str) -> bytes:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).digest()


def read_channels(token: Any) -> list[str]:
    """Return the channels of a token's capability: only a wish, on which the policies decide."""
    if token is None or token == "":
        return []
    try:
        claims = json.loads(_decode(token.split(".")[1]))
        capability = json.loads(claims["x-ably-capability"])
        return [name for name in capability if isinstance(name, str) and "*" not in name]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError):
        raise InvalidRequest("token is not one of ours.") from None


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
