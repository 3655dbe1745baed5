"""Serializers that are kept from one payload to the next, which nobody may notice."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest
from rest_framework import serializers

from realtime_drf.serializing import MAX_IDLE, _idle, serialize
from tests.todos.models import Tag, Todo, TodoList

NO_REQUEST = {"request": None}


def data(serializer: type[Any], *instances: Any, **context: Any) -> list[Any]:
    return serialize(serializer, instances, {**NO_REQUEST, **context}, backend=None)


class Titles(serializers.ModelSerializer[Todo]):
    class Meta:
        model = Todo
        fields = ("id", "title")


class Counting(Titles):
    """A serializer whose methods leave something wherever they can."""

    seen = serializers.SerializerMethodField()

    class Meta(Titles.Meta):
        fields = ("id", "title", "seen")

    def get_seen(self, todo: Todo) -> list[Any]:
        self.count = getattr(self, "count", 0) + 1
        self.context["count"] = self.context.get("count", 0) + 1
        title = self.fields["title"]
        title.count = getattr(title, "count", 0) + 1  # type: ignore[attr-defined]
        return [self.count, self.context["count"], title.count, todo.title]  # type: ignore[attr-defined]

    def to_representation(self, instance: Any) -> Any:
        shown = super().to_representation(instance)
        self.fields.pop("id", None)
        return shown


class Nesting(serializers.ModelSerializer[Any]):
    todos = Counting(many=True, source="list")

    class Meta:
        model = Tag
        fields = ("todos",)


class OwnFields(Titles):
    def get_fields(self) -> Any:
        return {"title": serializers.CharField()}


class OwnField(serializers.CharField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seen: list[Any] = []

    def to_representation(self, value: Any) -> str:
        self.seen.append(value)
        return str(len(self.seen))


class WithOwnField(Titles):
    title = OwnField()


def test_a_serializer_is_made_once() -> None:
    made = []
    for title in "ab":
        assert data(Titles, Todo(pk=1, title=title)) == [{"id": 1, "title": title}]
        made.append(_idle[Titles].serializer)
    assert made[0] is made[1]


def test_what_methods_leave_behind_is_forgotten() -> None:
    for title in "ab":
        assert data(Counting, Todo(pk=1, title=title)) == [
            {"id": 1, "title": title, "seen": [1, 1, 1, title]}
        ]
        nested = type("Nested", (), {"list": [Todo(pk=1, title=title)]})()
        assert data(Nesting, nested)[0]["todos"][0]["id"] == 1


def test_the_context_is_that_of_the_call_and_no_row_is_kept() -> None:
    class Shouting(Titles):
        def to_representation(self, instance: Any) -> Any:
            return instance.title * self.context["times"]

    for times in (2, 3):
        assert data(Shouting, Todo(pk=1, title="a"), times=times) == ["a" * times]
    gc.collect()
    assert _idle[Shouting].serializer.instance is None
    assert _idle[Shouting].serializer.context == {}


@pytest.mark.parametrize("serializer", [OwnFields, WithOwnField])
def test_one_that_is_made_in_a_way_of_its_own_is_not_kept(serializer: Any) -> None:
    assert data(serializer, Todo(pk=1, title="a")) == data(serializer, Todo(pk=1, title="a"))
    assert serializer not in _idle


def test_one_for_a_request_is_not_kept(rf: Any) -> None:
    serialize(Titles, [Todo(pk=1)], {"request": rf.get("/")}, backend=None)
    assert Titles not in _idle or _idle[Titles].serializer.context == {}


def test_one_that_failed_is_as_it_was() -> None:
    class Failing(Counting):
        def get_seen(self, todo: Todo) -> list[Any]:
            seen = super().get_seen(todo)
            if todo.title == "bad":
                raise LookupError
            return seen

    for title in ("a", "bad", "b"):
        if title == "bad":
            with pytest.raises(LookupError):
                data(Failing, Todo(pk=1, title=title))
        else:
            assert data(Failing, Todo(pk=1, title=title))[0]["seen"] == [1, 1, 1, title]


def test_one_that_is_needed_while_it_is_used_is_made_again() -> None:
    class Recursive(Titles):
        def to_representation(self, instance: Any) -> Any:
            inner = [] if instance.title == "inner" else data(Recursive, Todo(title="inner"))
            return [self.instance.title, *inner]  # type: ignore[union-attr]

    for _ in range(2):
        assert data(Recursive, Todo(title="outer")) == [["outer", ["inner"]]]


def test_threads_do_not_share_one_at_the_same_time() -> None:
    both_are_in = threading.Barrier(2, timeout=10)

    class Waiting(Titles):
        def to_representation(self, instance: Any) -> Any:
            both_are_in.wait()
            return self.instance.title  # type: ignore[union-attr]

    found: dict[str, Any] = {}

    def render(title: str) -> None:
        found[title] = data(Waiting, Todo(title=title))

    threads = [threading.Thread(target=render, args=[title]) for title in "ab"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == {"a": ["a"], "b": ["b"]}


def test_classes_that_are_made_as_one_goes_do_not_pile_up() -> None:
    for _ in range(MAX_IDLE + 1):
        data(type("Made", (Titles,), {}), Todo(pk=1))
    assert 0 < len(_idle) <= MAX_IDLE


def test_nothing_is_made_for_nothing() -> None:
    assert data(Titles) == []


@pytest.mark.django_db
def test_a_nested_list_is_that_of_each_row() -> None:
    class Lists(serializers.ModelSerializer[TodoList]):
        todos = Titles(many=True, source="todo_set")

        class Meta:
            model = TodoList
            fields = ("todos",)

    for name in "ab":
        todo = Todo.objects.create(title=name, list=TodoList.objects.create(name=name))
        assert data(Lists, todo.list) == [{"todos": [{"id": todo.pk, "title": name}]}]
