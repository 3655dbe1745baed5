"""Published is what the row holds after the write, and previous is what it was before."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.db.models import BooleanField, Case, Count, F, Prefetch, Value, When
from django.db.models.functions import Concat
from django.db.models.signals import post_init
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django import Settings
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from realtime_drf import publish_change
from realtime_drf.changes import Change
from realtime_drf.exceptions import InvalidEvent
from realtime_drf.instances import read_again
from realtime_drf.mixins import RealtimeViewMixin
from tests.examples import scaled
from tests.recording import RecordingTransport
from tests.todos.models import Country, Parcel, Tag, Todo, TodoList
from tests.views import call, make_backend, make_serializer, make_view

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

TITLES = make_serializer(Todo, "id", "title")
TAGS = make_serializer(Todo, "id", "title", "tags")


def data(transport: RecordingTransport) -> list[Any]:
    return [event.data for event in transport.outbox]


def in_place(self: Any, serializer: Any) -> None:
    serializer.save()


def by_queryset(self: Any, serializer: Any) -> None:
    values = {k: v for k, v in serializer.validated_data.items() if k != "tags"}
    Todo.objects.filter(pk=serializer.instance.pk).update(**values)


def on_a_locked_copy(self: Any, serializer: Any) -> None:
    with transaction.atomic():
        todo = Todo.objects.select_for_update().get(pk=serializer.instance.pk)
        for name, value in serializer.validated_data.items():
            if name != "tags":
                setattr(todo, name, value)
        todo.save()


def with_an_afterthought(self: Any, serializer: Any) -> None:
    todo = serializer.save()
    Todo.objects.filter(pk=todo.pk).update(owner="later")


# What is published


@pytest.mark.parametrize("perform", [by_queryset, on_a_locked_copy])
def test_an_update_beside_the_serializer_is_published_as_the_row_is(
    recording: RecordingTransport, register: Any, perform: Any
) -> None:
    register(make_backend(TITLES))
    todo = Todo.objects.create(title="a")
    view = make_view(Todo.objects.all(), TITLES, perform_update=perform)
    assert call(view, "patch", {"title": "b"}, pk=todo.pk).status_code == 200
    assert data(recording) == [{"id": todo.pk, "title": "b"}]


@pytest.mark.parametrize("method", ["post", "patch"])
def test_what_else_is_written_to_a_row_is_in_its_event(
    recording: RecordingTransport, register: Any, method: str
) -> None:
    register(make_backend(make_serializer(Todo, "owner")))
    kwargs = {"pk": Todo.objects.create(title="a").pk} if method == "patch" else {}
    view = make_view(
        Todo.objects.all(),
        TITLES,
        perform_create=with_an_afterthought,
        perform_update=with_an_afterthought,
    )
    call(view, method, {"title": "b"}, **kwargs)
    assert data(recording) == [{"owner": "later"}]


def test_what_a_queryset_puts_on_its_rows_is_read_again(
    recording: RecordingTransport, register: Any
) -> None:
    full = make_serializer(
        Todo,
        "tags",
        "tag_list",
        "tag_count",
        tag_list=serializers.PrimaryKeyRelatedField[Any](many=True, read_only=True),
        tag_count=serializers.IntegerField(read_only=True),
    )
    register(make_backend(full))
    [one, two] = [Tag.objects.create(name=name) for name in "ab"]
    todo = Todo.objects.create(title="a")
    queryset = Todo.objects.annotate(tag_count=Count("tags")).prefetch_related(
        "tags", Prefetch("tags", to_attr="tag_list")
    )
    call(make_view(queryset, full), "patch", {"tags": [one.pk, two.pk]}, pk=todo.pk)
    tags = [one.pk, two.pk]
    assert data(recording) == [{"tags": tags, "tag_list": tags, "tag_count": 2}]


def test_a_view_whose_queryset_is_not_for_every_action_answers_all_the_same(
    recording: RecordingTransport, register: Any
) -> None:
    def get_queryset(self: Any) -> Any:
        raise LookupError

    def get_object(self: Any) -> Any:
        return Todo.objects.select_related("list").get()

    register(make_backend(TITLES))
    Todo.objects.create(title="a", list=TodoList.objects.create(name="l"))
    view = make_view(None, TITLES, get_queryset=get_queryset, get_object=get_object)
    assert call(view, "patch", {"title": "b"}).status_code == 200
    assert [each["title"] for each in data(recording)] == ["b"]


def test_a_row_that_leaves_the_views_queryset_is_published_all_the_same(
    recording: RecordingTransport, register: Any
) -> None:
    full = make_serializer(
        Todo,
        "done",
        "tag_list",
        "tag_count",
        tag_list=serializers.PrimaryKeyRelatedField[Any](many=True, read_only=True),
        tag_count=serializers.IntegerField(read_only=True),
    )
    register(make_backend(full))
    todo = Todo.objects.create(title="a")
    queryset = Todo.objects.filter(done=False).annotate(tag_count=Count("tags"))
    queryset = queryset.prefetch_related(Prefetch("tags", to_attr="tag_list"))
    call(make_view(queryset, full), "patch", {"done": True}, pk=todo.pk)
    assert data(recording) == [{"done": True, "tag_list": [], "tag_count": 0}]


def test_what_a_view_notes_on_an_instance_reaches_the_backend(
    recording: RecordingTransport, register: Any
) -> None:
    def perform_update(self: Any, serializer: Any) -> None:
        serializer.save()._actor = "ann"

    def get_data(self: Any, change: Change[Todo]) -> Any:
        return [change.instance._actor, change.instance.title]  # type: ignore[attr-defined]

    register(make_backend(TITLES, get_data=get_data))
    todo = Todo.objects.create(title="a")
    view = make_view(Todo.objects.all(), TITLES, perform_update=perform_update)
    call(view, "patch", {"title": "b"}, pk=todo.pk)
    assert data(recording) == [["ann", "b"]]


def test_what_a_model_has_computed_before_the_write_is_computed_again(
    recording: RecordingTransport, register: Any
) -> None:
    def perform_update(self: Any, serializer: Any) -> None:
        assert serializer.instance.doubled
        serializer.save()

    doubled = make_serializer(
        Parcel, "price", "doubled", doubled=serializers.CharField(read_only=True)
    )
    register(make_backend(doubled))
    parcel = Parcel.objects.create(price=1)
    view = make_view(Parcel.objects.all(), doubled, perform_update=perform_update)
    call(view, "patch", {"price": "2.00"}, pk=parcel.pk)
    assert data(recording) == [{"price": "2.00", "doubled": "4.00"}]


def test_a_row_is_read_once_with_what_its_queryset_joins(
    recording: RecordingTransport, register: Any
) -> None:
    joined = make_serializer(
        Todo, "title", "in_list", in_list=serializers.CharField(source="list.name", read_only=True)
    )
    register(make_backend(joined))
    todo = Todo.objects.create(title="a", list=TodoList.objects.create(name="l"))
    plain = make_view(Todo.objects.select_related("list"), TITLES)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        call(plain, "patch", {"title": "b"}, pk=todo.pk)
    assert data(recording) == [{"title": "b", "in_list": "l"}]
    assert len(queries) == 3  # the view's SELECT, the UPDATE, and ours


def test_a_row_that_is_not_there_is_published_as_the_instance_is(
    recording: RecordingTransport, register: Any
) -> None:
    class Virtual(serializers.ModelSerializer[Todo]):
        class Meta:
            model = Todo
            fields = ("id", "title")

        def create(self, validated_data: Any) -> Todo:
            return Todo(pk=7, **validated_data)

    register(make_backend(TITLES))
    call(make_view(Todo.objects.all(), Virtual), "post", {"title": "a"})
    assert data(recording) == [{"id": 7, "title": "a"}]


def test_an_instance_whose_row_is_gone_keeps_nothing_that_was_prefetched() -> None:
    Todo.objects.create(title="a").tags.create(name="t")
    todo = Todo.objects.prefetch_related("tags").get()
    Todo.objects.all().delete()
    [again] = read_again([todo])
    assert (again.title, list(again.tags.all())) == ("a", [])
    assert len(todo.tags.all()) == 1


def test_the_answer_of_the_api_is_left_alone(recording: RecordingTransport, register: Any) -> None:
    register(make_backend(TITLES))
    todo = Todo.objects.create(title="a")
    view = make_view(Todo.objects.all(), TITLES, perform_update=by_queryset)
    assert call(view, "patch", {"title": "b"}, pk=todo.pk).data["title"] == "a"  # DRF's own


class Replica:
    """Read from "other", which is behind, and write to "default"."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "other"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, *args: Any, **hints: Any) -> bool:
        return True


