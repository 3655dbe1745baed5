"""Check requests by the rules of Pusher's HTTP API, as far as they are documented.

Source: https://pusher.com/docs/channels/library_auth_reference/rest-api/. Where it is silent the
stricter reading is taken, so that what passes here passes there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from typing import Any

from tests.services.http_connection import Request

NAME_LIMIT = 200
CHANNEL_LIMIT = 164
CHANNELS_LIMIT = 100
BATCH_LIMIT = 10
#: Seconds by which auth_timestamp may be off.
CLOCK_TOLERANCE = 600
USER_PREFIX = "#server-to-user-"

_CHANNEL = re.compile(r"[A-Za-z0-9_\-=@,.;]+")
_SOCKET_ID = re.compile(r"\d+\.\d+", re.ASCII)
_NONCE_BYTES = 24
# A NaCl secretbox is its message and 16 bytes of authentication.
_SECRETBOX_OVERHEAD = 16


class Refusal(Exception):
    """The status and the plain text with which a request is refused."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def check_signature(request: Request, *, key: str, secret: str, now: float) -> None:
    """Refuse with 401 what is not signed by the secret for this moment.

    The path is verified as it stands in the request line. The texts quote the string to sign and
    the sent signature, as the real service's do: a caller that shows them to others leaks them.
    """
    query = request.query
    if not hmac.compare_digest(query.get("auth_key", "").encode(), key.encode()):
        raise Refusal(401, f"Unknown auth_key {query.get('auth_key')!r}")
    if query.get("auth_version") != "1.0":
        raise Refusal(401, f"auth_version must be 1.0, not {query.get('auth_version')!r}")
    _check_timestamp(query.get("auth_timestamp", ""), now)
    # The Python SDK signs a body_md5 on GETs too: check it wherever it comes.
    if request.raw_body or "body_md5" in query:
        digest = hashlib.md5(request.raw_body).hexdigest()
        if not hmac.compare_digest(query.get("body_md5", "").encode(), digest.encode()):
            raise Refusal(401, "Invalid body_md5: it does not match the MD5 of the body")
    to_sign = string_to_sign(request)
    expected = hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    sent = query.get("auth_signature", "")
    if not hmac.compare_digest(expected.encode(), sent.encode()):
        raise Refusal(
            401,
            f"Invalid signature: you should have sent HmacSHA256Hex({json.dumps(to_sign)}, "
            f"your_secret_key), but you sent {json.dumps(sent)}",
        )


def string_to_sign(request: Request) -> str:
    """Return what the signature of a request is made over."""
    pairs = sorted(
        (name.lower(), value) for name, value in request.query.items() if name != "auth_signature"
    )
    return "\n".join([request.method, request.path, "&".join(f"{k}={v}" for k, v in pairs)])


def _check_timestamp(given: str, now: float) -> None:
    if not re.fullmatch(r"\d{1,12}", given, re.ASCII):
        raise Refusal(401, f"auth_timestamp must be a Unix time in seconds, not {given!r}")
    if abs(now - int(given)) > CLOCK_TOLERANCE:
        raise Refusal(
            401,
            f"Timestamp expired: Given timestamp ({given}) not within {CLOCK_TOLERANCE}s of server "
            f"time ({now:.0f})",
        )


def check_event(event: Any, channels: Any, *, data_limit: int) -> None:
    """Refuse an event that the service would not deliver to these channels."""
    _check_name(event.get("name"))
    if not isinstance(channels, list) or not 1 <= len(channels) <= CHANNELS_LIMIT:
        raise Refusal(400, f"Between 1 and {CHANNELS_LIMIT} channels are needed")
    for channel in channels:
        check_channel(channel)
        if len(channels) > 1 and channel.startswith(USER_PREFIX):
            raise Refusal(400, "An event to a user cannot go to other channels as well")
        if len(channels) > 1 and is_encrypted(channel):
            raise Refusal(400, "An event to an encrypted channel cannot go to others as well")
    _check_data(event.get("data"), data_limit)
    if is_encrypted(channels[0]):
        _check_secretbox(event["data"])
    if "socket_id" in event and not _is_socket_id(event["socket_id"]):
        raise Refusal(400, f"Invalid socket_id {event['socket_id']!r}")


def check_channel(channel: Any) -> None:
    """Refuse what is neither a channel's name nor the address of a user."""
    if not isinstance(channel, str) or len(channel) > CHANNEL_LIMIT:
        raise Refusal(400, f"A channel is a name of up to {CHANNEL_LIMIT} characters: {channel!r}")
    if channel.startswith(USER_PREFIX) and len(channel) > len(USER_PREFIX):
        return
    if not _CHANNEL.fullmatch(channel):
        raise Refusal(400, f"Invalid channel name {channel!r}")


def is_encrypted(channel: str) -> bool:
    """Return whether the channel is encrypted."""
    return channel.startswith("private-encrypted-")


def is_presence(channel: str) -> bool:
    """Return whether it is a presence channel."""
    return channel.startswith("presence-")


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_LIMIT:
        raise Refusal(400, f"An event needs a name of up to {NAME_LIMIT} characters")


def _check_data(data: Any, limit: int) -> None:
    if not isinstance(data, str):
        raise Refusal(400, "The data of an event must be a string (of JSON, for instance)")
    if len(data.encode()) > limit:
        raise Refusal(
            413, f"The data content of this event exceeds the allowed maximum ({limit} bytes)"
        )


def _check_secretbox(data: str) -> None:
    try:
        box = json.loads(data)
        nonce = base64.b64decode(box["nonce"], validate=True)
        ciphertext = base64.b64decode(box["ciphertext"], validate=True)
    except (ValueError, TypeError, KeyError, binascii.Error):
        raise Refusal(
            400, "The data for an encrypted channel must be {nonce, ciphertext} in base64"
        ) from None
    if len(nonce) != _NONCE_BYTES or len(ciphertext) < _SECRETBOX_OVERHEAD:
        raise Refusal(400, "The nonce or the ciphertext has a length that no secretbox has")


def _is_socket_id(value: Any) -> bool:
    return isinstance(value, str) and _SOCKET_ID.fullmatch(value) is not None
