"""Handling of webhooks after their transport has read and verified them.

First the occupancy of channels is learned from a webhook, then the receivers of signals are called:
once for each webhook, however often the service delivers it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.core.cache import caches
from django.dispatch import Signal

from realtime_drf import signals
from realtime_drf.conf import configs, get_cache_alias
from realtime_drf.exceptions import InvalidEvent
from realtime_drf.memberships import merge_connections
from realtime_drf.names import parse_channel_name
from realtime_drf.occupancy import occupancies
from realtime_drf.tracebacks import opaque
from realtime_drf.webhook_events import WebhookEvent

__all__ = ["WebhookResult", "receive"]

logger = logging.getLogger("realtime_drf")

REMEMBERED: Final = 900
"""Seconds for which a webhook is recognized: longer than a transport accepts it."""

SIGNALS: Final[Mapping[str, Signal]] = {
    "channel_occupied": signals.channel_occupied,
    "channel_vacated": signals.channel_vacated,
    "member_added": signals.member_added,
    "member_removed": signals.member_removed,
    "client_event": signals.client_event,
    "cache_miss": signals.cache_miss,
    "subscription_count": signals.subscription_count,
}


class WebhookResult(NamedTuple):
    """The number of events of a webhook that were handled, and of those of an unknown kind."""

    handled: int
    ignored: int
    repeated: bool


@opaque
def receive(transport: Any, headers: Mapping[str, str], body: bytes) -> WebhookResult:
    """Handle a webhook: learn which channels are occupied, then send the signals.

    Raises:
        InvalidRequest, InvalidSignature, UnsupportedFeature: it could not be read.
    """
    events: list[WebhookEvent] = transport.read_webhook(headers, body)
    known = [event for event in events if _is_known(event)]
    keys = _keys(transport, body, known)
    ignored = len(events) - len(known)
    # Also from a repeated one, which does no harm: the first attempt may have died.
    _learn(transport, known)
    first = {key for key in dict.fromkeys(keys) if _is_first(key)}
    if keys and not first:
        return WebhookResult(0, 0, repeated=True)
    new = [event for event, key in zip(known, keys, strict=False) if key in first]
    try:
        _send_signals(transport, merge_connections(transport.alias, new))
    except BaseException:  # the process is ending: the service will try again
        _forget(first)
        raise
    if ignored:
        names = dict.fromkeys(event.kind[:100] for event in events if event not in known)
        logger.info("Ignored %d event(s) of a webhook: %.500r", ignored, list(names))
    return WebhookResult(len(new), ignored, repeated=False)


def handle_events(transport: Any, events: Sequence[WebhookEvent]) -> None:
    """Handle events of a service in this process, which sends no webhooks to itself."""
    _learn(transport, events)
    _send_signals(transport, events)


def _is_known(event: WebhookEvent) -> bool:
    try:
        parse_channel_name(event.channel)
    except InvalidEvent:
        return False
    return event.kind in SIGNALS


def _learn(transport: Any, events: Sequence[WebhookEvent]) -> None:
    if configs[transport.alias].skip_vacant:
        occupancies[transport.alias].learn(events)


def _send_signals(transport: Any, events: Iterable[WebhookEvent]) -> None:
    for event in events:
        # Django logs the receivers that raise.
        SIGNALS[event.kind].send_robust(
            type(transport), transport=transport.alias, channel=event.channel, event=event
        )


def _keys(transport: Any, body: bytes, events: Sequence[WebhookEvent]) -> list[str]:
    """Return the key by which each event is remembered: its own, or that of the body.

    A body without known events is remembered as well.
    """
    whole = _key(transport, body)
    return [_key(transport, event.id.encode()) if event.id else whole for event in events] or [
        whole
    ]


def _key(transport: Any, what: bytes) -> str:
    digest = hashlib.sha256(f"{transport.alias}\n".encode() + what).hexdigest()
    return f"realtime_drf:webhook:{digest}"


def _is_first(key: str) -> bool:
    """Return whether a webhook comes for the first time; if the cache is down, assume so."""
    try:
        # A cache that is configured to ignore errors returns None when it is down.
        return caches[get_cache_alias()].add(key, 1, timeout=REMEMBERED) is not False
    except Exception as exc:  # noqa: BLE001  any cache, any error
        logger.warning("A repeated webhook may be handled twice: %s", _name(exc))
        return True


def _forget(keys: Iterable[str]) -> None:
    try:
        caches[get_cache_alias()].delete_many(keys)
    except Exception as exc:  # noqa: BLE001  any cache, any error
        logger.warning("An interrupted webhook will not be handled: %s", _name(exc))


def _name(exc: Exception) -> str:
    # The error of a cache may quote its address, which may have a password.
    return type(exc).__name__
