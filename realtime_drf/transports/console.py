"""The console transport: prints each event, in colour, for development without a service."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO, cast

from django.core.management.color import color_style, no_style, supports_color

from realtime_drf.events import Event
from realtime_drf.options import Options, option, takes_options
from realtime_drf.pusher_protocol.limits import MAX_PAYLOAD_BYTES
from realtime_drf.pusher_protocol.signatures import is_socket_id
from realtime_drf.transports.base import BaseTransport, Limits

__all__ = ["ConsoleTransport"]


def _check_stream(stream: Any) -> TextIO:
    if not hasattr(stream, "write") or not hasattr(stream, "isatty"):
        raise ValueError(f"must be a text stream, not {type(stream).__name__}")
    return cast("TextIO", stream)


@dataclass(frozen=True, kw_only=True)
class ConsoleOptions(Options):
    """The options of the console transport."""

    stream: TextIO | None = option(
        None, "a text stream to write to", unset="standard output", clean=_check_stream
    )
    payload_limit: int | None = option(
        MAX_PAYLOAD_BYTES, "bytes of an event's data that are allowed; `None` is no limit"
    )


class ConsoleTransport(BaseTransport):
    """The transport that prints events to a stream.

    It checks events as Pusher's transport does. Events for encrypted channels are rejected, since
    they would be printed in the clear. Its options are those of `ConsoleOptions`.
    """

    development_only = True
    supports_exclusion = True
    supports_user_events = True

    @takes_options(ConsoleOptions)
    def __init__(self, options: ConsoleOptions) -> None:
        super().__init__(alias=options.alias)
        self.limits = Limits(payload_bytes=options.payload_limit)
        self._stream = options.stream

    def send_batch(self, events: Sequence[Event]) -> None:
        # Looked up for each call, since test runners and servers replace the stream.
        stream = self._stream or sys.stdout
        lines = [self._line(event, colour=stream.isatty() and supports_color()) for event in events]
        stream.write("".join(lines))
        stream.flush()

    def is_socket_id(self, socket_id: str) -> bool:
        return is_socket_id(socket_id)

    def _line(self, event: Event, *, colour: bool) -> str:
        style = color_style(force_color=True) if colour else no_style()
        name = style.SUCCESS(event.name)
        channels = style.MIGRATE_HEADING(", ".join(event.channels))
        note = style.WARNING(" (not to its sender)") if event.socket_id else ""
        return f"{name} to {channels}{note} {event.body}\n"
