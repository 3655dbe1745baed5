"""A payload is for everyone: whoever acts, by whatever view, alone or among many."""

from __future__ import annotations

import contextlib
import datetime
import json
import traceback
import zoneinfo
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction
from django.test import RequestFactory
from django.urls import include, path
from django.utils import timezone, translation
from djangorestframework_camel_case.render import CamelCaseJSONRenderer
from pytest_django import Settings
from rest_framework import serializers, versioning
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.reverse import reverse
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIClient
from rest_framework_json_api import serializers as json_api
from rest_framework_json_api.renderers import JSONRenderer as JSONAPIRenderer

from realtime_drf import publish_change
from realtime_drf.backends import RealtimeBackend
from realtime_drf.changes import Change
from realtime_drf.compat import ModelPusherViewMixin, PusherBackend
from tests.recording import RecordingTransport
from tests.todos.models import Parcel, Tag, Todo, TodoList
from tests.views import call, make_backend, make_serializer, make_view

pytestmark = pytest.mark.django_db(transaction=True)

DUE = datetime.datetime(2026, 1, 1, 23, tzinfo=datetime.UTC)


def data(transport: RecordingTransport) -> list[Any]:
    return [event.data for event in transport.outbox]


# Language and time zone


class Localized(serializers.ModelSerializer[Parcel]):
    state_name = serializers.CharField(source="get_state_display", read_only=True)

    class Meta:
        model = Parcel
        fields = ("state_name", "due")


@contextlib.contextmanager
def acting_from(language: str, zone: str) -> Iterator[None]:
    with translation.override(language), timezone.override(zoneinfo.ZoneInfo(zone)):
        yield


class Old(PusherBackend):
    class Meta:
        abstract = True

    observe = False
    serializer_class = Localized

    def get_channels(self, instance: Any = None) -> list[str]:
        return ["all"]


class LocalizedBackend(RealtimeBackend[Parcel]):
    class Meta:
        abstract = True

    observe = False
    serializer_class = Localized

    def get_channels(self, change: Change[Parcel]) -> list[str]:
        return ["all"]


@pytest.mark.parametrize("mixins", [(), (ModelPusherViewMixin,)])
@pytest.mark.parametrize("base", [LocalizedBackend, Old])
def test_a_payload_is_in_the_projects_language_and_time_zone_whoever_acts(
    recording: RecordingTransport, register: Any, base: Any, mixins: Any
) -> None:
    register(type("Mine", (base,), {}))
    parcel = Parcel.objects.create(due=DUE)
    view = type("View", (*mixins, make_view(Parcel.objects.all(), Localized)), {})
    with acting_from("de", "Asia/Tokyo"):
        answer = call(view, "patch", {}, pk=parcel.pk).data
        assert translation.get_language() == "de"
    with acting_from("fr", "America/New_York"):
        publish_change(parcel, action="update")
    publish_change(parcel, action="update")
    assert answer["state_name"] == "Ja"
    assert data(recording) == [{"state_name": "Yes", "due": "2026-01-01T23:00:00Z"}] * 3


def test_a_backend_may_choose_another_language_and_time_zone(
    recording: RecordingTransport, register: Any
) -> None:
    class German(LocalizedBackend):
        @contextlib.contextmanager
        def localize(self, change: Change[Parcel]) -> Iterator[None]:
            zone = "Europe/Berlin" if change.instance.state == "o" else "UTC"
            with acting_from("de", zone):
                yield

    register(German)
    parcels = [Parcel.objects.create(due=DUE, state=state) for state in "oc"]
    publish_change(*parcels, action="update")
    assert data(recording) == [
        {"state_name": "Ja", "due": "2026-01-02T00:00:00+01:00"},
        {"state_name": "Nein", "due": "2026-01-01T23:00:00Z"},
    ]


def test_channels_and_names_do_not_depend_on_who_acts_either(
    recording: RecordingTransport, register: Any
) -> None:
    def get_fallback_data(self: Any, change: Change[Parcel]) -> Any:
        return change.instance.get_state_display()

    hooks: dict[str, Any] = {
        "get_channels": lambda self, change: [change.instance.get_state_display()],
        "get_event_name": lambda self, change: change.instance.get_state_display(),
        "get_data": lambda self, change: "x" * 20_000,
        "get_fallback_data": get_fallback_data,
    }
    register(make_backend(Localized, **hooks))
    with translation.override("de"):
        publish_change(Parcel.objects.create(), action="update")
    [event] = recording.outbox
    assert (event.name, event.channels, event.data) == ("Yes", ("Yes",), "Yes")


