"""Backends: the events that changes become, and their channels."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from pytest_django import Settings
from rest_framework import serializers

from realtime_drf import Event, publish, publish_change
from realtime_drf.backends import RealtimeBackend, registry
from realtime_drf.changes import Change
from realtime_drf.channels import UserChannel
from realtime_drf.exceptions import InvalidEvent, TransportDoesNotExist
from realtime_drf.transports import transports
from tests.recording import PATH, RecordingTransport
from tests.todos.models import ShoppingTodo, Silent, Tag, Todo, TodoList, UrgentTodo
from tests.todos.serializers import TodoSerializer

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


class OnTodos(RealtimeBackend[Todo]):
    """Say to "todos" what happened; the base of the backends here."""

    class Meta:
        abstract = True

    observe = False
    serializer_class = TodoSerializer

    def get_channels(self, change: Change[Todo]) -> list[str]:
        return ["todos"]


def names(transport: RecordingTransport) -> list[str]:
    return [event.name for event in transport.outbox]


def test_by_default_a_backend_needs_but_a_serializer(recording: RecordingTransport) -> None:
    todo = Todo.objects.create(title="milk")
    publish_change(todo, action="update", channels=["x", "y"])
    assert recording.outbox == [
        Event(
            "todo.update", ["x", "y"], {"id": todo.pk, "title": "milk", "done": False, "owner": ""}
        )
    ]


def test_without_channels_there_is_no_event_and_no_payload(
    recording: RecordingTransport, register: Any
) -> None:
    class Unasked(OnTodos):
        def get_channels(self, change: Change[Todo]) -> list[str]:
            return []

        def get_data(self, change: Change[Todo]) -> Any:
            raise AssertionError("rendered for nobody")

    register(Unasked)
    publish_change(Todo(pk=1, title="x"), action="update")
    assert recording.batches == []


def test_each_hook_has_its_say(recording: RecordingTransport, register: Any) -> None:
    class Hooked(RealtimeBackend[Todo]):
        model = Todo

        def get_channels(self, change: Change[Todo]) -> list[str]:
            return [f"list.{change.instance.title}", *map(str, change.channels)]

        def get_event_name(self, change: Change[Todo]) -> str:
            return f"{change.action}!"

        def get_data(self, change: Change[Todo]) -> Any:
            return {"has_socket_id": change.socket_id is not None}

        def get_transport(self, change: Change[Todo]) -> str:
            return "other"

        def adapt(self, event: Event) -> Event:
            return event.replace(name=event.name.upper())

    register(Hooked)
    publish_change(Todo(pk=1, title="a"), action="done", channels=["b"], socket_id="1.1")
    other = transports["other"]
    assert isinstance(other, RecordingTransport)
    assert other.outbox == [
        Event("DONE!", ["list.a", "b"], {"has_socket_id": True}, socket_id="1.1"),
    ]
    assert recording.outbox == []


def test_adapting_to_nothing_drops_the_event(recording: RecordingTransport, register: Any) -> None:
    class Dropping(OnTodos):
        def adapt(self, event: Event) -> None:
            return None

    register(Dropping)
    publish_change(Todo(pk=1, title="x"), action="update")
    assert recording.batches == []


@pytest.mark.parametrize("channels", [None, 7, ["todos:5"], [None]])
def test_channels_that_are_none_name_the_backend_that_returned_them(
    recording: RecordingTransport, register: Any, channels: Any
) -> None:
    class Wrong(OnTodos):
        def get_channels(self, change: Change[Todo]) -> Any:
            return channels

    register(Wrong)
    with pytest.raises(InvalidEvent) as caught:
        publish_change(Todo(pk=1, title="x"), action="update")
    [note] = caught.value.__notes__
    assert note.startswith(f"Raised for an event of {__name__}.")
    assert "Wrong" in note


@pytest.mark.parametrize("hook", ["adapt", "get_events", "get_fallback_event"])
def test_a_hook_that_makes_no_event_is_a_type_error_that_names_the_backend(
    recording: RecordingTransport, register: Any, hook: str
) -> None:
    class Wrong(OnTodos):
        def get_data(self, change: Change[Todo]) -> Any:
            return "x" * 20_000  # so that a fallback is asked for

    made = ("todo.update", ["todos"], {})

    def return_a_tuple(self: Any, *args: Any) -> Any:
        return [[made]] if hook == "get_events" else made

    setattr(Wrong, hook, return_a_tuple)
    register(Wrong)
    with transaction.atomic():
        publish(Event("good", "news"))
        with pytest.raises(TypeError, match=r"Wrong must make Events, not tuple"):
            publish_change(Todo(pk=1, title="x"), action="update")
    assert [event.name for event in recording.outbox] == ["good"]


def test_a_backend_may_make_several_events_of_a_change(
    recording: RecordingTransport, register: Any
) -> None:
    class Several(OnTodos):
        def get_events(self, changes: Any) -> Any:
            return [
                [
                    Event(f"{number}.{change.instance.pk}", "todos", "x" * 20_000 * number)
                    for number in range(change.instance.pk)
                ]
                for change in changes
            ]

        def get_fallback_event(self, change: Change[Todo], event: Event) -> Event | None:
            return event.replace(data="short") if event.name != "2.3" else None

    register(Several)
    publish_change(*(Todo(pk=pk, title="x") for pk in (1, 0, 2, 3)), action="update")
    [events] = recording.batches
    assert [(event.name, event.data) for event in events] == [
        ("0.1", ""),
        ("0.2", ""),
        ("1.2", "short"),
        ("0.3", ""),
        ("1.3", "short"),
    ]


def test_the_sender_is_left_out_unless_the_backend_wants_it_in(
    recording: RecordingTransport, register: Any
) -> None:
    class Inclusive(OnTodos):
        exclude_sender = False

    register(Inclusive)
    publish_change(Todo(pk=1, title="x"), action="update", socket_id="1.1")
    assert recording.outbox[0].socket_id is None


@pytest.mark.parametrize("chosen", ["create", "update", "delete"])
def test_actions_choose_among_the_automatic_ones(
    recording: RecordingTransport, register: Any, chosen: str
) -> None:
    class One(OnTodos):
        actions = (chosen,)

    register(One)
    for action in ("create", "update", "delete", "complete"):
        publish_change(Todo(pk=1, title="x"), action=action)
    assert names(recording) == [f"todo.{chosen}", "todo.complete"]


def test_a_change_waits_for_the_database_that_is_named(recording: RecordingTransport) -> None:
    with transaction.atomic("other"):
        publish_change(
            Todo(pk=1, title="x"), action="update", channels="todos", using="other", socket_id="1.1"
        )
        assert recording.outbox == []
    assert names(recording) == ["todo.update"]


def test_too_large_an_event_falls_back(recording: RecordingTransport, register: Any) -> None:
    class Falling(OnTodos):
        def get_fallback_data(self, change: Change[Todo]) -> Any:
            return {"id": change.instance.pk}

    register(Falling)
    publish_change(Todo(pk=5, title="x" * 11_000), action="update", socket_id="1.1")
    assert recording.outbox == [Event("todo.update", "todos", {"id": 5}, socket_id="1.1")]


def test_too_large_an_event_without_a_fallback_is_refused_and_reported(
    recording: RecordingTransport, register: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Plain(OnTodos):
        pass

    register(Plain)
    publish_change(
        Todo(pk=1, title="x" * 11_000), Todo(pk=1, title="fits"), action="update", socket_id="1.1"
    )
    assert [event.data["title"] for event in recording.outbox] == ["fits"]
    assert "10,240 are allowed" in caplog.text


def test_several_instances_are_one_batch(recording: RecordingTransport, register: Any) -> None:
    class Plain(OnTodos):
        pass

    register(Plain)
    with transaction.atomic():
        todos = Todo.objects.bulk_create([Todo(title="a"), Todo(title="b")])
        publish_change(*todos, action="create")
    assert [[e.data["title"] for e in events] for events in recording.batches] == [["a", "b"]]


def test_a_change_waits_for_the_database_of_its_instance(
    recording: RecordingTransport, register: Any
) -> None:
    class Plain(OnTodos):
        pass

    register(Plain)
    with transaction.atomic("other"):
        todo = Todo.objects.using("other").create(title="x")
        publish_change(todo, action="create")
        assert recording.batches == []
    assert len(recording.batches) == 1


class Replica:
    """Read from one database, write to another."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "other"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"


