"""Webhooks as Pusher sends them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

KEY, SECRET = "my-key", "my-secret"
OPTIONS = {"app_id": "4711", "key": KEY, "secret": SECRET, "cluster": "eu"}
PUSHER = "realtime_drf.transports.pusher.PusherTransport"


def make_body(*events: Any, time_ms: int | None = None) -> bytes:
    """Return the body of a webhook; an event is an object, or a kind of event on "room"."""
    objects = [{"name": e, "channel": "room"} if isinstance(e, str) else e for e in events]
    now_ms = int(time.time() * 1000)
    content = {"time_ms": now_ms if time_ms is None else time_ms, "events": objects}
    return json.dumps(content).encode()


def sign(body: bytes, *, key: str = KEY, secret: str = SECRET) -> dict[str, str]:
    """Return the headers that go with a body."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Pusher-Key": key, "X-Pusher-Signature": signature}