def test_nothing_is_read_from_a_replica_that_is_behind(
    recording: RecordingTransport, register: Any, settings: Settings
) -> None:
    deep = make_serializer(
        Todo,
        "title",
        "tags",
        "in_list",
        in_list=serializers.CharField(source="list.name", read_only=True),
    )
    register(make_backend(deep))
    old = TodoList.objects.using("other").create(pk=1, name="old")
    TodoList.objects.using("default").create(pk=1, name="new")
    Todo.objects.using("other").create(pk=1, title="old", list=old)
    Todo.objects.using("default").create(pk=1, title="old", list_id=1)
    for alias in ("default", "other"):
        Tag.objects.using(alias).create(pk=1, name="t")
    settings.DATABASE_ROUTERS = ["tests.test_rows.Replica"]
    call(make_view(Todo.objects.all(), deep), "patch", {"title": "b", "tags": [1]}, pk=1)
    assert data(recording) == [{"title": "b", "tags": [1], "in_list": "new"}]
    assert Todo.objects.get(pk=1).title == "old"  # elsewhere the replica is still asked


def test_expressions_that_save_leaves_are_read_from_the_database(
    recording: RecordingTransport, register: Any
) -> None:
    register(make_backend(make_serializer(Todo, "title", "done")))
    todo = Todo.objects.create(title="a", done=True)
    todo.title = Concat(F("title"), Value("!"))
    flipped = Case(When(done=True, then=Value(False)), default=Value(True))
    flipped.output_field = BooleanField()
    todo.done = flipped  # type: ignore[assignment]
    todo.save()
    publish_change(todo, action="update")
    assert data(recording) == [{"title": "a!", "done": False}]


