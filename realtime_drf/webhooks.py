"""What is done with a webhook once its transport has read and verified it.

First the occupancy of channels is learned from it, then receivers of the signals are called, once
for each webhook however often the service delivers it.
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

__all__ = ["Outcome", "receive"]

logger = logging.getLogger("realtime_drf")

REMEMBERED: Final = 900
"""Seconds for which a webhook is known again: longer than a transport accepts one."""

SIGNALS: Final[Mapping[str, Signal]] = {
    "channel_occupied": signals.channel_occupied,
    "channel_vacated": signals.channel_vacated,
    "member_added": signals.member_added,
    "member_removed": signals.member_removed,
    "client_event": signals.client_event,
    "cache_miss": signals.cache_miss,
    "subscription_count": signals.subscription_count,
}


class Outcome(NamedTuple):
    """Say how many events of a webhook were handled, and how many are of no known kind."""

    handled: int
    ignored: int
    repeated: bool


@opaque
def receive(transport: Any, headers: Mapping[str, str], body: bytes) -> Outcome:
    """Act on a webhook: learn who listens, then tell the receivers of its signals.

    Raises:
        InvalidRequest, InvalidSignature, UnsupportedFeature: it was not read.
    """
    events: list[WebhookEvent] = transport.read_webhook(headers, body)
    known = [event for event in events if _is_known(event)]
    keys = _keys(transport, body, known)
    ignored = len(events) - len(known)
    # Also from a repeated one, to which it makes no difference: a first attempt may have died.
    _learn(transport, known)
    first = {key for key in dict.fromkeys(keys) if _is_first(key)}
    if keys and not first:
        return Outcome(0, 0, repeated=True)
    new = [event for event, key in zip(known, keys, strict=False) if key in first]
    try:
        _send_signals(transport, merge_connections(transport.alias, new))
    except BaseException:  # the process is told to end: the service will try again
        _forget(first)
        raise
    if ignored:
        names = dict.fromkeys(event.kind[:100] for event in events if event not in known)
        logger.info("%d event(s) of a webhook were ignored: %.500r", ignored, list(names))
    return Outcome(len(new), ignored, repeated=False)


def tell(transport: Any, events: Sequence[WebhookEvent]) -> None:
    """Act on what has happened at a service in the project itself, of which no webhook comes."""
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
    """Return under which key each event is remembered: its own, or that of the body.

    A body in which nothing is known is remembered too.
    """
    whole = _key(transport, body)
    return [_key(transport, event.id.encode()) if event.id else whole for event in events] or [
        whole
    ]


def _key(transport: Any, what: bytes) -> str:
    digest = hashlib.sha256(f"{transport.alias}\n".encode() + what).hexdigest()
    return f"realtime_drf:webhook:{digest}"


def _is_first(key: str) -> bool:
    """Tell whether a webhook comes for the first time; if the cache is down, suppose so."""
    try:
        # A cache that is told to ignore errors answers None when it is down.
        return caches[get_cache_alias()].add(key, 1, timeout=REMEMBERED) is not False
    except Exception as exc:  # noqa: BLE001  any cache, any error
        logger.warning("A webhook that is repeated may be acted on twice: %s", _name(exc))
        return True


def _forget(keys: Iterable[str]) -> None:
    try:
        caches[get_cache_alias()].delete_many(keys)
    except Exception as exc:  # noqa: BLE001  any cache, any error
        logger.warning("A webhook that was interrupted will not be acted on: %s", _name(exc))


def _name(exc: Exception) -> str:
    # A cache's error may quote its address, and that a password.
    return type(exc).__name__