def test_a_change_of_what_was_read_from_a_replica_waits_for_where_it_is_written(
    recording: RecordingTransport, register: Any, settings: Settings
) -> None:
    class Plain(OnTodos):
        pass

    register(Plain)
    todo = Todo.objects.using("other").create(title="x")
    settings.DATABASE_ROUTERS = ["tests.test_backends.Replica"]
    with transaction.atomic():
        publish_change(todo, action="delete")
        assert recording.batches == []
    assert names(recording) == ["todo.delete"]


@pytest.mark.parametrize("channels", ["private-x", UserChannel(7)])
def test_one_channel_is_no_sequence_of_letters(
    recording: RecordingTransport, register: Any, channels: Any
) -> None:
    class Single(RealtimeBackend[Todo]):
        observe = False
        serializer_class = TodoSerializer

        def get_channels(self, change: Change[Todo]) -> Any:
            return channels if change.action == "update" else change.channels

    register(Single)
    publish_change(Todo(pk=1, title="x"), action="update")
    publish_change(Todo(pk=1, title="x"), action="create", channels=channels)
    name = getattr(channels, "name", channels)
    assert [event.channels for event in recording.outbox] == [(name,), (name,)]


def test_a_fallback_that_is_dropped_sends_nothing(
    recording: RecordingTransport, register: Any
) -> None:
    class Dropping(OnTodos):
        def get_fallback_data(self, change: Change[Todo]) -> Any:
            return "short"

        def adapt(self, event: Event) -> Event | None:
            return None if event.data == "short" else event

    register(Dropping)
    publish_change(Todo(pk=1, title="x" * 11_000), action="update")
    assert recording.batches == []