# What was


def test_previous_has_the_deferred_fields_as_they_were(
    recording: RecordingTransport, register: Any
) -> None:
    def get_data(self: Any, change: Change[Todo]) -> Any:
        assert change.previous
        return [change.previous.list_id, change.instance.list_id, change.previous.owner]

    register(make_backend(TITLES, get_data=get_data))
    one, two = (TodoList.objects.create(name=name) for name in "ab")
    todo = Todo.objects.create(title="a", list=one, owner="ann")
    moving = make_serializer(Todo, "title", "list")
    for queryset in (Todo.objects.only("title"), Todo.objects.defer("owner", "list")):
        todo.save()
        call(make_view(queryset, moving), "patch", {"list": two.pk}, pk=todo.pk)
    assert data(recording) == [[one.pk, two.pk, "ann"]] * 2


def with_another_object(self: Any, serializer: Any) -> None:
    serializer.instance = Country.objects.get(pk=serializer.save().pk)


@pytest.mark.parametrize("perform", [in_place, with_another_object])
def test_a_key_that_changes_has_a_previous_too(
    recording: RecordingTransport, register: Any, perform: Any
) -> None:
    def get_data(self: Any, change: Change[Country]) -> Any:
        return [change.previous and change.previous.pk, change.instance.pk]

    plain = make_serializer(Country, "code", "name")
    register(make_backend(plain, get_data=get_data))
    Country.objects.create(code="de", name="Germany")
    view = make_view(Country.objects.all(), plain, perform_update=perform)
    call(view, "patch", {"code": "DE"}, pk="de")
    assert data(recording) == [["de", "DE"]]


def test_previous_keeps_the_name_of_a_file_that_is_replaced(
    recording: RecordingTransport, register: Any, settings: Settings, tmp_path: Any
) -> None:
    def get_object(self: Any) -> Parcel:
        parcel = Parcel.objects.get(pk=self.kwargs["pk"])
        assert parcel.label.name == "old.txt"  # which makes the object that save() changes
        return parcel

    def perform_update(self: Any, serializer: Any) -> None:
        serializer.instance.label.save("new.txt", ContentFile("new"))
        serializer.save()

    def get_data(self: Any, change: Change[Parcel]) -> Any:
        assert change.previous
        return [change.previous.label.name, change.instance.label.name]

    settings.MEDIA_ROOT = tmp_path
    plain = make_serializer(Parcel, "price")
    register(make_backend(plain, get_data=get_data))
    parcel = Parcel.objects.create(label=default_storage.save("old.txt", ContentFile("old")))
    body = {"get_object": get_object, "perform_update": perform_update}
    view = make_view(Parcel.objects.all(), plain, **body)
    call(view, "patch", {"price": "1.10"}, pk=parcel.pk)
    assert data(recording) == [["old.txt", "new.txt"]]


# Several at once


class BulkSerializer(serializers.ListSerializer[Any]):
    """Update the rows of a queryset that the data names, as packages for bulk updates do."""

    def update(self, instance: Any, validated_data: Any) -> Any:
        items = {item.pop("id"): item for item in validated_data}
        todos = list(instance.filter(pk__in=items))
        return [self.child.update(todo, items[todo.pk]) for todo in todos]


