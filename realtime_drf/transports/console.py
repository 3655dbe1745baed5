"""The console transport: prints each event, in colour, for development without a service."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TextIO

from django.core.management.color import color_style, no_style, supports_color

from realtime_drf.events import Event
from realtime_drf.pusher_protocol.signatures import is_socket_id
from realtime_drf.transports.base import BaseTransport, Limits

__all__ = ["ConsoleTransport"]


class ConsoleTransport(BaseTransport):
    """Print events where a developer sees them.

    It checks as Pusher's transport does. Channels of the kind encrypted are refused, since it would
    print in the clear what is meant to be read by few.

    Options:
        stream: a text stream; standard output unless given.
        payload_limit: bytes of an event's data that are allowed; None is no limit.
    """

    development_only = True
    supports_exclusion = True
    supports_user_events = True

    def __init__(
        self,
        *,
        stream: TextIO | None = None,
        payload_limit: int | None = 10_240,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.limits = Limits(payload_bytes=payload_limit)
        self._stream = stream

    def send_batch(self, events: Sequence[Event]) -> None:
        # Looked up now, since test runners and servers put another stream in place.
        stream = self._stream or sys.stdout
        lines = [self._line(event, colour=stream.isatty() and supports_color()) for event in events]
        stream.write("".join(lines))
        stream.flush()

    def is_socket_id(self, token: str) -> bool:
        return is_socket_id(token)

    def _line(self, event: Event, *, colour: bool) -> str:
        style = color_style(force_color=True) if colour else no_style()
        name = style.SUCCESS(event.name)
        channels = style.MIGRATE_HEADING(", ".join(event.channels))
        note = style.WARNING(" (not to its origin)") if event.socket_id else ""
        return f"{name} to {channels}{note} {event.body}\n"
