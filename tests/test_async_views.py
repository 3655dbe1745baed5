"""Async views publish after they have saved; what cannot work is refused when the class is made."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db.utils import ConnectionDoesNotExist
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory

from realtime_drf import silence
from realtime_drf.backends import RealtimeBackend
from realtime_drf.changes import Change
from realtime_drf.compat import ModelPusherViewMixin
from realtime_drf.mixins import RealtimeViewMixin
from realtime_drf.publishing import apublish_change, publish_change
from realtime_drf.signals import event_published
from tests.recording import RecordingTransport
from tests.todos.models import Todo
from tests.todos.serializers import TodoSerializer
from tests.views import make_backend, make_serializer

# Its newest release cannot be imported with the oldest DRF that we support.
adrf_serializers = pytest.importorskip("adrf.serializers", exc_type=AttributeError)
adrf = pytest.importorskip("adrf.viewsets")

pytestmark = pytest.mark.django_db(transaction=True)

TITLES = make_serializer(Todo, "id", "title")


class AsyncTodoSerializer(adrf_serializers.ModelSerializer):  # type: ignore[type-arg]
    class Meta:
        model = Todo
        fields = ("id", "title", "tags")
        extra_kwargs = {"tags": {"required": False}}  # noqa: RUF012


class AsyncTodoViewSet(RealtimeViewMixin, adrf.ModelViewSet):
    queryset = Todo.objects.all()
    serializer_class = AsyncTodoSerializer
    permission_classes = ()
    authentication_classes = ()

    async def finish(self, request: Request, pk: int) -> Response:
        await self.apublish_change(await Todo.objects.aget(pk=pk), action="finish")
        return Response()

    async def finish_wrongly(self, request: Request, pk: int) -> Response:
        self.publish_change(await Todo.objects.aget(pk=pk), action="finish")
        return Response()


ASYNC_HANDLERS = {
    "post": "acreate",
    "put": "aupdate",
    "patch": "partial_aupdate",
    "delete": "adestroy",
}


def call(
    view: type[Any], method: str, data: Any = None, *, action: str | None = None, **kwargs: Any
) -> Any:
    """Call a view as an ASGI server does, on an event loop."""
    request = getattr(APIRequestFactory(), method)("/", data, format="json")
    handler = view.as_view({method: action or ASYNC_HANDLERS[method]})
    return async_to_sync(handler)(request, **kwargs)


def sent(transport: RecordingTransport) -> list[tuple[str, Any]]:
    return [(event.name, event.data.get("title")) for event in transport.outbox]


@pytest.fixture
def loops() -> Any:
    """Return a list of whether each event was sent on an event loop."""
    seen: list[bool] = []

    def look(**kwargs: Any) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            seen.append(False)
        else:
            seen.append(True)

    event_published.connect(look)
    yield seen
    event_published.disconnect(look)


def test_views_of_adrf_publish_what_they_save_and_not_on_the_event_loop(
    recording: RecordingTransport, register: Any, loops: list[bool]
) -> None:
    register(make_backend(TITLES))
    pk = call(AsyncTodoViewSet, "post", {"title": "a"}).data["id"]
    call(AsyncTodoViewSet, "put", {"title": "b"}, pk=pk)
    call(AsyncTodoViewSet, "patch", {"title": "c"}, pk=pk)
    call(AsyncTodoViewSet, "post", action="finish", pk=pk)
    assert call(AsyncTodoViewSet, "delete", pk=pk).status_code == 204
    assert sent(recording) == [
        ("todo.create", "a"),
        ("todo.update", "b"),
        ("todo.update", "c"),
        ("todo.finish", "c"),
        ("todo.delete", None),
    ]
    assert loops == [False] * 5
    assert recording.outbox[-1].data == {"id": pk}


def test_a_backend_without_a_serializer_takes_that_of_an_async_view(
    recording: RecordingTransport, register: Any
) -> None:
    class Bare(RealtimeBackend[Todo]):
        model = Todo

        def get_channels(self, change: Change[Todo]) -> list[str]:
            return ["all"]

    register(Bare)
    call(AsyncTodoViewSet, "post", {"title": "a"})
    assert recording.outbox[0].data["tags"] == []


def test_an_async_perform_is_published_once_after_it_has_saved(
    recording: RecordingTransport, register: Any
) -> None:
    seen: list[int] = []

    class View(RealtimeViewMixin, adrf.GenericViewSet):
        queryset = Todo.objects.all()
        serializer_class = TITLES
        permission_classes = ()

        async def update(self, request: Request, pk: int) -> Response:
            todo = await Todo.objects.aget(pk=pk)
            serializer = self.get_serializer(todo, data=request.data)
            await sync_to_async(serializer.is_valid)(raise_exception=True)
            await self.perform_update(serializer)
            return Response()

        async def perform_update(self, serializer: Any) -> None:
            seen.append(len(recording.outbox))
            await self.perform_acreate(serializer)

        async def perform_acreate(self, serializer: Any) -> None:
            await sync_to_async(serializer.save)()
            seen.append(len(recording.outbox))

    register(make_backend(TITLES))
    todo = Todo.objects.create(title="a")
    call(View, "put", {"title": "b"}, action="update", pk=todo.pk)
    assert sent(recording) == [("todo.update", "b")]
    assert seen == [0, 0]


def test_an_async_perform_that_fails_publishes_nothing_and_the_next_one_does(
    recording: RecordingTransport, register: Any
) -> None:
    class View(AsyncTodoViewSet):
        async def acreate(self, request: Request) -> Response:
            with pytest.raises(ZeroDivisionError):
                await self.perform_acreate(None)
            return await super().acreate(request)

        async def perform_acreate(self, serializer: Any) -> None:
            if serializer is None:
                raise ZeroDivisionError
            await super().perform_acreate(serializer)

    register(make_backend(TITLES))
    call(View, "post", {"title": "a"})
    assert sent(recording) == [("todo.create", "a")]


def test_a_silent_async_view_is_warned_of_and_one_that_publishes_is_not(
    recording: RecordingTransport, register: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Quiet(AsyncTodoViewSet):
        async def acreate(self, request: Request) -> Response:
            await Todo.objects.acreate(title="a")
            return Response()

    silence._silent_views.clear()
    register(make_backend(TITLES))
    with caplog.at_level(logging.WARNING, "realtime_drf"):
        call(AsyncTodoViewSet, "post", {"title": "a"})
        assert caplog.records == []
        call(Quiet, "post", {"title": "a"})
    [record] = caplog.records
    assert "await self.apublish_change()" in record.getMessage()
    silence._silent_views.clear()


def test_publishing_a_change_on_an_event_loop_is_refused(
    recording: RecordingTransport, register: Any
) -> None:
    register(make_backend(TITLES))
    todo = Todo.objects.create(title="a")
    with pytest.raises(SynchronousOnlyOperation, match="await apublish_change"):
        call(AsyncTodoViewSet, "post", action="finish_wrongly", pk=todo.pk)

    async def wrong() -> None:
        publish_change(todo, action="finish")

    with pytest.raises(SynchronousOnlyOperation, match="await apublish_change"):
        async_to_sync(wrong)()
    assert recording.batches == []


def test_a_coroutine_publishes_a_change(
    recording: RecordingTransport, register: Any, loops: list[bool]
) -> None:
    register(make_backend(TITLES, get_channels=lambda self, change: change.channels))
    todo = Todo.objects.create(title="a")
    async_to_sync(apublish_change)(todo, action="finish", channels=["x"], socket_id="1.1")
    [event] = recording.outbox
    assert (event.name, event.channels, event.socket_id) == ("todo.finish", ("x",), "1.1")
    assert loops == [False]
    with pytest.raises(ConnectionDoesNotExist):
        async_to_sync(apublish_change)(todo, action="finish", channels=["x"], using="nowhere")


# Refused


@pytest.mark.parametrize("name", ["create", "update", "destroy"])
@pytest.mark.parametrize("base", [viewsets.ModelViewSet, adrf.ModelViewSet])
def test_an_async_perform_that_nothing_awaits_is_refused(name: str, base: Any) -> None:
    async def perform(self: Any, subject: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match=rf"perform_{name} is async.*perform_a{name}"):
        type("View", (RealtimeViewMixin, base), {f"perform_{name}": perform})


@pytest.mark.parametrize("name", ["get_realtime_channels", "get_realtime_socket_id"])
def test_an_async_hook_of_a_view_is_refused(name: str) -> None:
    async def hook(self: Any, *args: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match=rf"View.{name} is async"):
        type("View", (RealtimeViewMixin,), {name: hook})


@pytest.mark.parametrize("name", ["get_channels", "get_data", "adapt", "get_transport"])
def test_an_async_hook_of_a_backend_is_refused(name: str) -> None:
    async def hook(self: Any, *args: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match=rf"Mine.{name} is async"):
        type("Mine", (RealtimeBackend,), {"serializer_class": TodoSerializer, name: hook})


def test_the_old_mixin_before_an_async_view_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"perform_acreate.*RealtimeViewMixin"):
        type("View", (ModelPusherViewMixin, adrf.ModelViewSet), {})
