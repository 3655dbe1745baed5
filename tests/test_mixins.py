"""The view mixin: whatever a viewset does to a row is published, once, after it is done."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import ProtectedError
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIRequestFactory

from realtime_drf import Event, publish
from realtime_drf.backends import RealtimeBackend
from realtime_drf.changes import Change
from realtime_drf.exceptions import TransportUnavailable
from realtime_drf.mixins import RealtimeViewMixin
from tests.recording import RecordingTransport
from tests.todos.models import Tag, Todo
from tests.todos.serializers import TodoSerializer

pytestmark = pytest.mark.django_db(transaction=True)

REQUESTS = APIRequestFactory()


class TodoViewSet(RealtimeViewMixin, viewsets.ModelViewSet[Todo]):
    queryset = Todo.objects.all()
    serializer_class = TodoSerializer
    permission_classes = ()
    authentication_classes = ()

    def get_realtime_channels(self, change: Change[Any]) -> list[str]:
        return ["todos"]


router = SimpleRouter()
router.register("todos", TodoViewSet)
urlpatterns = [path("", include(router.urls))]


def call(
    view: type[Any], method: str, data: Any = None, *, pk: int | None = None, **headers: str
) -> Response:
    """Call a viewset as a router would."""
    actions = {
        "post": "create",
        "put": "update",
        "patch": "partial_update",
        "delete": "destroy",
    }
    request = getattr(REQUESTS, method)("/", data, format="json", headers=headers)
    kwargs = {} if pk is None else {"pk": pk}
    response = view.as_view({method: actions[method]})(request, **kwargs)
    assert isinstance(response, Response)
    return response


def sent(transport: RecordingTransport) -> list[tuple[str, Any]]:
    return [(event.name, event.data.get("title")) for event in transport.outbox]


@pytest.fixture
def todo() -> Todo:
    return Todo.objects.create(title="milk")


@pytest.mark.urls("tests.test_mixins")
def test_create_update_patch_and_delete_are_published(
    client: Client, recording: RecordingTransport
) -> None:
    created = client.post("/todos/", {"title": "a"}).json()
    url = f"/todos/{created['id']}/"
    client.put(url, {"title": "b"}, content_type="application/json")
    client.patch(url, {"title": "c"}, content_type="application/json")
    client.delete(url)
    assert sent(recording) == [
        ("todo.create", "a"),
        ("todo.update", "b"),
        ("todo.update", "c"),
        ("todo.delete", None),
    ]
    assert all(event.channels == ("todos",) for event in recording.outbox)
    assert recording.outbox[-1].data == {"id": created["id"]}


@pytest.mark.parametrize("header", ["X-Pusher-Socket-Id", "X-Socket-Id"])
def test_the_connection_that_asked_is_left_out(recording: RecordingTransport, header: str) -> None:
    asking = recording.subscribe("todos", socket_id="12.34")
    other = recording.subscribe("todos", socket_id="56.78")
    call(TodoViewSet, "post", {"title": "a"}, **{header: "12.34"})
    assert (len(asking.received), len(other.received)) == (0, 1)


def test_a_missing_or_odd_header_fails_no_request(recording: RecordingTransport) -> None:
    for value in ("", " ", "ä", "1.1, 1.1", "x" * 5000):
        assert (
            call(TodoViewSet, "post", {"title": "a"}, **{"X-Socket-Id": value}).status_code == 201
        )
    assert call(TodoViewSet, "post", {"title": "a"}).status_code == 201
    assert len(recording.outbox) == 6


def test_an_outage_fails_no_request(recording: RecordingTransport, todo: Todo) -> None:
    recording.error = TransportUnavailable("down")
    assert call(TodoViewSet, "post", {"title": "a"}).status_code == 201
    assert call(TodoViewSet, "delete", pk=todo.pk).status_code == 204


def test_nothing_is_published_for_what_was_refused(
    recording: RecordingTransport, todo: Todo
) -> None:
    assert call(TodoViewSet, "post", {}).status_code == 400
    assert call(TodoViewSet, "put", {"title": ""}, pk=todo.pk).status_code == 400
    assert call(TodoViewSet, "delete", pk=todo.pk + 1).status_code == 404
    assert recording.batches == []


# perform_*, overridden in every way


class Without(TodoViewSet):
    def perform_create(self, serializer: Any) -> None:
        serializer.save(owner="ann")

    def perform_update(self, serializer: Any) -> None:
        serializer.save(owner="bob")

    def perform_destroy(self, instance: Any) -> None:
        Todo.objects.filter(pk=instance.pk).delete()


class With(TodoViewSet):
    def perform_create(self, serializer: Any) -> None:
        super().perform_create(serializer)

    def perform_update(self, serializer: Any) -> None:
        super().perform_update(serializer)

    def perform_destroy(self, instance: Any) -> None:
        super().perform_destroy(instance)


class OwnerMixin:
    """A mixin of the project's that knows nothing of this one."""

    def perform_create(self, serializer: Any) -> None:
        serializer.save(owner="mixin")


