"""The API."""

from __future__ import annotations

from django.db.models import Max
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from realtime_drf.mixins import RealtimeViewMixin
from todos.models import Todo
from todos.serializers import TodoSerializer


class TodoViewSet(RealtimeViewMixin, ModelViewSet):
    queryset = Todo.objects.all()
    serializer_class = TodoSerializer

    def perform_create(self, serializer: BaseSerializer) -> None:
        """Put a new todo at the end of the list; the mixin needs no call of super()."""
        last = Todo.objects.aggregate(last=Max("position"))["last"]
        serializer.save(position=0 if last is None else last + 1)

    @action(detail=True, methods=["post"])
    def complete(self, request: Request, pk: str) -> Response:
        """Mark a todo as done."""
        todo = self.get_object()
        todo.done = True
        todo.save()
        self.publish_change(todo, action="complete")
        return Response(self.get_serializer(todo).data)
