"""The errors of names and data, which events are made of; import them from `exceptions`.

`realtime_drf.exceptions` stands above `events`, since some errors hold events.
"""

from __future__ import annotations


class RealtimeError(Exception):
    """An error at runtime; the base class of all of them."""

    __module__ = "realtime_drf.exceptions"


class InvalidEvent(RealtimeError, ValueError):
    """A name, a channel or data that no transport could carry; the message says which and where."""

    __module__ = "realtime_drf.exceptions"
