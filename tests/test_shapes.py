"""Models, views and settings of every shape: what is published is what happened to the row."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import include, path
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from realtime_drf import publish_change
from tests.recording import RecordingTransport
from tests.todos.models import Kept, Node, Parcel, Seat, ShoppingTodo, Todo, TodoList
from tests.views import call, make_backend, make_serializer, make_view

pytestmark = pytest.mark.django_db(transaction=True)

TITLES = make_serializer(Todo, "id", "title")


def sent(transport: RecordingTransport) -> list[Any]:
    return [(event.name, event.data) for event in transport.outbox]


# Keys


def test_rows_with_uuids(recording: RecordingTransport, register: Any) -> None:
    plain = make_serializer(Parcel, "id", "price")
    register(make_backend(plain))
    view = make_view(Parcel.objects.all(), plain)
    key = uuid.UUID(int=7)
    call(view, "post", {"id": str(key), "price": "1.1"})
    call(view, "patch", {"price": "2"}, pk=str(key))
    call(view, "delete", pk=str(key))
    assert sent(recording) == [
        ("parcel.create", {"id": str(key), "price": "1.10"}),
        ("parcel.update", {"id": str(key), "price": "2.00"}),
        ("parcel.delete", {"id": str(key)}),
    ]


def test_rows_with_composite_keys(recording: RecordingTransport, register: Any) -> None:
    def get_object(self: Any) -> Seat:
        return Seat.objects.get(**self.kwargs)

    plain = make_serializer(Seat, "row", "number", "taken")
    register(make_backend(plain))
    view = make_view(Seat.objects.all(), plain, get_object=get_object)
    call(view, "post", {"row": "A", "number": 1})
    call(view, "patch", {"taken": True}, row="A", number=1)
    publish_change(*Seat.objects.all(), action="book")
    call(view, "delete", row="A", number=1)
    free, taken = ({"row": "A", "number": 1, "taken": each} for each in (False, True))
    assert sent(recording) == [
        ("seat.create", free),
        ("seat.update", taken),
        ("seat.book", taken),
        ("seat.delete", {"row": "A", "number": 1}),
    ]
    with pytest.raises(ValueError, match="without a primary key"):
        publish_change(Seat(row="A"), action="update")


def test_a_key_that_is_set_as_text_is_found(recording: RecordingTransport, register: Any) -> None:
    class Texts(serializers.ModelSerializer[Parcel]):
        class Meta:
            model = Parcel
            fields = ("price",)

        def create(self, validated_data: Any) -> Parcel:
            parcel = Parcel.objects.create(pk=str(uuid.UUID(int=7)), **validated_data)
            Parcel.objects.update(price="2.00")
            return parcel

    register(make_backend(Texts))
    call(make_view(Parcel.objects.all(), Texts), "post", {"price": "1.00"})
    assert sent(recording) == [("parcel.create", {"price": "2.00"})]


# Inheritance, and managers that hide rows


def test_a_view_that_gets_instances_of_a_child(
    recording: RecordingTransport, register: Any
) -> None:
    def get_object(self: Any) -> Todo:  # as polymorphic querysets do
        return ShoppingTodo.objects.get(pk=self.kwargs["pk"])

    shops = make_serializer(ShoppingTodo, "id", "title", "shop")
    register(make_backend(TITLES))
    register(make_backend(shops))
    child = ShoppingTodo.objects.create(title="a", shop="s")
    view = make_view(Todo.objects.all(), TITLES, get_object=get_object)
    call(view, "patch", {"title": "b"}, pk=child.pk)
    expected = {"id": child.pk, "title": "b", "shop": "s"}
    assert sent(recording) == [("shoppingtodo.update", expected)]


def test_rows_that_are_marked_instead_of_deleted(
    recording: RecordingTransport, register: Any
) -> None:
    plain = make_serializer(Kept, "id", "name", "gone")
    register(make_backend(plain))
    view = make_view(Kept.objects.filter(gone=False), plain)
    one, two = (Kept.objects.create(name=name) for name in "ab")
    call(view, "delete", pk=one.pk)
    call(view, "patch", {"gone": True}, pk=two.pk)  # it leaves the view's queryset
    assert sent(recording) == [
        ("kept.delete", {"id": one.pk}),
        ("kept.update", {"id": two.pk, "name": "b", "gone": True}),
    ]
    assert Kept.objects.count() == 2


def test_rows_that_saving_numbers_in_the_database(
    recording: RecordingTransport, register: Any
) -> None:
    plain = make_serializer(Node, "id", "name", "parent", "size")
    register(make_backend(plain))
    root = Node.objects.create(name="root")
    Node.objects.create(name="leaf", parent=root)
    view = make_view(Node.objects.all(), make_serializer(Node, "name"))
    Node.objects.filter(pk=root.pk).update(size=0)
    call(view, "patch", {"name": "r"}, pk=root.pk)
    expected = {"id": root.pk, "name": "r", "parent": None, "size": 1}
    assert sent(recording) == [("node.update", expected)]


# Routers and requests


def get_of_list(self: Any) -> Any:
    return Todo.objects.filter(list=self.kwargs["list_pk"])


def create_in_list(self: Any, serializer: Any) -> None:
    serializer.save(list_id=self.kwargs["list_pk"])


NESTED = make_view(
    None,
    make_serializer(Todo, "id", "title", "list"),
    get_queryset=get_of_list,
    perform_create=create_in_list,
)


class RefusingLate(make_view(Todo.objects.all(), TITLES)):  # type: ignore[misc]
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        super().create(request, *args, **kwargs)
        raise ValidationError("too late")


router, plain_router = SimpleRouter(), SimpleRouter()
router.register("todos", NESTED, basename="nested")
plain_router.register("todos", make_view(Todo.objects.all(), TITLES))
plain_router.register("late", RefusingLate, basename="late")
urlpatterns = [
    path("lists/<int:list_pk>/", include(router.urls)),
    path("", include(plain_router.urls)),
]


@pytest.mark.urls("tests.test_shapes")
def test_nested_routes(client: Client, recording: RecordingTransport, register: Any) -> None:
    register(make_backend(make_serializer(Todo, "title", "list")))
    here, there = (TodoList.objects.create(name=name) for name in "ab")
    made = client.post(f"/lists/{here.pk}/todos/", {"title": "a"}).json()
    url = f"/lists/{here.pk}/todos/{made['id']}/"
    client.patch(url, {"list": there.pk}, content_type="application/json")
    assert client.delete(url).status_code == 404
    client.delete(f"/lists/{there.pk}/todos/{made['id']}/")
    assert [(name, data.get("list", data.get("id"))) for name, data in sent(recording)] == [
        ("todo.create", here.pk),
        ("todo.update", there.pk),
        ("todo.delete", made["id"]),
    ]


@pytest.mark.urls("tests.test_shapes")
def test_atomic_requests(
    client: Client,
    recording: RecordingTransport,
    register: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(make_backend(TITLES))
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    assert client.post("/late/", {"title": "a"}).status_code == 400
    assert not Todo.objects.exists()
    assert client.post("/todos/", {"title": "b"}).status_code == 201
    assert [data["title"] for _, data in sent(recording)] == ["b"]


@pytest.mark.parametrize("on_commit", [True, False])
def test_a_task_that_is_called_at_once_within_the_request(
    recording: RecordingTransport, register: Any, on_commit: bool
) -> None:
    def complete(pk: int) -> None:  # as a task queue in its immediate mode calls it
        todo = Todo.objects.get(pk=pk)
        todo.done = True
        todo.save()
        publish_change(todo, action="complete")

    def perform_create(self: Any, serializer: Any) -> None:
        with transaction.atomic():
            todo = serializer.save()
            if on_commit:
                transaction.on_commit(lambda: complete(todo.pk))
            else:
                complete(todo.pk)

    register(make_backend(make_serializer(Todo, "title", "done")))
    view = make_view(Todo.objects.all(), TITLES, perform_create=perform_create)
    call(view, "post", {"title": "a"})
    done = {"title": "a", "done": True}
    assert sent(recording) == [("todo.complete", done), ("todo.create", done)]


# Bulk requests, as djangorestframework-bulk has them


def bulk_create(self: Any, request: Request) -> Response:
    serializer = self.get_serializer(data=request.data, many=True)
    serializer.is_valid(raise_exception=True)
    self.perform_bulk_create(serializer)
    return Response(serializer.data, status=201)


def perform_bulk_create(self: Any, serializer: Any) -> Any:
    return self.perform_create(serializer)


def bulk_destroy(self: Any, request: Request) -> Response:
    with transaction.atomic():
        for todo in self.get_queryset().filter(title__in=["a", "c"]):
            self.perform_destroy(todo)
    return Response(status=204)


def test_bulk_creates_and_deletes(recording: RecordingTransport, register: Any) -> None:
    register(make_backend(TITLES))
    view = make_view(
        Todo.objects.all(),
        TITLES,
        bulk_create=bulk_create,
        perform_bulk_create=perform_bulk_create,
        bulk_destroy=bulk_destroy,
    )
    call(view, "post", [{"title": each} for each in "abc"], action="bulk_create")
    call(view, "delete", action="bulk_destroy")
    assert [(name, data.get("title")) for name, data in sent(recording)] == [
        ("todo.create", "a"),
        ("todo.create", "b"),
        ("todo.create", "c"),
        ("todo.delete", None),
        ("todo.delete", None),
    ]
    assert len(recording.batches) == 2
