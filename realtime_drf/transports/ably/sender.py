"""The connection that caused a change, as Ably's clients name it in a header.

Either the connection key as it is, or what @ably/laravel-echo sends and what a client that has an
id must send: base64url of ``{"connectionKey": …, "clientId": …}``.
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
    """Hold the key of a connection, and the id of its client if it has one."""

    connection_key: str
    client_id: str | None = None


def read_sender(token: str) -> Sender | None:
    """Return what a header says, or None if it is malformed."""
    if len(token) > _MAX_LENGTH or not _KEY.fullmatch(token[:300]):
        return None
    found = _read_object(token)
    if found is not None:
        key, client_id = found.get("connectionKey"), found.get("clientId")
        if isinstance(key, str) and _KEY.fullmatch(key) and isinstance(client_id, str | None):
            return Sender(key, client_id or None)
        return None
    return Sender(token) if _KEY.fullmatch(token) else None


def _read_object(token: str) -> dict[str, object] | None:
    """Return the object that a token holds, or None if it is no base64url of one."""
    try:
        padded = token.rstrip("=") + "=" * (-len(token.rstrip("=")) % 4)
        found = json.loads(base64.urlsafe_b64decode(padded))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