class Before(OwnerMixin, TodoViewSet):
    pass


class Behind(RealtimeViewMixin, OwnerMixin, viewsets.ModelViewSet[Todo]):
    queryset = Todo.objects.all()
    serializer_class = TodoSerializer
    permission_classes = ()
    get_realtime_channels = TodoViewSet.get_realtime_channels


class Chain(With):
    def perform_create(self, serializer: Any) -> None:
        with transaction.atomic():
            super().perform_create(serializer)


class Crossing(TodoViewSet):
    def perform_create(self, serializer: Any) -> None:
        self.perform_update(serializer)


@pytest.mark.parametrize("view", [Without, With, Before, Behind, Chain, Crossing])
def test_overridden_or_not_it_is_published_once(
    recording: RecordingTransport, todo: Todo, view: type[TodoViewSet]
) -> None:
    call(view, "post", {"title": "a"})
    call(view, "put", {"title": "b"}, pk=todo.pk)
    call(view, "delete", pk=todo.pk)
    assert sent(recording) == [("todo.create", "a"), ("todo.update", "b"), ("todo.delete", None)]
    assert not Todo.objects.filter(pk=todo.pk).exists()


def test_a_payload_holds_what_the_override_saved(recording: RecordingTransport, todo: Todo) -> None:
    call(Without, "post", {"title": "a"})
    call(Without, "put", {"title": "b"}, pk=todo.pk)
    assert [event.data["owner"] for event in recording.outbox] == ["ann", "bob"]


def test_arguments_and_results_of_an_override_are_its_own(recording: RecordingTransport) -> None:
    class Talkative(TodoViewSet):
        def perform_create(self, serializer: Any, owner: str = "", *, greet: bool = False) -> str:  # type: ignore[override]
            serializer.save(owner=owner)
            return f"hello {owner}" if greet else owner

        def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
            serializer = self.get_serializer(data=request.data)
            serializer.is_valid(raise_exception=True)
            return Response({"said": self.perform_create(serializer, "eve", greet=True)})

    assert call(Talkative, "post", {"title": "a"}).data == {"said": "hello eve"}
    assert recording.outbox[0].data["owner"] == "eve"


def test_an_override_that_saves_nothing_or_raises_publishes_nothing(
    recording: RecordingTransport, todo: Todo
) -> None:
    class Saving(TodoViewSet):
        def perform_create(self, serializer: Any) -> None:
            serializer.save()
            raise ValidationError("no")

        def perform_destroy(self, instance: Any) -> None:
            raise ProtectedError("no", set())

    class Idle(TodoViewSet):
        def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
            self.perform_create(self.get_serializer(data=request.data))
            return Response()

        def perform_create(self, serializer: Any) -> None:
            return

    assert call(Saving, "post", {"title": "a"}).status_code == 400
    with pytest.raises(ProtectedError):
        call(Saving, "delete", pk=todo.pk)
    assert call(Idle, "post", {"title": "a"}).status_code == 200
    assert recording.batches == []


def test_a_view_that_failed_once_publishes_the_next_time(recording: RecordingTransport) -> None:
    class Fails(TodoViewSet):
        def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
            serializer = self.get_serializer(data=request.data)
            serializer.is_valid(raise_exception=True)
            with pytest.raises(RuntimeError):
                self.perform_create(None)
            self.perform_create(serializer)
            return Response()

        def perform_create(self, serializer: Any) -> None:
            if serializer is None:
                raise RuntimeError
            serializer.save()

    call(Fails, "post", {"title": "a"})
    assert sent(recording) == [("todo.create", "a")]


