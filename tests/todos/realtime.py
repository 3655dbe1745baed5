"""Backends, found by autodiscovery."""

from __future__ import annotations

from realtime_drf.backends import RealtimeBackend
from tests.todos.models import Todo
from tests.todos.serializers import TodoSerializer


class TodoBackend(RealtimeBackend[Todo]):
    serializer_class = TodoSerializer
