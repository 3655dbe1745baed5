"""What is published of rows that the ORM changes, wherever it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.core import management
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from rest_framework import serializers

from realtime_drf import Event, RealtimeBackend, publish, publish_change
from realtime_drf.signals import publish_failed
from realtime_drf.sources import suppress_events
from realtime_drf.transports import transports
from tests.recording import RecordingTransport
from tests.sources.notes import NoteBackend, NoteSerializer, ShelfChannel
from tests.todos.models import (
    Country,
    Label,
    Note,
    Parcel,
    Seat,
    Shelf,
    ShoppingTodo,
    Todo,
    UrgentTodo,
)

pytestmark = pytest.mark.django_db(transaction=True)


class News:
    """What was sent since the last look."""

    def __init__(self, transport: RecordingTransport) -> None:
        self.transport = transport

    @property
    def events(self) -> list[Event]:
        events = [event for batch in self.transport.batches for event in batch]
        self.transport.batches.clear()
        return events

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]


@pytest.fixture
def news(recording: RecordingTransport) -> News:
    return News(recording)


@pytest.fixture
def notes() -> type[NoteBackend]:
    class Backend(NoteBackend):
        pass

    return Backend


def make(model: type[Any], **attributes: Any) -> type[RealtimeBackend[Any]]:
    """Define a backend that publishes all of a model's fields to everyone."""

    class Serializer(serializers.ModelSerializer[Any]):
        class Meta:
            fields = "__all__"

    Serializer.Meta.model = model  # type: ignore[attr-defined]
    names = {"serializer_class": Serializer, "channels": ("rows",), "observe": True, **attributes}
    return type("Backend", (RealtimeBackend,), names)


def test_several_changes_of_a_row_in_a_transaction_are_one_event(news: News, notes: Any) -> None:
    with transaction.atomic():
        note = Note.objects.create(title="a")
        note.title = "b"
        note.save()
        note.labels.add(Label.objects.create(name="new"))
    [event] = news.events
    assert event.name == "note.create"
    assert (event.data["title"], event.data["labels"]) == ("b", ["new"])
    with transaction.atomic():
        Note.objects.create(title="gone").delete()
    assert news.names == []


def test_rows_and_events_keep_their_order(news: News, notes: Any) -> None:
    with transaction.atomic():
        publish(Event("first", "x"))
        note = Note.objects.create(title="a")
        publish(Event("second", "x"))
        note.save()
        Note.objects.create(title="b")
        publish(Event("third", "x"))
    assert news.names == ["first", "note.create", "second", "note.create", "third"]


def test_a_row_that_was_changed_twice_is_at_its_last_place(news: News, notes: Any) -> None:
    one, other = Note.objects.create(title="a"), Note.objects.create(title="b")
    assert len(news.events) == 2
    with transaction.atomic():
        one.save()
        other.save()
        one.save()
    assert [event.data["title"] for event in news.events] == ["b", "a"]


def test_a_channel_with_a_column_that_is_null_is_left_out(news: News, notes: Any) -> None:
    Note.objects.create(title="a")
    [event] = news.events
    assert event.channels == ("notes",)


def test_what_is_suppressed_is_not_published(news: News, notes: Any) -> None:
    with suppress_events():
        note = Note.objects.create(title="a")
        Note.objects.update(title="b")
        note.delete()

    @suppress_events()
    def create() -> None:
        Note.objects.create(title="a")

    @suppress_events()
    async def acreate() -> None:
        await Note.objects.acreate(title="a")

    create()
    asyncio.run(acreate())
    assert news.names == []
    Note.objects.create(title="a")
    assert news.names == ["note.create"]


def test_asynchronous_methods_are_published(news: News, notes: Any) -> None:
    async def change() -> None:
        note = await Note.objects.acreate(title="a")
        await note.asave()
        await Note.objects.aupdate(title="b")
        await Note.objects.abulk_create([Note(title="c")])
        await note.adelete()

    asyncio.run(change())
    assert news.names == [f"note.{a}" for a in ("create", "update", "update", "create", "delete")]


def test_fixtures_are_loaded_silently(news: News, notes: Any, tmp_path: Any) -> None:
    path = tmp_path / "notes.json"
    path.write_text('[{"model": "todos.note", "pk": 1, "fields": {"title": "a", "labels": []}}]')
    management.call_command("loaddata", str(path), verbosity=0)
    assert Note.objects.count() == 1
    assert news.names == []


