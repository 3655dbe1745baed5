"""Webhooks of Pusher's protocol, for all transports that speak it.

https://pusher.com/docs/channels/server_api/webhooks/
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from realtime_drf.exceptions import InvalidRequest, InvalidSignature
from realtime_drf.pusher_protocol.signatures import Signer
from realtime_drf.rendering import read
from realtime_drf.webhook_events import WebhookEvent

WINDOW: Final = 300
"""Seconds for which Pusher tries to deliver a webhook."""

MARGIN: Final = 60
"""Seconds by which the clocks may differ, and the last attempt may be late."""

MAX_BODY_BYTES: Final = 1_048_576


class WebhookReader:
    """A reader of webhooks that are signed with one of an app's keys, and recent.

    Args:
        keys: key to secret; several while they are being replaced.
        clock: returns the time in seconds since 1970.
    """

    def __init__(self, keys: Mapping[str, str], *, clock: Callable[[], float] = time.time) -> None:
        self._signers = {key: Signer(key, secret) for key, secret in keys.items()}
        self.clock = clock

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def read(self, headers: Mapping[str, str], body: bytes) -> list[WebhookEvent]:
        """Return the events of a webhook; raise InvalidSignature or InvalidRequest."""
        if len(body) > MAX_BODY_BYTES:
            raise InvalidRequest(f"The body has more than {MAX_BODY_BYTES:,} bytes.")
        self._verify(headers, body)
        content = parse_object(body)
        time_ms = content.get("time_ms")
        events = content.get("events")
        if type(time_ms) is not int:
            raise InvalidRequest("time_ms must be an integer.")
        if not isinstance(events, list):
            raise InvalidRequest("events must be a list.")
        self._check_age(time_ms)
        return [self._make_event(event, time_ms) for event in events]

    def _verify(self, headers: Mapping[str, str], body: bytes) -> None:
        # Headers that occur twice are joined by a comma, and so match nothing.
        key, signature = (headers.get(f"X-Pusher-{name}", "") for name in ("Key", "Signature"))
        if not key or not signature:
            raise InvalidSignature("The headers X-Pusher-Key and X-Pusher-Signature are needed.")
        signer = self._signers.get(key)
        if signer is None or not signer.verify(body, signature):
            raise InvalidSignature("The signature is not valid for any key of this app.")

    def _check_age(self, time_ms: int) -> None:
        now_ms = int(self.clock() * 1000)
        if not now_ms - (WINDOW + MARGIN) * 1000 <= time_ms <= now_ms + MARGIN * 1000:
            raise InvalidSignature(
                f"time_ms is not within the last {WINDOW + MARGIN} seconds; if the webhook is new, "
                f"the clock of this machine is wrong."
            )

    def _make_event(self, event: Any, time_ms: int) -> WebhookEvent:
        if not isinstance(event, dict):
            raise InvalidRequest("events must hold objects.")
        details = dict(event)
        kind, channel = details.pop("name", None), details.pop("channel", "")
        if not (isinstance(kind, str) and isinstance(channel, str)):
            raise InvalidRequest("name and channel of an event must be text.")
        return WebhookEvent(kind=kind, channel=channel, time_ms=time_ms, details=details)


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; raise InvalidRequest if it is not one."""
    try:
        content = read(body.decode())
    except ValueError:
        # Without the cause, which would quote the body.
        content = None
    if not isinstance(content, dict):
        raise InvalidRequest("The body must be a JSON object in UTF-8.")
    return content
