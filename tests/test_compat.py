"""The names of drf_model_pusher keep their meaning."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.db import transaction
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from realtime_drf.backends import RealtimeBackend
from realtime_drf.changes import Change
from realtime_drf.compat import (
    ModelPusherException,
    ModelPusherViewMixin,
    PacketAdapter,
    PresencePusherBackend,
    PrivatePusherBackend,
    PusherBackend,
    PusherProvider,
    view_post_save,
    view_pre_destroy,
)
from realtime_drf.mixins import RealtimeViewMixin
from realtime_drf.publishing import publish_change
from tests.recording import RecordingTransport
from tests.test_mixins import call
from tests.todos.models import Todo
from tests.todos.serializers import TodoSerializer

pytestmark = pytest.mark.django_db(transaction=True)

SEED = Path(__file__).parent / "seed"


class OldViewSet(ModelPusherViewMixin, viewsets.ModelViewSet[Todo]):
    queryset = Todo.objects.all()
    serializer_class = TodoSerializer
    permission_classes = ()
    authentication_classes = ()

    def get_pusher_channels(self) -> list[str]:
        return ["todos"]


class OldBackend(PusherBackend):
    class Meta:
        abstract = True

    serializer_class = TodoSerializer


@pytest.fixture
def todo() -> Todo:
    return Todo.objects.create(title="milk")


def sent(transport: RecordingTransport) -> list[tuple[Any, ...]]:
    return [(event.name, *event.channels) for event in transport.outbox]


def test_a_project_written_to_the_old_readme_runs() -> None:
    pytest.importorskip("pusher")
    command = [sys.executable, "-W", "error", "-m", "django", "test", "--settings=settings"]
    environment = {**os.environ, "PYTHONPATH": str(SEED.parent.parent)}
    run = subprocess.run(
        command, cwd=SEED, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Ran 5 tests" in run.stderr


@pytest.mark.parametrize(
    ("base", "given", "channel"),
    [
        (PrivatePusherBackend, "x", "private-x"),
        (PrivatePusherBackend, "private-x", "private-x"),
        (PresencePusherBackend, "x", "presence-x"),
        (PresencePusherBackend, "presence-x", "presence-x"),
    ],
)
def test_a_prefix_is_put_on_once(
    recording: RecordingTransport, register: Any, base: Any, given: str, channel: str
) -> None:
    class View(OldViewSet):
        def get_pusher_channels(self) -> list[str]:
            return [given]

    class Backend(base):  # type: ignore[misc]
        serializer_class = TodoSerializer

    register(Backend)
    call(View, "post", {"title": "a"})
    assert sent(recording) == [("todo.create", channel)]


@pytest.mark.parametrize(
    ("flag", "actions"),
    [
        ("push_creations", ["update", "delete"]),
        ("push_updates", ["create", "delete"]),
        ("push_deletions", ["create", "update"]),
    ],
)
@pytest.mark.parametrize("by_argument", [True, False])
def test_pushes_can_be_turned_off(
    recording: RecordingTransport,
    register: Any,
    todo: Todo,
    flag: str,
    actions: list[str],
    by_argument: bool,
) -> None:
    class View(OldViewSet):
        pass

    class Backend(OldBackend):
        pass

    register(Backend)
    if by_argument:
        as_view = View.as_view

        class View(View):  # type: ignore[no-redef]
            @classmethod
            def as_view(cls, actions: Any = None, **kwargs: Any) -> Any:
                return as_view(actions, **kwargs, **{flag: False})

    else:
        setattr(View, flag, False)
    call(View, "post", {"title": "a"})
    call(View, "put", {"title": "b"}, pk=todo.pk)
    call(View, "delete", pk=todo.pk)
    assert [name.removeprefix("todo.") for name, _ in sent(recording)] == actions


@pytest.mark.parametrize("hook", ["PusherBackend.push_change", "ModelPusherViewMixin.push_changes"])
def test_a_patch_of_what_a_view_calls_goes_on_working(
    recording: RecordingTransport, register: Any, hook: str
) -> None:
    register(type("Patched", (OldBackend,), {}))
    with mock.patch(f"realtime_drf.compat.{hook}") as patched:
        pk = call(OldViewSet, "post", {"title": "x"}).data["id"]
        call(OldViewSet, "patch", {"title": "y"}, pk=pk)
        call(OldViewSet, "delete", pk=pk)
    assert [each.args[0] for each in patched.call_args_list] == ["create", "update", "delete"]
    assert recording.outbox == []


def test_push_change_ignores_the_current_connection_unless_asked_to(
    recording: RecordingTransport, register: Any, todo: Todo
) -> None:
    class Backend(OldBackend):
        pass

    class View(OldViewSet):
        def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
            for backend in self.get_pusher_backends():
                backend.push_change("poke", self.get_object())
                backend.push_change("poke", self.get_object(), ignore=False)
            self.push_changes("wave", self.get_object())
            self.push_changes(self.PUSH_UPDATE, self.get_object())
            self.push(["todos"], "hello", {"a": 1}, "2.2")
            self.push(["todos", "x"], "hello", {"a": 1})
            return Response()

    register(Backend)
    call(View, "put", {}, pk=todo.pk, **{"X-Pusher-Socket-Id": "1.1"})
    assert [(event.name, event.socket_id) for event in recording.outbox] == [
        ("todo.poke", "1.1"),
        ("todo.poke", None),
        ("todo.wave", "1.1"),
        ("todo.update", "1.1"),
        ("hello", "2.2"),
        ("hello", None),
    ]
    assert recording.outbox[-1].channels == ("todos", "x")


def test_overridden_pushes_are_called_by_the_view(
    recording: RecordingTransport, register: Any, todo: Todo
) -> None:
    class Backend(OldBackend):
        def push_change(
            self, event: str, instance: Any = None, pre_destroy: bool = False, ignore: bool = True
        ) -> None:
            super().push_change(f"{event}d", instance, pre_destroy, ignore=False)

    class View(OldViewSet):
        def push_changes(
            self, event: str = "update", instance: Any = None, pre_destroy: bool = False
        ) -> None:
            super().push_changes(event.upper(), instance, pre_destroy)

    register(Backend)
    call(View, "post", {"title": "a"}, **{"X-Pusher-Socket-Id": "1.1"})
    call(View, "delete", pk=todo.pk)
    assert sent(recording) == [("todo.CREATEd", "todos"), ("todo.DELETEd", "todos")]
    assert recording.outbox[0].socket_id is None


def test_a_packet_adapter_has_the_last_word(recording: RecordingTransport, register: Any) -> None:
    class Adapter(PacketAdapter):
        def parse_packet(self, channels: Any, event_name: str, data: Any) -> Any:
            return [f"{name}.v2" for name in channels], event_name.upper(), {"wrapped": data}

    class Backend(OldBackend):
        packet_adapter_class = Adapter

    register(Backend)
    call(OldViewSet, "post", {"title": "a"})
    assert sent(recording) == [("TODO.CREATE", "todos.v2")]
    assert recording.outbox[0].data["wrapped"]["title"] == "a"


def test_a_provider_of_ones_own_is_called_after_the_commit(
    recording: RecordingTransport, register: Any, todo: Todo
) -> None:
    calls: list[Any] = []

    class Provider(PusherProvider):
        def configure(self) -> None:
            calls.append("configure")

        def trigger(
            self, channels: Any, event_name: str, data: Any, socket_id: str | None = None
        ) -> None:
            calls.append((list(channels), event_name, data["id"], socket_id))
            assert not transaction.get_connection().in_atomic_block
            assert event_name != "todo.delete" or not Todo.objects.filter(pk=data["id"]).exists()

    class Backend(OldBackend):
        provider_class = Provider

    register(Backend)
    with transaction.atomic():
        call(OldViewSet, "put", {"title": "b"}, pk=todo.pk, **{"X-Socket-Id": "1.1"})
        assert calls == []
    pk = todo.pk
    call(OldViewSet, "delete", pk=pk)
    assert calls == [
        "configure",
        (["todos"], "todo.update", pk, "1.1"),
        "configure",
        (["todos"], "todo.delete", pk, None),
    ]
    assert recording.batches == []


def test_a_provider_that_fails_breaks_no_request(
    register: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Provider:
        def configure(self) -> None:
            raise RuntimeError("no account")

    class Backend(OldBackend):
        provider_class = Provider

    register(Backend)
    assert call(OldViewSet, "post", {"title": "a"}).status_code == 201
    assert "no account" in caplog.text


def test_the_old_signals_tell_of_packets(
    recording: RecordingTransport, register: Any, todo: Todo
) -> None:
    received: list[Any] = []

    def receiver(signal: Any, sender: Any, instance: Any, event_name: str, **packet: Any) -> None:
        received.append((signal is view_pre_destroy, sender, event_name, packet["channels"]))

    class Backend(OldBackend):
        pass

    register(Backend)
    view_post_save.connect(receiver)
    view_pre_destroy.connect(receiver)
    call(OldViewSet, "post", {"title": "a"})
    call(OldViewSet, "delete", pk=todo.pk)
    assert received == [
        (False, Backend, "todo.create", ["todos"]),
        (True, Backend, "todo.delete", ["todos"]),
    ]


def test_an_override_without_super_is_pushed_too(
    recording: RecordingTransport, register: Any
) -> None:
    class View(OldViewSet):
        def perform_create(self, serializer: Any) -> None:
            serializer.save(owner="ann")

    class Backend(OldBackend):
        pass

    register(Backend)
    call(View, "post", {"title": "a"})
    assert recording.outbox[0].data["owner"] == "ann"


def test_without_channels_nothing_is_pushed_and_nothing_fails(
    recording: RecordingTransport, register: Any, todo: Todo
) -> None:
    class View(OldViewSet):
        def get_pusher_channels(self) -> list[str]:
            return []

    class Backend(OldBackend):
        pass

    register(Backend)
    assert call(View, "post", {"title": "a"}).status_code == 201
    Backend().push_change("update", todo)
    assert recording.batches == []


def test_a_view_without_a_queryset_cannot_name_its_backends() -> None:
    class View(ModelPusherViewMixin, viewsets.GenericViewSet[Todo]):
        pass

    class Serializing(View):
        serializer_class = TodoSerializer

    assert Serializing().get_pusher_backends() == []
    with pytest.raises(ModelPusherException, match="View needs a queryset"):
        View().get_pusher_backends()


# Half-way through the move


def test_an_old_backend_gets_changes_of_a_new_view_and_of_publish_change(
    recording: RecordingTransport, register: Any, todo: Todo
) -> None:
    class View(RealtimeViewMixin, viewsets.ModelViewSet[Todo]):
        queryset = Todo.objects.all()
        serializer_class = TodoSerializer
        permission_classes = ()

        def get_realtime_channels(self, change: Change[Any]) -> list[str]:
            return ["todos"]

    class Backend(PrivatePusherBackend):
        class Meta:
            model = Todo

    register(Backend)
    call(View, "post", {"title": "a"}, **{"X-Socket-Id": "1.1"})
    assert sent(recording) == [("todo.create", "private-todos")]
    assert recording.outbox[0].socket_id == "1.1"

    class Own(OldBackend):
        pass

    register(Own)
    publish_change(todo, action="update", channels=["x"])
    assert sent(recording)[1:] == [("todo.update", "x")]


def test_a_new_backend_gets_changes_of_an_old_view(
    recording: RecordingTransport, register: Any, todo: Todo
) -> None:
    class Backend(RealtimeBackend[Todo]):
        serializer_class = TodoSerializer

    register(Backend)
    call(OldViewSet, "post", {"title": "a"})
    call(OldViewSet, "put", {"title": "b"}, pk=todo.pk)
    call(OldViewSet, "delete", pk=todo.pk)
    assert [name for name, _ in sent(recording)] == ["todo.create", "todo.update", "todo.delete"]
