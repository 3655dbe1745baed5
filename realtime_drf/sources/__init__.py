"""Changes of rows, wherever the ORM makes them: one event for a row, a channel and a commit.

Before is where a row was when its transaction first touched it; after is where it is once that is
committed. Only before: "delete". Both: "update". Only after: "create". Neither: nothing.
"""

from __future__ import annotations

from realtime_drf.sources.bulk import RealtimeManager, RealtimeQuerySet
from realtime_drf.sources.scopes import suppress_events

__all__ = ["RealtimeManager", "RealtimeQuerySet", "suppress_events"]