def test_an_insert_that_ignores_conflicts_is_refused_with_the_mend(notes: Any) -> None:
    with pytest.raises(ValueError, match="suppress_events"):
        Note.objects.bulk_create([Note(title="a")], ignore_conflicts=True)


def test_an_insert_that_updates_is_an_update_of_the_rows_that_it_meets(
    news: News, notes: Any
) -> None:
    note = Note.objects.create(title="a", shelf=Shelf.objects.create(name="one"))
    assert news.names == ["note.create"]
    Note.objects.bulk_create(
        [Note(pk=note.pk, title="b"), Note(pk=note.pk + 9, title="new")],
        update_conflicts=True,
        update_fields=["title"],
        unique_fields=["id"],
    )
    assert sorted((event.name, event.data["title"]) for event in news.events) == [
        ("note.create", "new"),
        ("note.update", "b"),
    ]


def test_more_rows_of_a_channel_than_the_backend_wants_are_one_refresh(
    news: News, notes: Any
) -> None:
    notes.refresh_above = 3
    one, other = Shelf.objects.create(name="one"), Shelf.objects.create(name="other")
    Note.objects.bulk_create([Note(title="a", shelf=one), Note(title="a", shelf=other)])
    assert news.names == ["note.create", "note.create"]
    Note.objects.bulk_create([Note(title="b", shelf=one) for _ in range(4)])
    assert sorted((event.name, event.channels) for event in news.events) == [
        ("note.refresh", ("notes",)),
        ("note.refresh", (f"private-shelves.{one.pk}",)),
    ]
    Note.objects.update(title="c")
    found = [(event.name, event.channels, event.data.get("title")) for event in news.events]
    assert sorted(found, key=str) == [
        ("note.refresh", ("notes",), None),
        ("note.refresh", (f"private-shelves.{one.pk}",), None),
        ("note.update", (f"private-shelves.{other.pk}",), "c"),
    ]


def test_a_queryset_is_published_without_being_loaded(news: News, notes: Any) -> None:
    with suppress_events():
        Note.objects.bulk_create([Note(title=title) for title in "abc"])
    queryset = Note.objects.filter(title__in="ab")
    publish_change(queryset, action="update")
    assert sorted(event.data["title"] for event in news.events) == ["a", "b"]
    assert queryset._result_cache is None
    with transaction.atomic():
        publish_change(queryset, action="delete")
        queryset._raw_delete("default")
    assert news.names == ["note.delete", "note.delete"]


@pytest.mark.parametrize("action", ["update", "create"])
def test_a_change_that_is_published_beside_the_signal_is_one_event(
    action: str, news: News, notes: Any
) -> None:
    with transaction.atomic():
        note = Note.objects.create(title="a")
        publish_change(note, action="create")
    assert news.names == ["note.create"]
    with transaction.atomic():
        note.save()
        publish_change(note, action=action)
    assert news.names == ["note.update"]


def test_an_action_of_ones_own_is_an_event_of_its_own(news: News, notes: Any) -> None:
    note = Note.objects.create(title="a")
    with transaction.atomic():
        note.save()
        publish_change(note, action="archive")
    assert news.names == ["note.create", "note.update", "note.archive"]


