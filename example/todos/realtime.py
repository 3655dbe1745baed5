"""What a change broadcasts, and who may subscribe. Autodiscovery imports this module."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from realtime_drf import (
    EncryptedChannel,
    PresenceChannel,
    PrivateChannel,
    PublicChannel,
    RealtimeBackend,
)
from realtime_drf.changes import Change
from todos.models import List, Todo
from todos.people import get_name
from todos.serializers import ListSerializer, TodoSerializer


class PublicLists(PublicChannel):
    """The channel of changes to all public lists, for everyone."""

    pattern = "todos"


class ListChannel(PrivateChannel):
    """The channel of changes to a list that is not public, for its members."""

    pattern = "lists.<int:pk>"

    def authorize(self, request: Request, pk: int) -> bool:
        return request.user.lists.filter(pk=pk, public=False).exists()


class BoardChannel(PresenceChannel):
    """Show who is looking at the board, to all who have a name; guests have one too."""

    pattern = "board"
    permission_classes = (AllowAny,)

    def authorize(self, request: Request) -> bool:
        return bool(get_name(request.user))

    def get_user_info(self, request: Request) -> dict[str, Any]:
        return {"name": get_name(request.user)}


class PersonChannel(PrivateChannel):
    """The channel of one user, for news such as a new list."""

    pattern = "users.<int:pk>"

    def authorize(self, request: Request, pk: int) -> bool:
        return bool(request.user.pk == pk)


class NotesChannel(EncryptedChannel):
    """The channel of one user for data that the service must not read."""

    pattern = "notes.<int:pk>"

    def authorize(self, request: Request, pk: int) -> bool:
        return bool(request.user.pk == pk)


def get_channel(todo_list: List) -> PublicLists | ListChannel:
    """Return the channels of a list."""
    return PublicLists() if todo_list.public else ListChannel(pk=todo_list.pk)


class ListBackend(RealtimeBackend[List]):
    """The broadcasts of a list, to everyone who can see it."""

    serializer_class = ListSerializer

    def get_channels(self, change: Change[List]) -> list[Any]:
        if change.instance.public:
            return [PublicLists()]
        members = change.instance.members.values_list("pk", flat=True)
        return [PersonChannel(pk=pk) for pk in members]


class TodoBackend(RealtimeBackend[Todo]):
    """The broadcasts of a todo, to everyone who can see its list."""

    serializer_class = TodoSerializer

    def get_channels(self, change: Change[Todo]) -> list[Any]:
        return [get_channel(change.instance.list)]


class LeavingBackend(RealtimeBackend[Todo]):
    """The broadcast of a moved todo to those who cannot see it any more: that it is gone."""

    model = Todo
    actions = ("update",)

    def get_channels(self, change: Change[Todo]) -> list[Any]:
        if change.action != "update" or change.previous is None:
            return []
        before, now = get_channel(change.previous.list), get_channel(change.instance.list)
        return [] if before.name == now.name else [before]

    def get_event_name(self, change: Change[Todo]) -> str:
        return "todo.leave"

    def get_data(self, change: Change[Todo]) -> dict[str, int]:
        return {"id": change.instance.pk}
