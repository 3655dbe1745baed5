"""Comparison of what was published with what a test expects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from realtime_drf.events import Event
from realtime_drf.exceptions import InvalidEvent
from realtime_drf.names import NamedChannel
from realtime_drf.rendering import render

ANYTHING: Any = object()
"""Matches all data; the default of `data`."""


@dataclass(frozen=True)
class Sent:
    """An event, and the alias of the transport that sent it."""

    transport: str
    event: Event

    def __str__(self) -> str:
        exclusion = " (not to its sender)" if self.event.socket_id else ""
        by = "" if self.transport == "default" else f" by {self.transport!r}"
        channels = ", ".join(self.event.channels)
        return f"{self.event.name} to {channels}{by}{exclusion} {self.event.body}"


@dataclass(frozen=True)
class Wanted:
    """An expected event; None matches anything."""

    name: str
    channel: str | NamedChannel | None = None
    data: Any = ANYTHING
    transport: str | None = None

    def __str__(self) -> str:
        text = self.name
        if self.channel is not None:
            text += f" to {_channel_name(self.channel)}"
        if self.transport is not None:
            text += f" by {self.transport!r}"
        return text if self.data is ANYTHING else f"{text} with {_shown(self.data)}"

    def mismatch(self, sent: Sent) -> str | None:
        """Return how a sent event differs, or None if it matches."""
        if sent.event.name != self.name:
            return f"its name is not {self.name!r}"
        if self.transport not in (None, sent.transport):
            return f"it went by {sent.transport!r}"
        if self.channel is not None and _channel_name(self.channel) not in sent.event.channels:
            return f"it did not go to {_channel_name(self.channel)}"
        return None if self.data is ANYTHING else data_mismatch(self.data, sent.event.data)


def data_mismatch(wanted: Any, found: Any, path: str = "data") -> str | None:
    """Return where data differs, or None.

    A mapping matches one that has more keys, at any depth. A list matches one of the same length.
    Everything else is compared as it is rendered: a Decimal or UUID matches its text. An object
    that compares equal, such as ``unittest.mock.ANY``, matches.
    """
    if isinstance(wanted, Mapping) and isinstance(found, dict):
        for key, value in wanted.items():
            if str(key) not in found:
                return f"{path} has no {key!r}"
            if difference := data_mismatch(value, found[str(key)], f"{path}[{key!r}]"):
                return difference
        return None
    if isinstance(wanted, list | tuple) and isinstance(found, list):
        if len(wanted) != len(found):
            return f"{path} has {len(found)} item(s), not {len(wanted)}"
        pairs = enumerate(zip(wanted, found, strict=True))
        differences = (data_mismatch(*pair, f"{path}[{index}]") for index, pair in pairs)
        return next(filter(None, differences), None)
    if _equals(wanted, found):
        return None
    return f"{path} is {found!r}, not {wanted!r}"


def describe(sent: Sequence[Sent], wanted: Wanted | None = None) -> str:
    """Return a line for each published event, and how it differs from what was wanted."""
    if not sent:
        return "Nothing was published."
    lines = [f"Published, {len(sent)} in all:"]
    for number, each in enumerate(sent, 1):
        lines.append(f"  {number}. {each}")
        if wanted is not None and each.event.name == wanted.name:
            difference = wanted.mismatch(each)
            lines.append(f"     {'this one matches' if difference is None else difference}")
    return "\n".join(lines)


def _equals(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found or (not isinstance(wanted, bool | int) and bool(wanted == found))
    if wanted == found:
        return True
    try:
        return bool(json.loads(render(wanted)) == found)
    except InvalidEvent:
        return False


def _channel_name(channel: str | NamedChannel) -> str:
    return channel.name if isinstance(channel, NamedChannel) else channel


def _shown(data: Any) -> str:
    try:
        return render(data)
    except InvalidEvent:
        return repr(data)