class BulkTodoSerializer(serializers.ModelSerializer[Todo]):
    id = serializers.IntegerField()

    class Meta:
        model = Todo
        fields = ("id", "title")
        list_serializer_class = BulkSerializer


def bulk_update(self: Any, request: Request) -> Response:
    serializer = self.get_serializer(
        self.filter_queryset(self.get_queryset()), data=request.data, many=True, partial=True
    )
    serializer.is_valid(raise_exception=True)
    self.perform_update(serializer)
    return Response(serializer.data)


def by_bulk_queryset(self: Any, serializer: Any) -> None:
    for item in serializer.validated_data:
        Todo.objects.filter(pk=item["id"]).update(title=item["title"])


@pytest.mark.parametrize("perform", [in_place, by_bulk_queryset])
def test_a_bulk_update_loads_the_rows_that_it_names_and_no_others(
    recording: RecordingTransport, register: Any, perform: Any
) -> None:
    def get_data(self: Any, change: Change[Todo]) -> Any:
        return [change.previous and change.previous.title, change.instance.title]

    register(make_backend(TITLES, get_data=get_data))
    todos = Todo.objects.bulk_create(Todo(title=f"old {number}") for number in range(50))
    made: list[Any] = []

    def count(instance: Any, **kwargs: Any) -> None:
        made.append(instance)

    class View(make_view(Todo.objects.all(), BulkTodoSerializer)):  # type: ignore[misc]
        perform_update = perform
        partial_bulk_update = bulk_update

        def finalize_response(self, *args: Any, **kwargs: Any) -> Any:
            post_init.disconnect(count, sender=Todo)  # DRF's answer may well hold all
            return super().finalize_response(*args, **kwargs)

    changes = [{"id": todo.pk, "title": f"new {todo.pk}"} for todo in todos[:2]]
    post_init.connect(count, sender=Todo)
    try:
        view = View.as_view({"patch": "partial_bulk_update"})
        view(APIRequestFactory().patch("/", changes, format="json"))
    finally:
        post_init.disconnect(count, sender=Todo)
    assert data(recording) == [[todo.title, f"new {todo.pk}"] for todo in todos[:2]]
    assert len(recording.batches) == 1
    if perform is in_place:
        assert len(made) <= 6


# Names and ids


@pytest.mark.parametrize(
    "get_queryset",
    [
        lambda: Todo.objects.only("id", "title"),
        lambda: Todo.objects.filter(title="0").union(Todo.objects.exclude(title="0")),
    ],
    ids=["only()", "union()"],
)
def test_a_bulk_update_knows_what_rows_were_with_one_query(
    recording: RecordingTransport, register: Any, get_queryset: Any
) -> None:
    register(make_backend(TITLES, get_data=lambda self, change: change.previous.owner))
    todos = Todo.objects.bulk_create(Todo(title=str(n), owner=f"u{n}") for n in range(5))
    body = {
        "get_queryset": lambda self: get_queryset(),
        "filter_queryset": lambda self, queryset: queryset,
        "partial_bulk_update": bulk_update,
        "perform_update": by_bulk_queryset,
    }
    changes = [{"id": todo.pk, "title": "new"} for todo in todos]
    with CaptureQueriesContext(connection) as queries:
        call(
            make_view(None, BulkTodoSerializer, **body),
            "patch",
            changes,
            action="partial_bulk_update",
        )
    assert data(recording) == [f"u{n}" for n in range(5)]
    reads = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert len(reads) <= 3, reads  # before, after, and the answer


def test_an_instance_without_a_key_is_refused(recording: RecordingTransport, register: Any) -> None:
    register(make_backend(TITLES))
    todo = Todo.objects.create(title="a")
    todo.delete()
    with pytest.raises(InvalidEvent, match=r"todos.Todo without a primary key .* before delete"):
        publish_change(todo, action="delete")
    assert recording.batches == []


def test_rows_whose_keys_are_not_known_are_refused(
    recording: RecordingTransport, register: Any
) -> None:
    class Ignoring(serializers.ListSerializer[Any]):
        def create(self, validated_data: Any) -> Any:
            todos = [Todo(**item) for item in validated_data]
            return Todo.objects.bulk_create(todos, ignore_conflicts=True)

    class Many(TITLES):  # type: ignore[misc, valid-type]
        class Meta(TITLES.Meta):  # type: ignore[name-defined, misc]
            list_serializer_class = Ignoring

    def get_serializer(self: Any, *args: Any, **kwargs: Any) -> Any:
        return viewsets.ModelViewSet.get_serializer(self, *args, many=True, **kwargs)

    register(make_backend(TITLES))
    view = make_view(Todo.objects.all(), Many, get_serializer=get_serializer)
    with pytest.raises(InvalidEvent, match=r"ignore_conflicts"):
        call(view, "post", [{"title": "a"}])
    assert recording.batches == []


