from __future__ import annotations

from rest_framework import serializers

from tests.todos.models import Todo


class TodoSerializer(serializers.ModelSerializer[Todo]):
    class Meta:
        model = Todo
        fields = ("id", "title", "done", "owner")