# What a payload is made of


def test_under_atomic_requests_a_refusal_publishes_nothing(
    recording: RecordingTransport, todo: Todo
) -> None:
    view = transaction.atomic(lambda: call(TodoViewSet, "put", {"title": "b"}, pk=todo.pk))
    view()
    assert len(recording.batches) == 1

    class Failing(TodoViewSet):
        def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
            super().update(request, *args, **kwargs)
            raise RuntimeError

    with pytest.raises(RuntimeError), transaction.atomic():
        call(Failing, "put", {"title": "c"}, pk=todo.pk)
    assert len(recording.batches) == 1


def test_a_deletion_is_published_after_the_commit_that_deletes(
    recording: RecordingTransport, todo: Todo
) -> None:
    pk = todo.pk
    with transaction.atomic():
        call(TodoViewSet, "delete", pk=pk)
        assert recording.batches == []
    assert recording.outbox[0].data["id"] == pk


def test_previous_is_the_instance_as_it_was(recording: RecordingTransport, register: Any) -> None:
    class Full(serializers.ModelSerializer[Todo]):
        class Meta:
            model = Todo
            fields = ("id", "title", "details")

        def update(self, instance: Todo, validated_data: Any) -> Todo:
            instance.details["seen"] = True  # in place, as people do
            return super().update(instance, validated_data)

    class Comparing(RealtimeBackend[Todo]):
        observe = False
        serializer_class = Full

        def get_channels(self, change: Change[Todo]) -> list[str]:
            return ["todos"]

        def get_data(self, change: Change[Todo]) -> Any:
            before = change.previous
            return before and [before.title, before.details, change.instance.title]

    class View(TodoViewSet):
        serializer_class = Full

    register(Comparing)
    todo = Todo.objects.create(title="a", details={"n": [1]})
    call(View, "patch", {"title": "b"}, pk=todo.pk)
    call(View, "post", {"title": "c"})
    call(View, "delete", pk=todo.pk)
    assert [event.data for event in recording.outbox] == [
        ["a", {"n": [1]}, "b"],
        None,
        {"id": todo.pk},
    ]


def test_a_prefetched_queryset_makes_no_stale_payload(
    recording: RecordingTransport, register: Any
) -> None:
    class Tagged(serializers.ModelSerializer[Todo]):
        class Meta:
            model = Todo
            fields = ("title", "tags")

    class View(TodoViewSet):
        queryset = Todo.objects.prefetch_related("tags")
        serializer_class = Tagged

        def perform_update(self, serializer: Any) -> None:
            todo = serializer.save()
            assert list(todo.tags.all()) == []
            Todo.objects.get(pk=todo.pk).tags.add(tag)  # which forgets nothing on this instance

    class Backend(RealtimeBackend[Todo]):
        observe = False
        serializer_class = Tagged

    register(Backend)
    todo = Todo.objects.create(title="a")
    tag = Tag.objects.create(name="x")
    call(View, "patch", {"title": "b"}, pk=todo.pk)
    assert recording.outbox[0].data == {"title": "b", "tags": [tag.pk]}


def test_hyperlinks_are_relative(recording: RecordingTransport, register: Any) -> None:
    class Linked(serializers.HyperlinkedModelSerializer):
        class Meta:
            model = Todo
            fields = ("url", "title")

    class Backend(RealtimeBackend[Todo]):
        observe = False
        serializer_class = Linked

    register(Backend)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.urls.urlpatterns", urlpatterns)
        from django.urls import clear_url_caches

        clear_url_caches()
        call(TodoViewSet, "post", {"title": "a"})
        clear_url_caches()
    assert recording.outbox[0].data["url"].startswith("/todos/")


def test_the_payload_is_the_backends_and_does_not_depend_on_the_view(
    recording: RecordingTransport,
) -> None:
    class Short(serializers.ModelSerializer[Todo]):
        class Meta:
            model = Todo
            fields = ("title",)

    class View(TodoViewSet):
        serializer_class = Short

    call(View, "post", {"title": "a"})
    assert set(recording.outbox[0].data) == {"id", "title", "done", "owner"}


