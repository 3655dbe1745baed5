"""What a service reports: one value for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["WebhookEvent"]


@dataclass(frozen=True, kw_only=True)
class WebhookEvent:
    """Hold one thing that a service reports.

    `kind` is the name of a signal: "channel_occupied", "channel_vacated", "member_added",
    "member_removed", "client_event", "cache_miss", "subscription_count"; others are not known.
    `time_ms` is when it happened, in milliseconds since 1970, by the service's clock. `details` is
    what the service says besides. `id` tells it from all others, where the service may deliver it
    again in other company; without one, the whole body is taken to come again as it was.
    """

    kind: str
    channel: str
    time_ms: int
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)
    id: str = ""