def test_a_meta_that_inherits_is_not_abstract(register: Any) -> None:
    class Concrete(OnTodos):
        class Meta(OnTodos.Meta):
            pass

    assert Concrete in [type(each) for each in registry.get_backends(Todo)]


def test_several_backends_of_a_model_all_publish(
    recording: RecordingTransport, register: Any
) -> None:
    class One(OnTodos):
        pass

    register(One)

    class Two(OnTodos):
        def get_event_name(self, change: Change[Todo]) -> str:
            return "two"

    assert Two
    publish_change(Todo(pk=1, title="x"), action="update")
    assert names(recording) == ["todo.update", "two"]
    assert len(recording.batches) == 1


def test_a_subclass_takes_the_place_of_its_concrete_parent(
    recording: RecordingTransport, register: Any
) -> None:
    class Parent(OnTodos):
        pass

    register(Parent)

    class Child(Parent):
        def get_event_name(self, change: Change[Todo]) -> str:
            return "child"

    class TagSerializer(serializers.ModelSerializer[Tag]):
        class Meta:
            model = Tag
            fields = ("name",)

    class ElsewhereChild(Parent):
        serializer_class = TagSerializer

    publish_change(Todo(pk=1, title="x"), action="update")
    assert names(recording) == ["child"]
    registry.unregister(Child)
    registry.unregister(Child)
    assert [type(each) for each in registry.get_backends(Tag)] == [ElsewhereChild]
    assert registry.get_backends(Todo) == []


def test_models_of_one_name_are_not_mixed_up(register: Any) -> None:
    class Plain(OnTodos):
        pass

    backend = register(Plain)
    assert registry.get_backends(Todo) == [backend]
    assert registry.get_backends(TodoList) == []


def test_a_proxy_is_published_by_the_backends_of_its_model_or_by_its_own(
    recording: RecordingTransport, register: Any
) -> None:
    class Plain(OnTodos):
        pass

    register(Plain)
    publish_change(UrgentTodo(pk=1, title="x"), action="update")

    class Urgent(OnTodos):
        model = UrgentTodo

    assert Urgent
    publish_change(UrgentTodo(pk=1, title="x"), action="update")
    publish_change(Todo(pk=1, title="x"), action="update")
    assert names(recording) == ["todo.update", "urgenttodo.update", "todo.update"]


