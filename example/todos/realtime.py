"""What a change to a todo broadcasts, and to whom. Autodiscovery imports this module."""

from __future__ import annotations

from realtime_drf.backends import Change, RealtimeBackend
from todos.models import Todo
from todos.serializers import TodoSerializer


class TodoBackend(RealtimeBackend[Todo]):
    serializer_class = TodoSerializer

    def get_channels(self, change: Change[Todo]) -> list[str]:
        return ["todos"]
