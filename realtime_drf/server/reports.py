"""The webhook events that report what happens on channels."""

from __future__ import annotations

import time
from typing import Any

from realtime_drf.cluster.state import StateChange
from realtime_drf.webhook_events import WebhookEvent


def make_event(kind: str, channel: str, **details: Any) -> WebhookEvent:
    """Return a webhook event of the present time."""
    return WebhookEvent(
        kind=kind, channel=channel, time_ms=int(time.time() * 1000), details=details
    )


def report_change(change: StateChange) -> WebhookEvent:
    """Return the webhook event of a change that the store has found."""
    details = {"user_id": change.user_id} if change.user_id else {}
    return WebhookEvent(
        kind=change.kind, channel=change.channel, time_ms=change.time_ms, details=details
    )
