"""What happens on channels, told to the project by signals, and to others by webhooks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from django.db import close_old_connections

from realtime_drf.protocols import WebhookEvent
from realtime_drf.webhooks import tell

if TYPE_CHECKING:
    from realtime_drf.transports.channels import ChannelsTransport

logger = logging.getLogger("realtime_drf")


class Reporter:
    """Tell of what happens in other threads, in order, so that nobody is held up."""

    def __init__(self, transport: ChannelsTransport) -> None:
        self._transport = transport
        # It starts its thread with the first report.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="realtime_drf signals")

    def report(self, events: Sequence[WebhookEvent]) -> None:
        """Tell of what has happened, later."""
        if events:
            if self._transport.webhooks is not None:
                self._transport.webhooks.put(events)
            asyncio.get_running_loop().run_in_executor(self._executor, self._tell, events)

    def _tell(self, events: Sequence[WebhookEvent]) -> None:
        close_old_connections()
        try:
            tell(self._transport, events)
        except Exception:
            logger.exception("%d report(s) of the server were lost.", len(events))
        finally:
            close_old_connections()