# Hyperlinks


class LinkedTag(serializers.HyperlinkedModelSerializer):
    class Meta:
        model = Tag
        fields = ("url", "name")


class LinkedTodo(serializers.HyperlinkedModelSerializer):
    tag_list = LinkedTag(source="tags", many=True, read_only=True)

    class Meta:
        model = Todo
        fields = ("url", "title", "tags", "tag_list", "list")
        extra_kwargs = {"tags": {"required": False}}  # noqa: RUF012


def get_routes(versioning_class: Any) -> list[Any]:
    router = SimpleRouter()
    body = {"versioning_class": versioning_class}
    router.register("todos", make_view(Todo.objects.all(), LinkedTodo, **body))
    router.register("tags", make_view(Tag.objects.all(), LinkedTag, **body))
    lists = make_view(TodoList.objects.all(), make_serializer(TodoList, "name"), **body)
    router.register("lists", lists)
    return router.urls


def namespaced(*versions: str) -> list[Any]:
    routes = get_routes(versioning.NamespaceVersioning)
    return [path(f"{each}/", include((routes, each), namespace=each)) for each in versions]


@pytest.fixture
def urls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from django.urls import clear_url_caches

    def use(patterns: list[Any]) -> None:
        monkeypatch.setattr("tests.urls.urlpatterns", patterns)
        clear_url_caches()

    yield use
    clear_url_caches()


CASES: dict[str, Any] = {
    "namespace": (lambda: namespaced("v1"), {}, "/v1/"),
    "first namespace": (lambda: namespaced("v2", "v1"), {}, "/v2/"),
    "default version": (lambda: namespaced("v2", "v1"), {"DEFAULT_VERSION": "v1"}, "/v1/"),
    "allowed version": (
        lambda: [path("<version>/", include(get_routes(versioning.URLPathVersioning)))],
        {"ALLOWED_VERSIONS": ["v3", "v1"]},
        "/v3/",
    ),
    "no version": (lambda: get_routes(None), {}, "/"),
}


@pytest.mark.parametrize("case", CASES)
def test_hyperlinks_find_the_urls_of_versioned_views_without_a_request(
    recording: RecordingTransport, register: Any, urls: Any, settings: Settings, case: str
) -> None:
    patterns, drf, prefix = CASES[case]
    settings.REST_FRAMEWORK = drf
    urls(patterns())
    register(make_backend(LinkedTodo))
    todo = Todo.objects.create(title="a", list=TodoList.objects.create(name="l"))
    tag = todo.tags.create(name="t")
    answer = APIClient().patch(f"{prefix}todos/{todo.pk}/", {"title": "b"}, format="json")
    assert answer.status_code == 200, answer.content
    publish_change(todo, action="update")
    link = f"{prefix}tags/{tag.pk}/"
    expected = {
        "url": f"{prefix}todos/{todo.pk}/",
        "title": "b",
        "tags": [link],
        "tag_list": [{"url": link, "name": "t"}],
        "list": f"{prefix}lists/{todo.list_id}/",
    }
    assert data(recording) == [expected, {**expected, "title": "a"}]


def test_hyperlinks_find_namespaces_within_namespaces(
    recording: RecordingTransport, register: Any, urls: Any
) -> None:
    urls([path("api/", include((namespaced("v1"), "api"), namespace="api"))])
    register(make_backend(LinkedTag))
    publish_change(Tag(pk=1, name="t"), action="update")
    assert data(recording) == [{"url": "/api/v1/tags/1/", "name": "t"}]


def test_a_hyperlink_with_a_way_of_its_own_to_urls_keeps_it(
    recording: RecordingTransport, register: Any
) -> None:
    class Own(serializers.HyperlinkedIdentityField):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.reverse = lambda *args, **kwargs: "/short/"

    register(make_backend(make_serializer(Tag, "url", url=Own(view_name="none"))))
    publish_change(Tag(pk=1, name="t"), action="update")
    assert data(recording) == [{"url": "/short/"}]


def test_a_url_that_is_nowhere_is_an_error_as_in_drf(register: Any, urls: Any) -> None:
    urls([])
    register(make_backend(LinkedTag))
    with pytest.raises(Exception, match="Could not resolve URL for hyperlinked"):
        publish_change(Tag(pk=1, name="t"), action="update")


