"""Members of presence channels, for services that report each connection of a user.

Signals are sent for users, as Pusher does it: a user with several open tabs joins with the first
and leaves with the last. The connections are counted in the cache of webhooks, in steps that
processes can take concurrently. If the cache loses them, or is down, signals are sent for
connections.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.core.cache import caches

from realtime_drf.conf import get_cache_alias
from realtime_drf.webhook_events import WebhookEvent

logger = logging.getLogger("realtime_drf")

REMEMBERED: Final = 7 * 86_400
"""Seconds for which a connection is remembered after its last event."""

_STEPS: Final = {"member_added": 1, "member_removed": -1}


def merge_connections(alias: str, events: Iterable[WebhookEvent]) -> Iterator[WebhookEvent]:
    """Yield the events without those of a user's additional connections.

    A connection is counted when its event is consumed: if the caller stops before, the service may
    send the event again.
    """
    return (event for event in events if _is_of_user(alias, event))


def _is_of_user(alias: str, event: WebhookEvent) -> bool:
    step = _STEPS.get(event.kind)
    connection = event.details.get("connection_id")
    if step is None or not isinstance(connection, str):
        return True
    try:
        return _take_step(alias, event, step, connection)
    except Exception as exc:  # noqa: BLE001  any cache, any error
        logger.warning("A user may be reported to join or leave twice: %s", type(exc).__name__)
        return True


def _take_step(alias: str, event: WebhookEvent, step: int, connection: str) -> bool:
    """Count a connection in or out; return whether it was the first or the last."""
    cache = caches[get_cache_alias()]
    user = _key(alias, event.channel, event.details.get("user_id"))
    place = _key(user, connection)
    known = cache.get(place)
    before, at = known or (None, 0)
    if at > event.time_ms:
        return False  # it is late: a later one has been reported
    cache.set(place, (step, event.time_ms), REMEMBERED)
    if before == step:
        return False
    cache.add(user, 0, REMEMBERED)
    if step < 0 and before is None:
        # That it joined was never reported, but other connections may be known.
        return int(cache.get(user, 0)) <= 0
    count = cache.incr(user, step)
    cache.touch(user, REMEMBERED)
    return count == 1 if step > 0 else count <= 0


def _key(*parts: Any) -> str:
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()
    return f"realtime_drf:member:{digest}"
