"""The sender of a change: the connection key, and the client id, that Ably's clients send.

The header is the connection key itself, or base64url of ``{"connectionKey": …, "clientId": …}``, as
@ably/laravel-echo sends it and as a client with an id must.
https://ably.com/docs/pub-sub/advanced#publish-on-behalf
"""

from __future__ import annotations

import base64
import json
import re
from typing import NamedTuple

_KEY = re.compile(r"[A-Za-z0-9_\-!.~+/=]{8,300}")
_MAX_LENGTH = 2_000


class Sender(NamedTuple):
    """The key of a connection, and its client id if it has one."""

    connection_key: str
    client_id: str | None = None


def read_sender(socket_id: str) -> Sender | None:
    """Return the sender that a header names, or None if it is malformed."""
    if len(socket_id) > _MAX_LENGTH or not _KEY.fullmatch(socket_id[:300]):
        return None
    found = _read_object(socket_id)
    if found is not None:
        key, client_id = found.get("connectionKey"), found.get("clientId")
        if isinstance(key, str) and _KEY.fullmatch(key) and isinstance(client_id, str | None):
            return Sender(key, client_id or None)
        return None
    return Sender(socket_id) if _KEY.fullmatch(socket_id) else None


def _read_object(text: str) -> dict[str, object] | None:
    """Return the object of which a text is the base64url, or None if it is of none."""
    try:
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        found = json.loads(base64.urlsafe_b64decode(padded))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
