"""Reports of what happens on channels: signals for the project, webhooks for others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from django.db import close_old_connections

from realtime_drf.cluster.app import App
from realtime_drf.cluster.state import StateChange
from realtime_drf.logs import Once
from realtime_drf.tracebacks import hide_frames
from realtime_drf.webhook_events import WebhookEvent

Notify = Callable[[Sequence[WebhookEvent]], None]
"""Calls the receivers of signals."""

logger = logging.getLogger("realtime_drf")

MAX_WAITING: Final = 10_000
"""Reports that wait for slow receivers of signals. Further ones are dropped."""


class Reporter:
    """The reports of an app, sent in another thread, in order."""

    def __init__(self, app: App, notify: Notify) -> None:
        self._app = app
        self._notify = notify
        # Its thread starts with the first report.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="realtime_drf signals")
        self._waiting = 0
        self._overflow = Once(
            logging.ERROR, "Receivers of signals are too slow: reports are dropped."
        )

    def report(self, events: Sequence[WebhookEvent]) -> None:
        """Send signals and webhooks for events, later."""
        if not events:
            return
        if self._app.webhooks is not None:
            self._app.webhooks.put(events)
        if self._waiting < MAX_WAITING:
            self._waiting += 1
            loop = asyncio.get_running_loop()
            sent = loop.run_in_executor(self._executor, self._send, events)
            sent.add_done_callback(self._on_sent)
        else:
            self._overflow.log()

    def _on_sent(self, sent: Any) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._overflow.reset()

    def _send(self, events: Sequence[WebhookEvent]) -> None:
        close_old_connections()
        try:
            self._notify(events)
        except Exception as exc:
            hide_frames(exc)
            logger.exception("Could not send %d report(s) of the server.", len(events))
        finally:
            close_old_connections()


def make_event(kind: str, channel: str, **details: Any) -> WebhookEvent:
    """Return a webhook event of the present time."""
    return WebhookEvent(
        kind=kind, channel=channel, time_ms=int(time.time() * 1000), details=details
    )


def make_change_event(change: StateChange) -> WebhookEvent:
    """Return the webhook event of a change that the store has found."""
    details = {"user_id": change.user_id} if change.user_id else {}
    return WebhookEvent(
        kind=change.kind, channel=change.channel, time_ms=change.time_ms, details=details
    )
