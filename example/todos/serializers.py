"""What the API and the events say of lists and todos."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from rest_framework import serializers

from todos.models import List, Todo
from todos.people import DEMO_USERS


class ListSerializer(serializers.ModelSerializer):
    """A list with the ids of its members. Its creator is a member."""

    class Meta:
        model = List
        fields = ("id", "name", "public", "members")
        read_only_fields = ("public",)
        extra_kwargs = {"members": {"required": False}}  # noqa: RUF012

    def create(self, validated_data: dict[str, Any]) -> List:
        members = {*validated_data.get("members", ()), self.context["request"].user}
        made: List = super().create({**validated_data, "members": members})
        return made


class VisibleField(serializers.PrimaryKeyRelatedField):
    """A related object that the request's user can see; others are treated as missing."""

    def get_queryset(self) -> QuerySet[Any]:
        lists = List.objects.visible_to(self.context["request"].user)
        return lists if self.field_name == "list" else Todo.objects.filter(list__in=lists)


class TodoSerializer(serializers.ModelSerializer):
    """A todo. To move it, write its `list`, or `before` which todo it belongs; null is the end."""

    list = VisibleField(required=False, queryset=List.objects.all())
    before = VisibleField(
        required=False, allow_null=True, write_only=True, queryset=Todo.objects.all()
    )

    class Meta:
        model = Todo
        fields = ("id", "list", "title", "done", "position", "by", "revision", "before")
        read_only_fields = ("position", "by", "revision")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        before = attrs.get("before")
        place = attrs.get("list") or getattr(self.instance, "list", None)
        if before is not None and before.list != place:
            raise serializers.ValidationError({"before": "This todo is in another list."})
        return attrs


class WindowSerializer(serializers.Serializer):
    """Who a window wants to be: one of the demo users, or, without a name, a guest."""

    user = serializers.SlugRelatedField(
        "username", queryset=User.objects.filter(username__in=DEMO_USERS), required=False
    )