def test_an_upsert_that_finds_nothing_is_a_create(
    recording: RecordingTransport, register: Any
) -> None:
    def update(self: Any, request: Request, pk: int) -> Response:
        todo = Todo.objects.filter(pk=pk).first()
        serializer = self.get_serializer(todo, data=request.data)
        serializer.is_valid(raise_exception=True)
        self.perform_update(serializer)
        return Response(serializer.data)

    register(make_backend(TITLES))
    view = make_view(Todo.objects.all(), TITLES, update=update)
    made = call(view, "put", {"title": "a"}, pk=1).data
    call(view, "put", {"title": "b"}, pk=made["id"])
    assert [event.name for event in recording.outbox] == ["todo.create", "todo.update"]


@pytest.mark.parametrize("base", [APIView, viewsets.ViewSet])
def test_a_view_without_a_serializer_class_publishes_changes(
    recording: RecordingTransport, register: Any, base: Any
) -> None:
    class View(RealtimeViewMixin, base):  # type: ignore[misc]
        permission_classes = ()

        def post(self, request: Request) -> Response:
            self.publish_change(Todo.objects.create(title="a"), action="create")
            return Response()

        create = post

    register(make_backend(TITLES))
    view = View.as_view(*([{"post": "create"}] if base is viewsets.ViewSet else []))
    assert view(APIRequestFactory().post("/")).status_code == 200
    assert [event.name for event in recording.outbox] == ["todo.create"]


# Whatever is done, the event is the row

FULL = make_serializer(Todo, "id", "title", "done", "owner", "details", "tags", "list")
QUERYSETS = {
    "plain": lambda: Todo.objects.all(),
    "deferred": lambda: Todo.objects.only("title"),
    "prefetched": lambda: Todo.objects.select_related("list").prefetch_related("tags"),
    "annotated": lambda: Todo.objects.annotate(count=Count("tags")).prefetch_related(
        Prefetch("tags", to_attr="tag_list")
    ),
}
PERFORMS = [in_place, by_queryset, on_a_locked_copy, with_an_afterthought]
BODIES = st.fixed_dictionaries(
    {"title": st.text("ab", min_size=1, max_size=3)},
    optional={
        "done": st.booleans(),
        "owner": st.text("xy", max_size=2),
        "details": st.dictionaries(st.text("ab", max_size=2), st.integers(), max_size=2),
        "tags": st.lists(st.sampled_from([1, 2, 3]), unique=True),
        "list": st.sampled_from([None, 1, 2]),
    },
)
WRITES = st.lists(
    st.tuples(
        st.sampled_from(["post", "put", "patch", "delete"]),
        st.sampled_from(sorted(QUERYSETS)),
        st.sampled_from(PERFORMS),
        BODIES,
        st.integers(0, 5),
    ),
    max_size=6,
)


@given(WRITES)
@settings(max_examples=scaled(25))
def test_an_event_is_what_the_serializer_makes_of_the_row_read_anew(writes: Any) -> None:
    from realtime_drf.backends import registry
    from realtime_drf.transports import transports

    registry._backends[Todo] = []
    registry.register(make_backend(FULL))
    Todo.objects.all().delete()
    for key in (1, 2, 3):
        Tag.objects.update_or_create(pk=key, defaults={"name": str(key)})
        TodoList.objects.update_or_create(pk=key, defaults={"name": str(key)})
    outbox = transports["default"]
    for method, queryset, perform, body, choice in writes:
        outbox.clear()  # type: ignore[attr-defined]
        keys = list(Todo.objects.order_by("pk").values_list("pk", flat=True))
        create = in_place if perform is not with_an_afterthought else with_an_afterthought
        view = make_view(QUERYSETS[queryset](), FULL, perform_update=perform, perform_create=create)
        if method == "post":
            response = call(view, method, body)
        elif keys:
            response = call(view, method, body, pk=keys[choice % len(keys)])
        else:
            continue
        assert response.status_code < 300
        [event] = outbox.outbox  # type: ignore[attr-defined]
        if method != "delete":
            row = Todo.objects.get(pk=event.data["id"])
            assert event.data == FULL(row).data
        else:
            assert not Todo.objects.filter(pk=event.data["id"]).exists()
