"""What sends nothing, or nothing useful, is said once, with what to do."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import models
from django.test.utils import isolate_apps
from rest_framework import generics, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from realtime_drf import Event, publish, publish_change, silence
from realtime_drf.backends import RealtimeBackend, registry
from realtime_drf.compat import ModelPusherViewMixin
from realtime_drf.mixins import RealtimeViewMixin
from tests.recording import RecordingTransport
from tests.todos.models import Silent, Todo
from tests.views import call, make_backend, make_serializer, make_view

pytestmark = pytest.mark.django_db(transaction=True)

TITLES = make_serializer(Todo, "id", "title")


@pytest.fixture(autouse=True)
def _forget(recording: RecordingTransport, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Have nothing said yet."""
    caplog.set_level(logging.WARNING, "realtime_drf")

    def clear() -> None:
        silence._silent_views.clear()
        silence._senders.clear()
        silence.warn_of_no_channels.cache_clear()
        silence._warn_of_namesakes.cache_clear()

    clear()
    yield
    clear()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Any:
    """Return a function that returns the warnings so far."""

    def get() -> list[str]:
        return [record.getMessage() for record in caplog.records]

    return get


def save_by_service(self: Any, serializer: Any) -> None:
    Todo.objects.create(**serializer.validated_data)


def create_by_itself(self: Any, request: Request) -> Response:
    serializer = self.get_serializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    self.perform_create(serializer)
    return Response(status=201)


def save_by_itself(self: Any, request: Request, **kwargs: Any) -> Response:
    serializer = self.get_serializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    serializer.save()
    return Response(serializer.data)


def delete_by_itself(self: Any, request: Request, **kwargs: Any) -> Response:
    self.get_object().delete()
    return Response(status=204)


class InADict(serializers.Serializer[Any]):
    title = serializers.CharField(write_only=True)

    def create(self, validated_data: Any) -> Any:
        return {"todo": Todo.objects.create(**validated_data)}


@pytest.mark.parametrize(
    ("body", "method", "call_for"),
    [
        ({"create": create_by_itself, "perform_create": save_by_service}, "post", "create"),
        ({"create": save_by_itself}, "post", "create"),
        ({"update": save_by_itself}, "put", "update"),
        ({"partial_update": save_by_itself}, "patch", "update"),
        ({"destroy": delete_by_itself}, "delete", "delete"),
        ({"serializer_class": InADict}, "post", "create"),
        ({"queryset": None, "get_queryset": lambda self: Todo.objects.all(),
          "create": save_by_itself}, "post", "create"),
    ],
    ids=["a service", "create()", "PUT as create", "patch()", "destroy()", "a dict", "queryset"],
)  # fmt: skip
def test_a_view_that_writes_and_publishes_nothing_is_warned_of_once(
    said: Any, register: Any, body: Any, method: str, call_for: str
) -> None:
    register(make_backend(TITLES))
    view = make_view(Todo.objects.all(), TITLES, **body)
    for title in "ab":
        todo = Todo.objects.create(title=title)
        kwargs = {} if method == "post" else {"pk": todo.pk}
        assert call(view, method, {"title": title}, **kwargs).status_code < 300
    [text] = said()
    assert text.startswith(f"{view.__module__}.{view.__qualname__}: ")
    assert "although todos.Todo has a realtime backend" in text
    assert f"self.publish_change(instance, action={call_for!r})" in text


def test_each_action_of_a_view_is_warned_of_by_itself(said: Any, register: Any) -> None:
    register(make_backend(TITLES))
    view = make_view(Todo.objects.all(), TITLES, create=save_by_itself, destroy=delete_by_itself)
    for _ in range(2):
        call(view, "post", {"title": "a"})
        call(view, "delete", pk=Todo.objects.latest("pk").pk)
    assert [text.partition("' succeeded")[0].rpartition("'")[2] for text in said()] == [
        "create",
        "destroy",
    ]


@pytest.mark.parametrize("base", [APIView, generics.GenericAPIView])
def test_a_view_of_which_no_model_is_known_is_warned_of_where_there_are_backends(
    said: Any, register: Any, monkeypatch: pytest.MonkeyPatch, base: Any
) -> None:
    class View(RealtimeViewMixin, base):  # type: ignore[misc]
        permission_classes = ()

        def post(self, request: Request) -> Response:
            return Response()

    monkeypatch.setattr(registry, "_backends", {})
    View.as_view()(APIRequestFactory().post("/"))
    assert said() == []
    silence._silent_views.clear()
    register(make_backend(TITLES))
    View.as_view()(APIRequestFactory().post("/"))
    assert "although there are realtime backends" in said()[0]
    assert "'post' succeeded" in said()[0], "a view without actions has methods"
    assert "action='create'" in said()[0]


def test_who_publishes_in_any_way_is_not_warned_of(said: Any, register: Any) -> None:
    def by_change(self: Any, request: Request) -> Response:
        publish_change(Todo.objects.create(title="a"), action="create")
        return Response()

    def by_event(self: Any, request: Request) -> Response:
        publish(Event("a", "x"))
        return Response()

    def by_another_view(self: Any, request: Request) -> Response:
        return call(plain, "post", {"title": "a"})

    register(make_backend(TITLES, actions=()))
    plain = make_view(Todo.objects.all(), TITLES)
    for create in (by_change, by_event, by_another_view):
        call(make_view(Todo.objects.all(), TITLES, create=create), "post", {"title": "a"})
    call(plain, "post", {"title": "a"})
    assert said() == []