def test_one_row_that_cannot_be_rendered_takes_no_other_with_it(
    news: News, notes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Picky(NoteSerializer):
        def to_representation(self, instance: Note) -> Any:
            if instance.title == "bad":
                raise ZeroDivisionError
            return super().to_representation(instance)

    notes.serializer_class = Picky
    errors: list[Any] = []

    def note_error(sender: Any, error: Exception, **kwargs: Any) -> None:
        errors.append(error)

    publish_failed.connect(note_error)
    try:
        made = Note.objects.bulk_create([Note(title=title) for title in ("a", "bad", "b")])
    finally:
        publish_failed.disconnect(note_error)
    assert [event.data["title"] for event in news.events] == ["a", "b"]
    [record] = caplog.records
    assert f"todos.Note {made[1].pk} could not be published" in record.getMessage()
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_a_version_grows_with_each_write(notes: Any) -> None:
    note = Note.objects.create(title="a")
    for write in (
        lambda: note.save(),
        lambda: note.save(update_fields=["title"]),
        lambda: Note.objects.update(title="b"),
        lambda: Note.objects.bulk_update([note], ["title"]),
    ):
        before = Note.objects.get().revision
        write()
        assert Note.objects.get().revision == before + 1
    Note.objects.update(revision=40)
    assert Note.objects.get().revision == 40
    note.revision = 50
    note.save(update_fields=["revision"])
    assert (Note.objects.get().revision, note.revision) == (50, 50)
    note.save()
    assert note.revision == 51


def test_each_backend_is_an_audience_of_its_own(news: News, notes: Any) -> None:
    make(Note, channels=("private-staff",))
    Note.objects.create(title="a")
    found = {event.channels: set(event.data) for event in news.events}
    assert "is_hidden" in found["private-staff",]
    assert "is_hidden" not in found["notes",]


def test_a_proxy_and_a_child_are_rows_of_their_parent(news: News) -> None:
    make(Todo)
    UrgentTodo.objects.create(title="a").delete()
    child = ShoppingTodo.objects.create(title="b", shop="c")
    key = child.pk
    child.title = "c"
    child.save()
    child.delete()
    events = news.events
    assert [event.name for event in events] == [
        "todo.create",
        "todo.delete",
        "todo.create",
        "todo.update",
        "todo.delete",
    ]
    assert events[-1].data == {"id": key}


@pytest.mark.parametrize(
    ("make_row", "key"),
    [
        (lambda: Country.objects.create(code="de", name="a"), lambda row: {"code": "de"}),
        (lambda: Parcel.objects.create(), lambda row: {"id": str(row.id)}),
        (lambda: Seat.objects.create(row="A", number=1), lambda row: {"row": "A", "number": 1}),
    ],
)
def test_whoever_loses_a_row_receives_its_key(
    news: News, make_row: Callable[[], Any], key: Callable[[Any], Any]
) -> None:
    row = make_row()
    make(type(row))
    expected = key(row)
    row.save()
    row.delete()
    assert [(event.name.rpartition(".")[2], event.data) for event in news.events][1] == (
        "delete",
        expected,
    )


def test_a_cascade_is_published(news: News, notes: Any) -> None:
    shelf = Shelf.objects.create(name="one")
    note = Note.objects.create(title="a", shelf=shelf)
    news.events  # noqa: B018
    key = shelf.pk
    shelf.delete()
    [event] = news.events
    assert (event.name, event.data["id"]) == ("note.delete", note.pk)
    assert set(event.channels) == {"notes", f"private-shelves.{key}"}


def test_a_row_whose_transport_changes_leaves_one_and_comes_to_the_other(recording: Any) -> None:
    class Backend(RealtimeBackend[Note]):
        serializer_class = NoteSerializer

        def get_channels(self, change: Any) -> list[Any]:
            return ["notes"]

        def get_transport(self, change: Any) -> str:
            return "other" if change.instance.title == "b" else "default"

    Note.objects.create(title="a")
    other: Any = transports["other"]
    assert len(recording.batches) == 1
    assert other.batches == []
    note = Note.objects.get()
    note.title = "b"
    note.save()
    assert [event.name for event in recording.batches[1]] == ["note.delete"]
    assert [event.name for [event] in other.batches] == ["note.create"]


@pytest.fixture
def count() -> Callable[[Callable[[], Any]], int]:
    def count_queries(do: Callable[[], Any]) -> int:
        with CaptureQueriesContext(connection) as queries:
            do()
        return len([each for each in queries if "SAVEPOINT" not in each["sql"]])

    return count_queries


@pytest.mark.parametrize(
    ("channels", "extra"), [(("rows",), 1), ((ShelfChannel(pk=F("shelf_id")),), 101)]
)
def test_saves_cost_few_queries(
    channels: Any, extra: int, news: News, count: Callable[[Callable[[], Any]], int]
) -> None:
    def save_all() -> None:
        with transaction.atomic():
            for note in notes:
                note.save()

    shelf = Shelf.objects.create(name="one")
    with suppress_events():
        Note.objects.bulk_create([Note(title="a", shelf=shelf) for _ in range(100)])
    notes = list(Note.objects.all())
    plain = count(save_all)
    make(Note, channels=channels, serializer_class=TitleSerializer)
    assert count(save_all) - plain == extra
    assert len(news.events) == 100


class TitleSerializer(serializers.ModelSerializer[Note]):
    class Meta:
        model = Note
        fields = ("id", "title")
