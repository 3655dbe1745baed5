"""Tokens and signatures of Pusher's protocol, for all transports that speak it.

https://pusher.com/docs/channels/library_auth_reference/auth-signatures/
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any

from realtime_drf.exceptions import InvalidRequest
from realtime_drf.grants import AuthorizationRequest, Grant, Identity
from realtime_drf.names import ChannelKind, is_unicode, parse_channel_name
from realtime_drf.pusher_protocol.limits import (
    MAX_CHANNELS_PER_REQUEST,
    MAX_SOCKET_ID_LENGTH,
    MAX_USER_INFO_BYTES,
)
from realtime_drf.rendering import render

__all__ = ["Signer"]

_SOCKET_ID = re.compile(r"[0-9]+\.[0-9]+")


def is_socket_id(text: str) -> bool:
    """Return whether text has the form of Pusher's socket ids."""
    return len(text) <= MAX_SOCKET_ID_LENGTH and _SOCKET_ID.fullmatch(text) is not None


class Signer:
    """The key and secret of an app, and its master key if it has one, to sign with.

    Signatures that were made with a secret in `fallbacks` are valid as well.
    """

    def __init__(
        self,
        key: str,
        secret: str,
        master_key: bytes | None = None,
        *,
        fallbacks: Sequence[str] = (),
    ) -> None:
        self.key = key
        self._secrets = [each.encode() for each in (secret, *fallbacks)]
        self._master_key = master_key

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def sign(self, text: str | bytes) -> str:
        """Return the HMAC-SHA256 of a text as hexadecimal digits."""
        return _hmac(self._secrets[0], _bytes(text))

    def verify(self, text: str | bytes, signature: str) -> bool:
        """Return whether a signature is that of a text, in constant time."""
        data, given = _bytes(text), signature.encode(errors="replace")
        return any(
            hmac.compare_digest(_hmac(secret, data).encode(), given) for secret in self._secrets
        )

    def verify_token(self, text: str, auth: str) -> bool:
        """Return whether ``auth`` holds the app's key and its signature of a text."""
        key, _, signature = auth.partition(":")
        return key == self.key and self.verify(text, signature)

    def channel_token(self, socket_id: str, grant: Grant) -> dict[str, str]:
        """Return the token with which a client subscribes."""
        token: dict[str, str] = {}
        text = f"{socket_id}:{grant.channel}"
        kind = parse_channel_name(grant.channel).kind
        if kind is ChannelKind.PRESENCE:
            data: dict[str, Any] = {"user_id": grant.user_id}
            if grant.user_info is not None:
                data["user_info"] = _checked(grant.user_info)
            token["channel_data"] = render(data)
            text += f":{token['channel_data']}"
        if kind is ChannelKind.ENCRYPTED:
            token["shared_secret"] = self.shared_secret(grant.channel)
        return {"auth": f"{self.key}:{self.sign(text)}", **token}

    def user_token(self, socket_id: str, identity: Identity) -> dict[str, str]:
        """Return the token with which a client signs in."""
        data: dict[str, Any] = {"id": identity.user_id}
        if identity.user_info is not None:
            data["user_info"] = _checked(identity.user_info)
        if identity.watchlist:
            data["watchlist"] = identity.watchlist
        user_data = render(data)
        return {
            "auth": f"{self.key}:{self.sign(f'{socket_id}::user::{user_data}')}",
            "user_data": user_data,
        }

    def shared_secret(self, channel: str) -> str:
        """Return the key of an encrypted channel, in base64."""
        if self._master_key is None:
            raise InvalidRequest(f"{channel} cannot be decrypted: no master key is configured.")
        return base64.b64encode(
            hashlib.sha256(channel.encode() + self._master_key).digest()
        ).decode()


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _hmac(secret: bytes, data: bytes) -> str:
    return hmac.new(secret, data, hashlib.sha256).hexdigest()


def read_authorization(data: Mapping[str, Any]) -> AuthorizationRequest:
    """Read what pusher-js posts: ``socket_id`` and ``channel_name``, or many ``channel_names``."""
    channels = _strings(data, "channel_names") or _strings(data, "channel_names[]")
    single = _strings(data, "channel_name")
    if bool(single) == bool(channels):
        raise InvalidRequest("channel_name or channel_names is needed, and not both.")
    if len(single) > 1 or len(channels) > MAX_CHANNELS_PER_REQUEST:
        raise InvalidRequest(
            f"Ask for one channel_name, or up to {MAX_CHANNELS_PER_REQUEST} channel_names."
        )
    return AuthorizationRequest(
        socket_id=read_socket_id(data),
        channels=tuple(dict.fromkeys(channels or single)),
        is_many=bool(channels),
    )


def read_socket_id(data: Mapping[str, Any]) -> str:
    """Read the ``socket_id`` that pusher-js posts."""
    (socket_id,) = _strings(data, "socket_id")[:1] or [""]
    if not is_socket_id(socket_id):
        raise InvalidRequest("socket_id is needed, of the form 123.456.")
    return socket_id


def _strings(data: Mapping[str, Any], name: str) -> list[str]:
    """Return the values of a field of a form or of a JSON object."""
    values = data.getlist(name) if hasattr(data, "getlist") else data.get(name, [])
    if isinstance(values, str):
        values = [values]
    if not isinstance(values, list) or not all(
        isinstance(value, str) and is_unicode(value) for value in values
    ):
        raise InvalidRequest(f"{name} must be text.")
    return values


def _checked(user_info: Mapping[str, Any]) -> Mapping[str, Any]:
    size = len(render(user_info).encode())
    if size > MAX_USER_INFO_BYTES:
        raise InvalidRequest(
            f"The user's info has {size:,} bytes; {MAX_USER_INFO_BYTES:,} are allowed."
        )
    return user_info
