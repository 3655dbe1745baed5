"""Events that a service reports by webhook, the same for every service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["WebhookEvent"]


@dataclass(frozen=True, kw_only=True)
class WebhookEvent:
    """An event that a service reports.

    `kind` is the name of a signal: "channel_occupied", "channel_vacated", "member_added",
    "member_removed", "client_event", "cache_miss" or "subscription_count"; there are no others.
    `time_ms` is when it happened, in milliseconds since 1970, by the service's clock. `details` has
    what else the service reports. `id` is unique, where the service may repeat the event in another
    body; without one, only whole bodies are repeated.
    """

    kind: str
    channel: str
    time_ms: int
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)
    id: str = ""