def test_a_serializer_that_nests_itself_is_rendered(
    recording: RecordingTransport, register: Any
) -> None:
    class Tree(serializers.ModelSerializer[TodoList]):
        class Meta:
            model = TodoList
            fields = ("name",)

        def get_fields(self) -> Any:
            return {**super().get_fields(), "children": Tree(many=True, default=[])}

    register(make_backend(Tree))
    publish_change(TodoList(pk=1, name="a"), action="update")
    assert data(recording) == [{"name": "a", "children": []}]


# A serializer that reads the request


class ForUser(serializers.ModelSerializer[Todo]):
    mine = serializers.SerializerMethodField()

    class Meta:
        model = Todo
        fields = ("mine",)

    def get_mine(self, todo: Todo) -> bool:
        return bool(todo.owner == self.context["request"].user.username)


@pytest.mark.parametrize("count", [1, 2])
def test_a_serializer_that_reads_the_request_gets_an_error_with_the_mend(
    register: Any, count: int
) -> None:
    backend = register(make_backend(ForUser))
    with pytest.raises(AttributeError) as caught:
        publish_change(*[Todo(pk=1) for _ in range(count)], action="update")
    text = "".join(traceback.format_exception(caught.value))
    assert text.count("Raised while") == 1
    assert f"{type(backend).__module__}.MadeBackend made the data of an event with" in text
    assert "test_payloads.ForUser" in text
    assert "get_serializer_context()" in text