def test_a_multi_table_child_is_published_by_the_backends_of_its_parent_or_by_its_own(
    recording: RecordingTransport, register: Any
) -> None:
    class Plain(OnTodos):
        pass

    register(Plain)
    child = ShoppingTodo.objects.create(title="x", shop="y")
    publish_change(child, action="create")

    class Shopping(OnTodos):
        model = ShoppingTodo

    assert Shopping
    publish_change(child, action="update")
    assert names(recording) == ["todo.create", "shoppingtodo.update"]
    assert recording.outbox[0].data["id"] == child.pk


def test_a_model_without_backends_is_warned_of_once(
    recording: RecordingTransport, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        publish_change(Silent(pk=1), Silent(pk=2), action="update")
        publish_change(Silent(pk=1), action="update")
    assert caplog.text.count("todos.Silent") == 1
    assert "found in the module 'realtime' of each installed app" in caplog.text
    assert recording.batches == []


def test_a_backend_without_a_model_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"Homeless needs a serializer_class"):

        class Homeless(RealtimeBackend[Any]):
            pass

    with pytest.raises(ImproperlyConfigured, match="or a model"):

        class Plain(RealtimeBackend[Any]):
            observe = False
            serializer_class = serializers.Serializer


def test_a_plain_serializer_needs_but_a_model(recording: RecordingTransport, register: Any) -> None:
    class Title(serializers.Serializer[Todo]):
        title = serializers.CharField()

    class Plain(OnTodos):
        model = Todo
        serializer_class = Title

    register(Plain)
    publish_change(Todo(pk=1, title="x"), action="update")
    assert recording.outbox[0].data == {"title": "x"}


def test_without_any_serializer_it_is_said(recording: RecordingTransport, register: Any) -> None:
    class Bare(OnTodos):
        model = Todo
        serializer_class = None

    register(Bare)
    with pytest.raises(ImproperlyConfigured, match="Bare has no serializer_class"):
        publish_change(Todo(pk=1, title="x"), action="update")


def test_data_that_cannot_be_sent_is_the_developers_to_know_at_once(
    recording: RecordingTransport, register: Any
) -> None:
    class Wrong(OnTodos):
        def get_data(self, change: Change[Todo]) -> Any:
            return {"tags": {"a"}}

    register(Wrong)
    with pytest.raises(InvalidEvent, match=r"data\['tags'\]"):
        publish_change(Todo(pk=1, title="x"), action="update")


def test_an_unknown_transport_is_said(recording: RecordingTransport, register: Any) -> None:
    class Lost(OnTodos):
        def get_transport(self, change: Change[Todo]) -> str:
            return "tenant7"

    register(Lost)
    with pytest.raises(TransportDoesNotExist, match="tenant7"):
        publish_change(Todo(pk=1, title="x"), action="update")


def test_nothing_is_rendered_for_a_disabled_transport(settings: Settings, register: Any) -> None:
    class Unasked(OnTodos):
        def get_data(self, change: Change[Todo]) -> Any:
            raise AssertionError("rendered for nobody")

    register(Unasked)
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH, "ENABLED": False}}
    publish_change(Todo(pk=1, title="x"), action="update")
    transport = transports["default"]
    assert isinstance(transport, RecordingTransport)
    assert transport.batches == []


def test_the_context_holds_no_request_and_no_user(
    recording: RecordingTransport, register: Any
) -> None:
    seen: list[dict[str, Any]] = []

    class Curious(TodoSerializer):
        def to_representation(self, instance: Todo) -> Any:
            seen.append(dict(self.context))
            return super().to_representation(instance)

    class Plain(OnTodos):
        serializer_class = Curious

    register(Plain)
    publish_change(Todo(pk=1, title="x"), action="update")
    assert seen == [{"request": None, "view": None, "format": None}]


def test_the_socket_id_stays_out_of_the_repr_of_a_change() -> None:
    change = Change(instance=Todo(title="x"), action="update", socket_id="123.456")
    assert "123.456" not in repr(change)
