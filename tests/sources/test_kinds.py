# ruff: noqa: F811  fixtures of another module
"""Rows of every kind of model, written, related and published in every way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.handlers.base import BaseHandler
from django.db import connection, connections, transaction
from django.db.models import F
from rest_framework import serializers
from rest_framework.test import APIRequestFactory

from realtime_drf import RealtimeQuerySet, RealtimeViewMixin
from realtime_drf.changes import Change
from tests.databases import ALL, get_pair
from tests.recording import PATH, RecordingTransport
from tests.sources.notes import FarBackend, NameChannel, NoteBackend, NoteSerializer, ShelfChannel
from tests.sources.test_rows import News, make, news, notes  # noqa: F401  fixtures
from tests.sources.test_views import NoteViewSet, call, list_news
from tests.todos.models import (
    Badge,
    Complaint,
    Country,
    Label,
    Mark,
    Note,
    Parcel,
    Seat,
    Shelf,
    Ticket,
    Todo,
    Topic,
    UrgentTodo,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def note(notes: Any, news: News) -> Note:
    """Create a note, and drop its event."""
    note = Note.objects.create(title="a")
    assert news.names == ["note.create"]
    return note


# Transactions


def test_a_durable_block_is_a_transaction(news: News, note: Note) -> None:
    with transaction.atomic(durable=True):
        note.save()
        assert news.names == []
    assert news.names == ["note.update"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_request_in_a_transaction_publishes_at_its_end(
    fails: bool,
    recording: RecordingTransport,
    notes: Any,
    monkeypatch: Any,
) -> None:
    class View(NoteViewSet):
        def finalize_response(self, *args: Any, **kwargs: Any) -> Any:
            assert recording.batches == []
            if fails:
                raise ZeroDivisionError
            return super().finalize_response(*args, **kwargs)

    class Atomic:
        @staticmethod
        def as_view(actions: Any) -> Any:
            return BaseHandler().make_view_atomic(View.as_view(actions))

    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    if fails:
        with pytest.raises(ZeroDivisionError):
            call(Atomic, "post", {"title": "a"})
        assert list_news(recording) == []
    else:
        call(Atomic, "post", {"title": "a"})
        assert list_news(recording) == [("note.create", "a", "1.1")]


@pytest.mark.django_db(transaction=True, databases=ALL)
def test_a_commit_in_a_thread_publishes_what_that_thread_wrote(
    news: News,
    notes: Any,
) -> None:
    using = get_pair("postgresql")[0]

    def write() -> None:
        try:
            with transaction.atomic(using):
                Note.objects.using(using).create(title="other")
        finally:
            connections[using].close()

    with transaction.atomic(using):
        Note.objects.using(using).create(title="own")
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        assert [event.data["title"] for event in news.events] == ["other"]
    assert [event.data["title"] for event in news.events] == ["own"]


# Methods of the ORM


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda note: Note(pk=note.pk + 1).save(force_insert=True), "create"),
        (lambda note: note.save(force_update=True), "update"),
        (lambda note: Note.objects.get_or_create(title="a"), None),
        (lambda note: Note.objects.get_or_create(title="b"), "create"),
        (lambda note: Note.objects.update_or_create({"title": "b"}, title="a"), "update"),
        (lambda note: Note.objects.update_or_create({"title": "b"}, title="c"), "create"),
        (lambda note: [each.save() for each in Note.objects.iterator()], "update"),
        (lambda note: Note.objects.in_bulk()[note.pk].delete(), "delete"),
        (lambda note: note.labels.create(name="x"), "update"),
        (lambda note: note.remarks.create(text="x"), "update"),
        (lambda note: Shelf.objects.create(name="x").notes.add(note, bulk=False), "update"),
        (lambda note: Shelf.objects.create(name="x").notes.create(title="b"), "create"),
    ],
)
def test_methods_of_managers_are_published(
    write: Callable[[Note], Any],
    expected: str | None,
    news: News,
    note: Note,
) -> None:
    write(note)
    [*names] = [event.name for event in news.events if "notes" in event.channels]
    assert names == ([f"note.{expected}"] if expected else [])


def test_rows_added_to_a_foreign_key_are_published_if_the_base_manager_is_ours(
    news: News, note: Note, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf.objects.create(name="x")
    shelf.notes.add(note)  # Django updates the rows with the base manager
    assert news.names == []
    monkeypatch.setitem(vars(Note._meta), "base_manager", Note.objects)
    shelf.notes.add(note)
    assert news.names == ["note.update"]


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda note: note.asave(), "update"),
        (lambda note: note.adelete(), "delete"),
        (lambda note: Note.objects.acreate(title="b"), "create"),
        (lambda note: Note.objects.abulk_create([Note(title="b")]), "create"),
        (lambda note: Note.objects.abulk_update([note], ["title"]), "update"),
        (lambda note: Note.objects.aupdate(title="b"), "update"),
        (lambda note: Note.objects.filter(pk=note.pk).adelete(), "delete"),
        (lambda note: Note.objects.aget_or_create(title="b"), "create"),
        (lambda note: Note.objects.aupdate_or_create({"title": "b"}, title="a"), "update"),
        (lambda note: note.labels.acreate(name="x"), "update"),
        (lambda note: note.remarks.acreate(text="x"), "update"),
    ],
)
def test_asynchronous_methods_of_managers_are_published(
    write: Callable[[Note], Any],
    expected: str,
    news: News,
    note: Note,
) -> None:

    async def run() -> None:
        await write(note)

    async_to_sync(run)()
    assert news.names == [f"note.{expected}"]


def test_coroutines_that_write_at_once_publish_one_event_each(
    news: News,
    note: Note,
) -> None:
    async def write() -> None:
        await asyncio.gather(*(Note.objects.acreate(title=title) for title in "bcd"))

    async_to_sync(write)()
    assert sorted(event.data["title"] for event in news.events) == ["b", "c", "d"]


def test_async_views_publish_one_event_and_not_to_its_sender(
    recording: RecordingTransport,
    notes: Any,
) -> None:
    # Its newest release cannot be imported with the oldest DRF that we support.
    adrf_serializers = pytest.importorskip("adrf.serializers", exc_type=AttributeError)
    adrf = pytest.importorskip("adrf.viewsets")

    class Serializer(adrf_serializers.ModelSerializer):  # type: ignore[misc,name-defined]
        class Meta:
            model = Note
            fields = ("id", "title")

    class View(RealtimeViewMixin, adrf.ModelViewSet):
        queryset = Note.objects.all()
        serializer_class = Serializer
        permission_classes = ()
        authentication_classes = ()

    handlers = {"post": "acreate", "patch": "partial_aupdate", "delete": "adestroy"}

    def request(method: str, data: Any = None, **kwargs: Any) -> None:
        made = getattr(APIRequestFactory(), method)(
            "/", data, format="json", headers={"X-Pusher-Socket-Id": "1.1"}
        )
        response = async_to_sync(View.as_view({method: handlers[method]}))(made, **kwargs)
        assert response.status_code < 300, response.data

    request("post", {"title": "a"})
    pk = Note.objects.get().pk
    request("patch", {"title": "b"}, pk=pk)
    request("delete", pk=pk)
    assert list_news(recording) == [
        ("note.create", "a", "1.1"),
        ("note.update", "b", "1.1"),
        ("note.delete", pk, "1.1"),
    ]


# Keys and classes


@pytest.mark.parametrize(
    ("values", "field", "value"),
    [
        (lambda: Country(code="de"), "name", "b"),
        (lambda: Parcel(), "state", "c"),
        (lambda: Seat(row="A", number=1), "taken", True),
    ],
)
def test_rows_of_any_key_are_published(
    values: Callable[[], Any],
    field: str,
    value: Any,
    news: News,
) -> None:
    row = values()
    model = type(row)
    make(model)
    rows: Any = RealtimeQuerySet(model)
    rows.bulk_create([row])
    RealtimeQuerySet(model).update(**{field: value})
    row.save()
    with transaction.atomic():
        row.save()
        RealtimeQuerySet(model).update(**{field: value})
    row.delete()
    events = news.events
    actions = [event.name.rpartition(".")[2] for event in events]
    assert actions == ["create", "update", "update", "update", "delete"]
    key = events[-1].data
    assert all(event.data.items() >= key.items() for event in events)


def test_a_proxy_may_have_a_backend_of_its_own(news: News) -> None:
    make(Todo, channels=("all",))
    make(UrgentTodo, channels=("urgent",), __qualname__="Urgent")
    UrgentTodo.objects.create(title="a")
    Todo.objects.create(title="b")
    assert [(event.name, event.channels) for event in news.events] == [
        ("urgenttodo.create", ("urgent",)),
        ("todo.create", ("all",)),
    ]


def test_rows_that_the_default_manager_hides_are_not_there_for_listeners(
    news: News,
) -> None:
    make(Ticket)
    ticket = Ticket.objects.create()
    ticket.is_open = False
    ticket.save()
    ticket.save()
    ticket.is_open = True
    ticket.save()
    Ticket.objects.update(is_open=False)
    assert news.names == ["ticket.create", "ticket.delete"] * 2


def test_the_version_of_a_parent_grows_with_its_child(news: News) -> None:
    make(Ticket, version_field="revision")
    child = Complaint.objects.create(text="a")
    child.save()
    child.save(update_fields=["text"])
    key = child.pk
    child.delete()
    assert [(event.name, event.data["revision"]) for event in news.events] == [
        ("ticket.create", 0),
        ("ticket.update", 1),
        ("ticket.update", 2),
        ("ticket.delete", 2),
    ]
    assert key is not None


# Relations


def show(*paths: str) -> type[serializers.BaseSerializer[Any]]:
    """Return a serializer of topics that shows relations."""

    class Serializer(serializers.ModelSerializer[Topic]):
        related = serializers.SlugRelatedField("name", many=True, read_only=True)
        narrower = serializers.SlugRelatedField("name", many=True, read_only=True)
        broader = serializers.SlugRelatedField("name", many=True, read_only=True)
        badge = serializers.SlugRelatedField("text", read_only=True)
        marks = serializers.SlugRelatedField("text", many=True, read_only=True)

        class Meta:
            model = Topic
            fields = ("name", *paths)

    for name in {"related", "narrower", "broader", "badge", "marks"} - set(paths):
        Serializer._declared_fields.pop(name)
    return Serializer


@pytest.mark.parametrize(
    ("path", "write", "undo"),
    [
        ("related", lambda a, b: a.related.add(b), lambda a, b: b.related.clear()),
        ("related", lambda a, b: a.related.set([b]), lambda a, b: b.delete()),
        ("narrower", lambda a, b: a.narrower.add(b), lambda a, b: b.broader.clear()),
        ("narrower", lambda a, b: b.broader.add(a), lambda a, b: b.delete()),
        ("broader", lambda a, b: b.narrower.add(a), lambda a, b: a.broader.remove(b)),
        (
            "badge",
            lambda a, b: Badge.objects.create(topic=a, text="x"),
            lambda a, b: Badge.objects.get().delete(),
        ),
        (
            "badge",
            lambda a, b: Badge.objects.create(topic=a, text="x"),
            lambda a, b: Badge.objects.filter(topic=a).delete(),
        ),
        (
            "marks",
            lambda a, b: Mark.objects.create(target=a, text="x"),
            lambda a, b: Mark.objects.get().delete(),
        ),
        (
            "marks",
            lambda a, b: a.marks.create(text="x"),
            lambda a, b: a.marks.clear(),
        ),
    ],
)
def test_what_a_relation_shows_is_up_to_date(
    path: str,
    write: Callable[..., Any],
    undo: Callable[..., Any],
    news: News,
) -> None:
    make(Topic, serializer_class=show(path), depends_on=(path,))
    known: dict[str, Any] = {}

    def listen() -> dict[str, Any]:
        for event in news.events:
            data: Any = event.data
            if event.name == "topic.delete":
                del known[data["name"]]
            else:
                known[data["name"]] = dict(data)
        return known

    def look() -> dict[str, Any]:
        return {row.pk: dict(show(path)(row).data) for row in Topic.objects.all()}

    one, other = (Topic.objects.create(name=name) for name in "ab")
    assert listen() == look()
    write(one, other)
    assert listen() == look()
    assert known["a"][path]
    undo(one, other)
    assert listen() == look()
    assert not known["a"][path]


@pytest.mark.parametrize(
    ("path", "before", "write"),
    [
        ("narrower", None, lambda a, b: a.narrower.add(b)),
        ("narrower", None, lambda a, b: b.broader.add(a)),
        ("narrower", lambda a, b: a.narrower.add(b), lambda a, b: a.narrower.clear()),
        ("narrower", lambda a, b: a.narrower.add(b), lambda a, b: b.broader.clear()),
        ("broader", None, lambda a, b: b.narrower.add(a)),
        ("broader", lambda a, b: a.broader.add(b), lambda a, b: b.narrower.clear()),
        ("related", None, lambda a, b: b.related.add(a)),
        ("related", lambda a, b: a.related.add(b), lambda a, b: b.related.clear()),
    ],
)
def test_a_relation_two_steps_away_touches_the_rows_that_lead_there(
    path: str, before: Any, write: Callable[..., Any], news: News
) -> None:
    make(Badge, depends_on=(f"topic__{path}",))
    one, other, third = (Topic.objects.create(name=name) for name in "abc")
    for topic in (one, other, third):
        Badge.objects.create(topic=topic, text=topic.name)
    if before:
        before(one, other)
    news.events  # noqa: B018
    write(one, other)
    shown = {event.data["text"] for event in news.events}
    assert shown == ({"a", "b"} if path == "related" else {"a"})


def test_a_relation_changed_in_a_move_of_what_it_shows(news: News) -> None:
    make(Topic, serializer_class=show("badge"), depends_on=("badge",))
    one, other = (Topic.objects.create(name=name) for name in "ab")
    badge = Badge.objects.create(topic=one, text="x")
    news.events  # noqa: B018
    badge.topic = other
    badge.save()
    assert sorted((event.data["name"], event.data["badge"]) for event in news.events) == [
        ("a", None),
        ("b", "x"),
    ]


def test_nested_serializers_show_what_the_commit_left(
    news: News,
    notes: Any,
) -> None:
    class LabelSerializer(serializers.ModelSerializer[Label]):
        class Meta:
            model = Label
            fields = ("id", "name")

    class Nested(serializers.ModelSerializer[Note]):
        labels = LabelSerializer(many=True)

        class Meta:
            model = Note
            fields = ("id", "title", "labels", "revision")

        def create(self, data: Any) -> Note:
            labels = [Label.objects.create(**each) for each in data.pop("labels")]
            note = super().create(data)
            note.labels.set(labels)
            return note

    notes.serializer_class = Nested
    serializer = Nested(data={"title": "a", "labels": [{"name": "x"}, {"name": "y"}]})
    serializer.is_valid(raise_exception=True)
    with transaction.atomic():
        serializer.save()
    [event] = news.events
    assert [each["name"] for each in event.data["labels"]] == ["x", "y"]
    Label.objects.filter(name="x").update(name="z")
    [event] = news.events
    assert [each["name"] for each in event.data["labels"]] == ["z", "y"]


def test_a_row_written_after_what_moved_it_left_where_it_was(news: News) -> None:
    make(Note, channels=(NameChannel(name=F("shelf__name")),), depends_on=("shelf",))
    shelf = Shelf.objects.create(name="old")
    note = Note.objects.create(title="a", shelf=shelf)
    news.events  # noqa: B018
    with transaction.atomic():
        shelf.name = "new"
        shelf.save()
        note.save()
    assert [(event.name, event.channels) for event in news.events] == [
        ("note.delete", ("private-names.old",)),
        ("note.create", ("private-names.new",)),
    ]


def test_a_row_written_after_what_hid_it_is_deleted(news: News) -> None:
    class Backend(FarBackend):
        pass

    note = Note.objects.create(title="a")
    note.labels.create(name="x")
    assert news.names == ["note.create"]
    with transaction.atomic():
        note.labels.clear()
        note.save()
    assert news.names == ["note.delete"]


# Backends


def test_only_the_actions_of_a_backend_are_published(news: News) -> None:
    make(Note, channels=("notes", ShelfChannel(pk=F("shelf_id"))), actions=("create",))
    note = Note.objects.create(title="a")
    note.shelf = Shelf.objects.create(name="one")
    note.save()
    note.delete()
    assert [(event.name, event.channels) for event in news.events] == [
        ("note.create", ("notes",)),
        ("note.create", (f"private-shelves.{note.shelf_id}",)),
    ]


def test_nothing_is_rendered_for_a_transport_that_is_not_enabled(
    settings: Any,
    recording: RecordingTransport,
    notes: Any,
) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH, "ENABLED": False}}

    class Unused(NoteSerializer):
        def to_representation(self, instance: Note) -> Any:
            raise AssertionError

    notes.serializer_class = Unused
    note = Note.objects.create(title="a")
    note.labels.add(Label.objects.create(name="x"))
    Note.objects.update(title="b")
    note.delete()
    assert recording.batches == []


@pytest.mark.parametrize(("excludes", "expected"), [(True, "1.1"), (False, None)])
def test_the_sender_is_left_out_unless_the_backend_wants_it(
    excludes: bool,
    expected: Any,
    recording: RecordingTransport,
    notes: Any,
) -> None:
    notes.exclude_sender = excludes
    call(NoteViewSet, "post", {"title": "a"})
    assert list_news(recording) == [("note.create", "a", expected)]


def test_an_event_that_adapt_drops_is_not_sent(news: News, notes: Any) -> None:
    notes.adapt = lambda self, event: None if event.data.get("title") == "b" else event
    Note.objects.bulk_create([Note(title=title) for title in "abc"])
    assert [event.data["title"] for event in news.events] == ["a", "c"]


def get_large_data(self: Any, change: Change[Any]) -> Any:
    return {"id": change.instance.pk, "text": "x" * 20_000}


def get_small_data(self: Any, change: Change[Any]) -> Any:
    return {"id": change.instance.pk, "is_small": True}


def test_what_is_too_large_is_replaced_on_the_same_channels(
    news: News,
    notes: Any,
) -> None:
    notes.get_data, notes.get_fallback_data = get_large_data, get_small_data
    one, other = (Shelf.objects.create(name=name) for name in "ab")
    note = Note.objects.create(title="a", shelf=one)
    news.events  # noqa: B018
    note.shelf = other
    note.save()
    assert [(event.name, event.channels, len(event.data)) for event in news.events] == [
        ("note.delete", (f"private-shelves.{one.pk}",), 2),
        ("note.update", ("notes",), 2),
        ("note.create", (f"private-shelves.{other.pk}",), 2),
    ]


def test_a_hook_that_makes_data_is_called_for_each_row(news: News, notes: Any) -> None:
    notes.get_data = lambda self, change: {"title": change.instance.title, "own": True}
    Note.objects.bulk_create([Note(title=title) for title in "ab"])
    assert [event.data for event in news.events] == [
        {"title": "a", "own": True},
        {"title": "b", "own": True},
    ]


def test_a_hook_that_localizes_is_called_with_each_change(news: News) -> None:
    seen: list[Any] = []

    class Backend(NoteBackend):
        def localize(self, change: Change[Note]) -> Any:
            seen.append(change.instance.title)
            return super().localize(change)

    Note.objects.bulk_create([Note(title=title) for title in "ab"])
    assert [event.data["title"] for event in news.events] == ["a", "b"]
    assert set(seen) == {"a", "b"}
