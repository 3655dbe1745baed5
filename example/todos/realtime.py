"""What a change to a todo broadcasts, and who may hear what. Autodiscovery imports this module."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request

from realtime_drf.backends import Change, RealtimeBackend
from realtime_drf.channels import EncryptedChannel, PresenceChannel, PrivateChannel
from todos.models import Todo
from todos.serializers import TodoSerializer


class TodoBackend(RealtimeBackend[Todo]):
    """Tell everyone: the list is public, and so is its channel."""

    serializer_class = TodoSerializer

    def get_channels(self, change: Change[Todo]) -> list[str]:
        return ["todos"]


class BoardChannel(PresenceChannel):
    """Show who is looking at the list, to all who have signed in."""

    pattern = "board"

    def authorize(self, request: Request) -> bool:
        return True

    def get_user_info(self, request: Request) -> dict[str, Any]:
        return {"name": request.user.get_username()}


class PersonChannel(PrivateChannel):
    """Carry what concerns one user, to that user alone."""

    pattern = "users.<int:pk>"

    def authorize(self, request: Request, pk: int) -> bool:
        return bool(request.user.pk == pk)


class NotesChannel(EncryptedChannel):
    """Carry what not even the service shall read, to one user alone."""

    pattern = "notes.<int:pk>"

    def authorize(self, request: Request, pk: int) -> bool:
        return bool(request.user.pk == pk)
