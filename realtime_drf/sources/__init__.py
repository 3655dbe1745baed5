"""Changes of rows, wherever the ORM makes them: one event per row, channel and commit.

A row is on a channel before, when its transaction first touches it, or after, when the transaction
is committed. Only before: "delete". Both: "update". Only after: "create". Neither: no event.
"""

from __future__ import annotations

from realtime_drf.sources.bulk import RealtimeManager, RealtimeQuerySet
from realtime_drf.sources.scopes import suppress_events

__all__ = ["RealtimeManager", "RealtimeQuerySet", "suppress_events"]
