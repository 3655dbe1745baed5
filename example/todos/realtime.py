"""What a change broadcasts, and who may subscribe. Autodiscovery imports this module."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
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
from realtime_drf.contract import declare
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


class ListBackend(RealtimeBackend[List]):
    """The broadcasts of a list, to everyone who can see it."""

    serializer_class = ListSerializer
    depends_on = ("members",)

    def get_channels(self, change: Change[List]) -> list[Any]:
        if change.instance.public:
            return [PublicLists()]
        return [PersonChannel(pk=member.pk) for member in change.instance.members.all()]

    def get_queryset(self) -> QuerySet[List]:
        return List.objects.prefetch_related("members")


class TodoBackend(RealtimeBackend[Todo]):
    """The broadcasts of a todo, to everyone who can see its list.

    A todo that moves out of sight is deleted for those who lose it, and they get its key alone.
    """

    serializer_class = TodoSerializer
    version_field = "revision"
    depends_on = ("list",)  # which may become private

    def get_channels(self, change: Change[Todo]) -> list[Any]:
        todo_list = change.instance.list
        return [PublicLists() if todo_list.public else ListChannel(pk=todo_list.pk)]

    def get_queryset(self) -> QuerySet[Todo]:
        return Todo.objects.select_related("list")


# For the types of the front end, since get_channels() cannot be read.
declare(ListBackend, [PublicLists, PersonChannel])
declare(TodoBackend, [PublicLists, ListChannel])
