"""What happens on channels, told to the project by signals, and to others by webhooks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from django.db import close_old_connections

from realtime_drf.cluster.app import App
from realtime_drf.tracebacks import hide_frames
from realtime_drf.webhook_events import WebhookEvent

Notify = Callable[[Sequence[WebhookEvent]], None]
"""Calls the receivers of signals."""

logger = logging.getLogger("realtime_drf")

MAX_WAITING: Final = 10_000
"""What waits for receivers of signals that take long. What comes on top is lost to them."""


class Reporter:
    """Tell of what happens in other threads, in order, so that nobody is held up."""

    def __init__(self, app: App, notify: Notify) -> None:
        self._app = app
        self._notify = notify
        # It starts its thread with the first report.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="realtime_drf signals")
        self._waiting = 0
        self._is_losing = False

    def report(self, events: Sequence[WebhookEvent]) -> None:
        """Tell of what has happened, later."""
        if not events:
            return
        if self._app.webhooks is not None:
            self._app.webhooks.put(events)
        if self._waiting < MAX_WAITING:
            self._waiting += 1
            loop = asyncio.get_running_loop()
            told = loop.run_in_executor(self._executor, self._tell, events)
            told.add_done_callback(self._on_told)
        elif not self._is_losing:
            self._is_losing = True
            logger.error("Receivers of signals are too slow: reports are lost to them.")

    def _on_told(self, told: Any) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._is_losing = False

    def _tell(self, events: Sequence[WebhookEvent]) -> None:
        close_old_connections()
        try:
            self._notify(events)
        except Exception as exc:
            hide_frames(exc)
            logger.exception("%d report(s) of the server were lost.", len(events))
        finally:
            close_old_connections()
