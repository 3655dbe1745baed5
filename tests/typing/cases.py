"""What type checkers infer for users of the package; mypy and pyright both read this file.

Nothing here runs. A case that shall be an error says so with an ignore, which both checkers report
if it is not needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, assert_type

from django.db.models import F
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ModelViewSet

from realtime_drf import (
    Event,
    PresenceChannel,
    PrivateChannel,
    RealtimeBackend,
    RealtimeManager,
    RealtimeServer,
    RealtimeViewMixin,
    UserChannel,
    apublish,
    apublish_change,
    publish,
    publish_change,
    suppress_events,
)
from realtime_drf.changes import Change
from realtime_drf.contract import declare
from realtime_drf.exceptions import TransportError
from realtime_drf.names import NamedChannel
from realtime_drf.transports.base import BaseTransport
from realtime_drf.transports.pusher import PusherTransport
from tests.todos.models import Note, Tag, Todo, TodoList
from tests.todos.serializers import TodoSerializer


class TodoBackend(RealtimeBackend[Todo]):
    serializer_class = TodoSerializer

    def get_channels(self, change: Change[Todo]) -> Iterable[str | NamedChannel]:
        assert_type(change.instance, Todo)
        assert_type(change.previous, Todo | None)
        return [change.instance.title, UserChannel(7)]

    def get_event_name(self, change: Change[Todo]) -> str:
        return str(change.instance.nothing)  # type: ignore[attr-defined]

    @contextmanager
    def localize(self, change: Change[Todo]) -> Iterator[None]:
        yield

    def adapt(self, event: Event) -> Event | None:
        assert_type(event.channels, tuple[str, ...])
        return None


class WrongBackend(RealtimeBackend[Todo]):
    def get_fallback_data(self, change: Change[Tag]) -> Any:  # type: ignore[override]
        return None


class TodoViewSet(RealtimeViewMixin, ModelViewSet[Todo]):
    queryset = Todo.objects.all()

    def get_realtime_channels(self, change: Change[Todo]) -> list[str]:
        return [change.instance.title]

    def finish(self, request: Request, pk: str) -> Response:
        self.publish_change(self.get_object(), action="finish")
        return Response()

    async def afinish(self, request: Request, todo: Todo) -> Response:
        assert_type(await self.apublish_change(todo, action="finish"), None)
        assert_type(await apublish_change(todo, action="finish"), None)
        return Response()


class TodoChannel(PrivateChannel):
    pattern = "todos.<int:pk>"

    def authorize(self, request: Request, pk: int) -> bool:
        return bool(request.user.is_active)


class BoardChannel(PresenceChannel):
    pattern = "boards.<slug:name>"

    async def authorize(self, request: Request, name: str) -> bool:
        return await TodoList.objects.filter(name=name).aexists()

    def get_user_info(self, request: Request, name: str) -> dict[str, str]:
        return {"name": str(request.user)}


application = RealtimeServer(None)  # type: ignore[arg-type]
assert_type(TodoChannel(pk=5).name, str)


class OwnTransport(BaseTransport):
    def send_batch(self, events: Iterable[Event]) -> None:
        assert_type([event.body for event in events], list[str])


class TenantTransport(PusherTransport):
    def __init__(self, *, tenant: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tenant = tenant


PusherTransport(alias="live", app_id="1", key="key", secret="secret", timeout=5)
PusherTransport(timeout="5")  # type: ignore[arg-type]
PusherTransport(timeuot=5)  # type: ignore[call-arg]


async def use(todo: Todo) -> None:
    publish(Event("a", "x"), Event("b", ["x", UserChannel(7)], {"n": 1}), transport="default")
    publish("a")  # type: ignore[arg-type]
    Event("a", 7)  # type: ignore[arg-type]
    publish_change(todo, todo, action="update")
    publish_change(todo)  # type: ignore[call-arg]
    await apublish(Event("a", "x"))
    try:
        OwnTransport(alias="a").send([])
    except TransportError as error:
        assert_type(error.unsent, tuple[Event, ...])


class MovingChannel(PrivateChannel):
    pattern = "moving.<int:pk>"

    def authorize(self, request: Request, pk: int) -> bool:
        return True


class MovingBackend(RealtimeBackend[Note]):
    channels = ("notes", MovingChannel(pk=F("shelf_id")), UserChannel(F("shelf_id")))
    depends_on = ("shelf",)
    version_field = "revision"
    refresh_above = 100


def use_the_manager() -> None:
    manager: RealtimeManager[Note] = Note.objects
    assert_type(manager.bulk_create([Note(title="a")]), list[Note])
    assert_type(manager.get(), Note)


@suppress_events()
async def import_quietly(count: int) -> str:
    return str(count)


@suppress_events()
def import_at_once(count: int) -> str:
    return str(count)


async def use_suppressed() -> None:
    assert_type(await import_quietly(1), str)
    assert_type(import_at_once(1), str)
    import_at_once("1")  # type: ignore[arg-type]
    with suppress_events():
        publish_change(Note.objects.all(), action="update")


declare("import.finished", UserChannel, list[int])
declare("closing", ["moving", MovingChannel, MovingChannel(pk=5)])
declare(MovingBackend, MovingChannel, TodoSerializer(many=True))
declare(5, "moving")  # type: ignore[arg-type]
