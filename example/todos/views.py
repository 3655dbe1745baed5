"""The API, and the page that shows it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from example.transport import get_client
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticatedOrReadOnly
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet, ModelViewSet

from realtime_drf import RealtimeViewMixin
from todos.models import List, Todo
from todos.people import ADMIN, DEMO_USERS, PASSWORD, SCHEME, get_name, make_guest, make_token
from todos.serializers import ListSerializer, TodoSerializer, WindowSerializer


class ListViewSet(
    RealtimeViewMixin,
    mixins.CreateModelMixin,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    GenericViewSet,
):
    """The lists that one sees. Public ones are there; private ones are made and deleted."""

    queryset = List.objects.prefetch_related("members")
    serializer_class = ListSerializer
    permission_classes = (IsAuthenticatedOrReadOnly,)

    def get_queryset(self) -> QuerySet[List]:
        lists = super().get_queryset().visible_to(self.request.user)
        return lists.filter(public=False) if self.action == "destroy" else lists


class TodoViewSet(RealtimeViewMixin, ModelViewSet):
    queryset = Todo.objects.select_related("list")
    serializer_class = TodoSerializer

    def get_queryset(self) -> QuerySet[Todo]:
        """Return the todos that one sees, or with `?list=5` those of one list."""
        lists = List.objects.visible_to(self.request.user)
        wanted = self.request.query_params.get("list", "")
        if wanted.isdecimal():
            lists = lists.filter(pk=wanted)
        return super().get_queryset().filter(list__in=lists)

    @transaction.atomic
    def perform_create(self, serializer: BaseSerializer) -> None:
        """Put a new todo where it is wanted; the mixin needs no call of super()."""
        before = serializer.validated_data.pop("before", None)
        todo_list = serializer.validated_data.pop("list", None) or List.objects.get_default()
        self._save(serializer, todo_list, todo_list.find_place(before))

    @transaction.atomic
    def perform_update(self, serializer: BaseSerializer) -> None:
        """Change a todo, and move it if that is wanted."""
        todo: Any = serializer.instance
        todo_list = serializer.validated_data.pop("list", todo.list)
        moves = "before" in serializer.validated_data or todo_list != todo.list
        before = serializer.validated_data.pop("before", None)
        if moves and before != todo:
            self._save(serializer, todo_list, todo_list.find_place(before))
        else:
            self._save(serializer, todo_list, todo.position)

    @action(detail=True, methods=["post"])
    def complete(self, request: Request, pk: str) -> Response:
        """Mark a todo as done."""
        todo = self.get_object()
        todo.done, todo.by = True, get_name(request.user)
        todo.save()
        self.publish_change(todo, action="complete")
        return Response(self.get_serializer(todo).data)

    def _save(self, serializer: BaseSerializer, todo_list: List, position: int) -> None:
        serializer.save(list=todo_list, position=position, by=get_name(self.request.user))


class WindowView(APIView):
    """The sign-in of a window with one click, as a guest or one of the demo users."""

    authentication_classes = ()  # the cookie of the admin is the browser's, not the window's

    def post(self, request: Request) -> Response:
        serializer = WindowSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = serializer.validated_data.get("user") or make_guest()
        return Response(
            {
                "id": str(user.pk),
                "name": get_name(user),
                "guest": not user.is_authenticated,
                "authorization": f"{SCHEME} {make_token(user)}",
            }
        )


def board(request: HttpRequest) -> HttpResponse:
    """Show the board. What is on it, the page asks the API for."""
    users = User.objects.filter(username__in=DEMO_USERS).order_by("pk")
    config = {
        "live": get_client(request),
        "library": settings.PUSHER_JS,
        "transport": settings.REALTIME,
        "people": [
            {"id": str(user.pk), "user": user.username, "name": get_name(user)} for user in users
        ],
        "urls": {
            "lists": reverse("list-list"),
            "todos": reverse("todo-list"),
            "window": reverse("window"),
        },
    }
    context = {
        "config": config,
        "transport": settings.REALTIME,
        "admin": ADMIN,
        "password": PASSWORD,
    }
    return render(request, "todos/board.html", context)