def test_a_backend_without_a_serializer_takes_the_views(
    recording: RecordingTransport, register: Any
) -> None:
    class Bare(RealtimeBackend[Todo]):
        model = Todo

    register(Bare)
    call(TodoViewSet, "post", {"title": "a"})
    assert recording.outbox[0].data["title"] == "a"


def test_a_views_serializer_is_asked_for_only_when_it_is_needed(
    recording: RecordingTransport, todo: Todo
) -> None:
    class Picky(TodoViewSet):
        def get_serializer_class(self) -> Any:
            return {"create": TodoSerializer}[self.action]

    assert call(Picky, "delete", pk=todo.pk).status_code == 204
    assert len(recording.outbox) == 1


# Other shapes of views


def test_a_view_with_but_a_get_queryset(recording: RecordingTransport, todo: Todo) -> None:
    class View(RealtimeViewMixin, viewsets.ModelViewSet[Todo]):
        serializer_class = TodoSerializer
        permission_classes = ()
        get_realtime_channels = TodoViewSet.get_realtime_channels

        def get_queryset(self) -> Any:
            return Todo.objects.all()

    call(View, "put", {"title": "b"}, pk=todo.pk)
    assert sent(recording) == [("todo.update", "b")]


def test_a_view_that_only_creates(recording: RecordingTransport) -> None:
    class View(RealtimeViewMixin, mixins.CreateModelMixin, viewsets.GenericViewSet[Todo]):
        serializer_class = TodoSerializer
        permission_classes = ()
        get_realtime_channels = TodoViewSet.get_realtime_channels

    call(View, "post", {"title": "a"})
    assert sent(recording) == [("todo.create", "a")]


def test_many_rows_at_once_are_one_batch(recording: RecordingTransport) -> None:
    class Many(TodoViewSet):
        def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
            return super().get_serializer(*args, **kwargs, many=True)

    call(Many, "post", [{"title": "a"}, {"title": "b"}])
    assert sent(recording) == [("todo.create", "a"), ("todo.create", "b")]
    assert len(recording.batches) == 1


def test_a_serializer_of_no_model_publishes_nothing(recording: RecordingTransport) -> None:
    class Echo(serializers.Serializer[Any]):
        word = serializers.CharField()

        def create(self, validated_data: Any) -> Any:
            return validated_data

    class View(TodoViewSet):
        serializer_class = Echo

    assert call(View, "post", {"word": "x"}).status_code == 201
    assert recording.batches == []


def test_actions_and_events_of_ones_own(recording: RecordingTransport, todo: Todo) -> None:
    class View(TodoViewSet):
        @action(detail=True, methods=["post"])
        def complete(self, request: Request, pk: int) -> Response:
            todo = self.get_object()
            todo.done = True
            todo.save()
            self.publish_change(todo, action="complete")
            publish(Event("cheer", "todos", socket_id=self.get_realtime_socket_id()))
            return Response(status=204)

    request = REQUESTS.post("/", headers={"X-Socket-Id": "1.1"})
    view = View.as_view({"post": "complete"})
    response: HttpResponse = view(request, pk=todo.pk)
    assert response.status_code == 204
    assert [(e.name, e.channels, e.socket_id) for e in recording.outbox] == [
        ("todo.complete", ("todos",), "1.1"),
        ("cheer", ("todos",), "1.1"),
    ]
    assert recording.outbox[0].data["done"] is True


def test_a_view_without_a_request_has_no_socket_id() -> None:
    assert TodoViewSet().get_realtime_socket_id() is None


def test_a_mixin_behind_the_view_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"Late: .* does nothing after the view"):

        class Late(viewsets.ModelViewSet[Todo], RealtimeViewMixin):
            pass

    class Base(viewsets.ModelViewSet[Todo]):
        pass

    with pytest.raises(ImproperlyConfigured, match="Later"):

        class Later(Base, RealtimeViewMixin):
            pass


def test_a_mixin_may_be_mixed_into_a_mixin() -> None:
    class ProjectMixin(RealtimeViewMixin):
        pass

    class View(ProjectMixin, viewsets.ModelViewSet[Todo]):
        pass

    assert View.__mro__.index(RealtimeViewMixin) < View.__mro__.index(viewsets.ModelViewSet)
