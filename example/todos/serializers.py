"""What the API and the events say of a todo."""

from __future__ import annotations

from rest_framework import serializers

from todos.models import Todo


class TodoSerializer(serializers.ModelSerializer):
    class Meta:
        model = Todo
        fields = ("id", "title", "done", "position", "updated")
        read_only_fields = ("position",)
