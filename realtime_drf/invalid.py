"""Errors of the names and data of events. Import them from `exceptions`.

`realtime_drf.exceptions` is above `events` in the layers, since some errors have events.
"""

from __future__ import annotations


class RealtimeError(Exception):
    """An error at runtime; the base class of all of them."""


class InvalidEvent(RealtimeError, ValueError):
    """A name, a channel or data that no transport can carry; the message says which and where."""