def test_what_is_no_write_or_no_success_or_of_no_backend_is_not_warned_of(said: Any) -> None:
    def refuse(self: Any, request: Request) -> Response:
        return Response(status=400)

    view = make_view(Todo.objects.all(), TITLES, create=refuse)
    call(view, "post", {})
    call(view, "get", action="list")
    silent = make_serializer(Silent, "name")
    call(make_view(Silent.objects.all(), silent, create=save_by_itself), "post", {"name": "a"})
    assert said() == []


def test_a_write_of_no_instances_is_not_warned_of(said: Any, register: Any) -> None:
    class Many(serializers.ListSerializer[Any]):
        def update(self, instance: Any, validated_data: Any) -> Any:
            return []

    def get_serializer(self: Any, *args: Any, **kwargs: Any) -> Any:
        return Many(*args, child=TITLES(), **kwargs)

    def publish_none(self: Any, request: Request) -> Response:
        self.publish_change(*Todo.objects.none(), action="create")
        return Response()

    def publish_none_by_function(self: Any, request: Request) -> Response:
        publish_change(*Todo.objects.none(), action="create")
        return Response()

    register(make_backend(TITLES))
    todos = Todo.objects.all()
    many = make_view(todos, TITLES, get_serializer=get_serializer, get_object=lambda self: [])
    call(many, "post", [])
    call(many, "put", [])
    for create in (publish_none, publish_none_by_function):
        call(make_view(todos, TITLES, create=create), "post", {"title": "a"})
    assert said() == []


def test_an_update_that_deletes_the_row_is_answered_and_warned_of(
    said: Any, register: Any, recording: RecordingTransport
) -> None:
    def perform_update(self: Any, serializer: Any) -> None:
        serializer.instance.delete()

    register(make_backend(TITLES))
    todo = Todo.objects.create(title="a")
    view = make_view(Todo.objects.all(), TITLES, perform_update=perform_update)
    assert call(view, "patch", {"title": "b"}, pk=todo.pk).status_code == 200
    assert recording.batches == []
    [warning] = said()
    assert "self.publish_change(instance, action='update')" in warning


def test_requests_that_fail_leave_nothing_in_their_thread() -> None:
    watches: weakref.WeakSet[silence.Watch] = weakref.WeakSet()

    def fail(self: Any, request: Request) -> Response:
        watches.add(self._watch)
        raise LookupError

    view = make_view(Todo.objects.all(), TITLES, create=fail)
    for _ in range(5):
        with pytest.raises(LookupError):
            call(view, "post", {})
    gc.collect()
    assert len(watches) <= 1


def test_a_view_whose_flags_turn_pushing_off_is_not_warned_of(said: Any, register: Any) -> None:
    class View(ModelPusherViewMixin, viewsets.ModelViewSet[Todo]):
        queryset = Todo.objects.all()
        serializer_class = TITLES
        permission_classes = ()
        push_creations = push_updates = push_deletions = False

    register(make_backend(TITLES))
    made = call(View, "post", {"title": "a"}).data
    call(View, "put", {"title": "b"}, pk=made["id"])
    call(View, "delete", pk=made["id"])
    assert said() == []


# Channels that nobody names


def test_a_backend_that_is_left_without_channels_is_warned_of_once(
    said: Any, register: Any
) -> None:
    class Nameless(RealtimeBackend[Todo]):
        observe = False
        serializer_class = TITLES

    register(Nameless)
    for _ in range(2):
        publish_change(Todo.objects.create(title="a"), action="create")
    [text] = said()
    assert "Nameless sends nothing: it has no get_channels()" in text


def test_a_backend_that_decides_on_no_channels_is_not_warned_of(said: Any, register: Any) -> None:
    register(make_backend(TITLES, get_channels=lambda self, change: []))
    publish_change(Todo.objects.create(title="a"), action="create")
    assert said() == []


# Namesakes


@isolate_apps("django.contrib.contenttypes")
def test_models_of_two_apps_with_one_name_and_one_channel_are_warned_of(
    said: Any, register: Any
) -> None:
    meta = type("Meta", (), {"app_label": "contenttypes"})
    body = {"__module__": __name__, "Meta": meta, "title": models.CharField(max_length=50)}
    namesake: Any = type("Todo", (models.Model,), body)
    register(make_backend(TITLES))
    register(make_backend(make_serializer(namesake, "title"), get_channels=alone_or_all))
    publish_change(Todo(pk=1, title="a"), action="create")
    publish_change(namesake(pk=1, title="alone"), action="create")
    assert said() == []
    for _ in range(2):
        publish_change(namesake(pk=2, title="a"), action="create")
    [text] = said()
    assert "contenttypes.Todo and todos.Todo both send 'todo.create' on 'all'" in text


def alone_or_all(self: Any, change: Any) -> list[str]:
    return ["alone" if change.instance.title == "alone" else "all"]


def test_a_name_that_a_backend_chooses_itself_is_its_own_affair(said: Any, register: Any) -> None:
    register(make_backend(TITLES))
    silent = make_serializer(Silent, "name")
    register(make_backend(silent, get_event_name=lambda self, change: "todo.create"))
    publish_change(Todo(pk=1, title="a"), action="create")
    publish_change(Silent(pk=1, name="a"), action="create")
    assert said() == []


# The app

FORGOTTEN = """
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "rest_framework"],
    REALTIME_TRANSPORTS={"default": {
        "TRANSPORT": "realtime_drf.transports.memory.MemoryTransport",
    }},
)
django.setup()
from rest_framework.viewsets import ModelViewSet
from realtime_drf.mixins import RealtimeViewMixin
class View(RealtimeViewMixin, ModelViewSet):
    pass
class Other(View):
    pass
"""


def test_an_app_that_is_not_installed_is_warned_of_once() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORGOTTEN],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.count("'realtime_drf' is not in INSTALLED_APPS") == 1