def test_a_backend_may_be_given_a_request_of_its_own(
    recording: RecordingTransport, register: Any, urls: Any, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["todos.example"]
    urls(namespaced("v2", "v1"))
    request = Request(RequestFactory().get("/", secure=True, headers={"host": "todos.example"}))
    request.version, request.versioning_scheme = "v1", versioning.NamespaceVersioning()

    def get_serializer_context(self: Any, change: Change[Tag]) -> dict[str, Any]:
        return {"request": request, "view": None, "format": None}

    register(make_backend(LinkedTag, get_serializer_context=get_serializer_context))
    publish_change(Tag(pk=1, name="t"), Tag(pk=2, name="u"), action="update")
    assert [each["url"] for each in data(recording)] == [
        "https://todos.example/v1/tags/1/",
        "https://todos.example/v1/tags/2/",
    ]
    assert reverse("v1:tag-detail", kwargs={"pk": 1}) == "/v1/tags/1/"


# The form of the API


@pytest.mark.parametrize("renderer", [CamelCaseJSONRenderer, JSONRenderer])
def test_an_event_may_have_the_form_that_the_apis_renderer_gives(
    recording: RecordingTransport, register: Any, renderer: Any
) -> None:
    class Priced(serializers.ModelSerializer[Parcel]):
        price = serializers.DecimalField(max_digits=6, decimal_places=2, coerce_to_string=False)
        state_name = serializers.CharField(source="get_state_display", read_only=True)

        class Meta:
            model = Parcel
            fields = ("id", "price", "state_name")

    def get_data(self: Any, change: Change[Parcel]) -> Any:
        data = RealtimeBackend.get_data(self, change)
        return json.loads(renderer().render(data))

    register(make_backend(Priced, get_data=get_data))
    view = make_view(Parcel.objects.all(), Priced, renderer_classes=[renderer])
    answer = call(view, "post", {"price": "1.10"})
    assert json.loads(recording.outbox[0].body) == json.loads(answer.content)
    assert '"price":1.1' in recording.outbox[0].body


def test_an_event_may_have_the_form_of_json_api(
    recording: RecordingTransport, register: Any
) -> None:
    class Resource(json_api.ModelSerializer):
        class Meta:
            model = Todo
            fields = ("title", "list")

    def get_data(self: Any, change: Change[Todo]) -> Any:
        context = {"view": SimpleNamespace(resource_name="Todo"), "request": None}
        data = RealtimeBackend.get_data(self, change)
        return json.loads(JSONAPIRenderer().render(data, renderer_context=context))

    register(make_backend(Resource, get_data=get_data))
    renderers = {"renderer_classes": [JSONAPIRenderer], "resource_name": "Todo"}
    todo_list = TodoList.objects.create(name="l")
    data = {"title": "a", "list": {"type": "TodoList", "id": todo_list.pk}}
    answer = call(make_view(Todo.objects.all(), Resource, **renderers), "post", data)
    assert recording.outbox[0].data == json.loads(answer.content)
    assert recording.outbox[0].data["data"]["attributes"] == {"title": "a"}


# Many at once


def count_serializers(model: Any, *fields: str, **body: Any) -> tuple[Any, list[Any]]:
    made: list[Any] = []

    def get_field_names(self: Any, *args: Any) -> Any:
        made.append(self)
        return serializers.ModelSerializer.get_field_names(self, *args)

    return make_serializer(model, *fields, get_field_names=get_field_names, **body), made


def test_changes_of_one_backend_are_serialized_by_one_serializer(
    recording: RecordingTransport, register: Any
) -> None:
    serializer_class, made = count_serializers(Todo, "id", "title")
    register(make_backend(serializer_class))
    with transaction.atomic():
        publish_change(*[Todo(pk=pk, title=str(pk)) for pk in range(1, 201)], action="update")
    assert data(recording) == [{"id": pk, "title": str(pk)} for pk in range(1, 201)]
    assert len(made) == 1


def test_changes_keep_their_order_among_backends_models_contexts_and_dropped_ones(
    recording: RecordingTransport, register: Any
) -> None:
    def get_serializer_context(self: Any, change: Change[Any]) -> dict[str, Any]:
        return {"request": None, "parity": change.instance.pk % 2}

    def get_parity(self: Any, instance: Any) -> int:
        return int(self.context["parity"])

    def get_channels(self: Any, change: Change[Any]) -> list[str]:
        return [] if change.instance.title == "3" else ["all"]

    method = {"parity": serializers.SerializerMethodField(), "get_parity": get_parity}
    serializer = make_serializer(Todo, "title", "parity", **method)
    context = {"get_serializer_context": get_serializer_context}
    register(make_backend(serializer, get_channels=get_channels, **context))
    make_backend(make_serializer(Todo, "id"), get_event_name=lambda self, change: "second")
    register(make_backend(make_serializer(Tag, "name")))
    todos = [Todo(pk=pk, title=str(pk)) for pk in (1, 3, 5, 2)]
    publish_change(todos[0], Tag(pk=9, name="t"), *todos[1:], action="update")
    assert [(event.name, event.data) for event in recording.outbox] == [
        ("todo.update", {"title": "1", "parity": 1}),
        ("second", {"id": 1}),
        ("tag.update", {"name": "t"}),
        ("second", {"id": 3}),
        ("todo.update", {"title": "5", "parity": 1}),
        ("second", {"id": 5}),
        ("todo.update", {"title": "2", "parity": 0}),
        ("second", {"id": 2}),
    ]


class ByInstance(serializers.ModelSerializer[Todo]):
    """A serializer whose fields depend on its instance."""

    class Meta:
        model = Todo
        fields = ("title", "done", "owner")

    def get_fields(self) -> Any:
        fields = super().get_fields()
        assert isinstance(self.instance, Todo)
        if not self.instance.done:
            del fields["owner"]
        return fields


class WithInstance(serializers.ModelSerializer[Todo]):
    """A serializer whose methods read its instance."""

    class Meta:
        model = Todo
        fields = ("title",)

    def to_representation(self, instance: Todo) -> Any:
        assert isinstance(self.instance, Todo)
        return {"title": self.instance.title}


class Wrapping(serializers.ListSerializer[Any]):
    def to_representation(self, data: Any) -> Any:
        return [{"wrapped": True}]


class Wrapped(serializers.ModelSerializer[Todo]):
    """A serializer that looks different in a list."""

    class Meta:
        model = Todo
        fields = ("title",)
        list_serializer_class = Wrapping


class Plain(serializers.BaseSerializer[Any]):
    """A serializer without fields."""

    Meta = SimpleNamespace(model=Todo)

    def to_representation(self, instance: Todo) -> Any:
        return [instance.title]


class OwnData(serializers.ModelSerializer[Todo]):
    class Meta:
        model = Todo
        fields = ("title",)

    @property
    def data(self) -> Any:
        return {"own": super().data}


@pytest.mark.parametrize("serializer", [ByInstance, WithInstance, Wrapped, Plain, OwnData])
def test_among_many_a_payload_is_what_it_is_alone(
    recording: RecordingTransport, register: Any, serializer: Any
) -> None:
    register(make_backend(serializer))
    todos = [Todo(pk=pk, title=str(pk), done=pk % 2 == 0) for pk in (1, 2, 3)]
    for todo in todos:
        publish_change(todo, action="update")
    publish_change(*todos, action="update")
    alone, together = data(recording)[:3], data(recording)[3:]
    assert alone == together
    assert len({json.dumps(each) for each in alone}) == 3
