"""Rows at the edges: keys given as text, hooks that raise, saves that can only update."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from realtime_drf import UserChannel, publish_change, suppress_events
from realtime_drf.changes import Change
from realtime_drf.sources import RealtimeQuerySet
from tests.databases import ALL, get_pair
from tests.sources.notes import ShelfChannel
from tests.sources.test_rows import News, make, news, notes  # noqa: F401  fixtures
from tests.todos.models import Country, Node, Note, Parcel, Remark, Shelf

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_key_given_as_text_is_the_same_row(news: News) -> None:  # noqa: F811
    make(Parcel)
    key = uuid.uuid4()
    Parcel(id=str(key)).save()
    row = Parcel.objects.get()
    same = Parcel(id=str(key), price=2)
    same._state.adding = False
    same.save()
    publish_change(same, action="update")
    same.delete()
    assert row.pk == key
    assert [event.name for event in news.events] == [
        "parcel.create",
        "parcel.update",
        "parcel.update",
        "parcel.delete",
    ]


def test_a_save_that_can_only_update_is_an_update(news: News) -> None:  # noqa: F811
    make(Parcel)
    key = Parcel.objects.create().pk
    news.events  # noqa: B018
    Parcel(id=key, price=2).save(force_update=True)
    assert news.names == ["parcel.update"]


def test_rows_inserted_in_bulk_touch_what_shows_them(news: News, notes: Any) -> None:  # noqa: F811
    note = Note.objects.create(title="a")
    news.events  # noqa: B018
    [remark] = Remark.objects.bulk_create([Remark(note=note, text="x")])
    [event] = news.events
    assert event.data["remarks"] == ["x"]
    remark.text = "y"
    Remark.objects.bulk_update([remark], ["text"])
    [event] = news.events
    assert event.data["remarks"] == ["y"]


def test_a_hook_that_raises_does_not_break_a_save(news: News, caplog: Any) -> None:  # noqa: F811
    def get_channels(self: Any, change: Change[Any]) -> Any:
        raise ZeroDivisionError

    make(Note, channels=(), get_channels=get_channels)
    make(Note, channels=("others",), __qualname__="Other")
    note = Note.objects.create(title="a")
    note.title = "b"
    note.save()
    with transaction.atomic():
        note.save()
        Note.objects.update(title="c")
    note.delete()
    assert [event.channels for event in news.events] == [("others",)] * 4


def test_counting_rows_that_raises_loses_no_other_backend(news: News) -> None:  # noqa: F811
    def get_channels(self: Any, change: Change[Any]) -> Any:
        raise ZeroDivisionError

    make(Note, channels=(), get_channels=get_channels, refresh_above=1)
    make(Note, channels=("others",), __qualname__="Other")
    Note.objects.bulk_create([Note(title="a"), Note(title="b")])
    assert [event.channels for event in news.events] == [("others",)] * 2


def test_a_relation_to_itself(news: News) -> None:  # noqa: F811
    make(Node, depends_on=("parent",))
    root = Node.objects.create(name="root")
    child = Node.objects.create(name="child", parent=root)
    news.events  # noqa: B018
    root.name = "new"
    root.save()
    assert sorted(event.data["id"] for event in news.events) == [root.pk, child.pk]


def test_a_delete_carries_the_key_and_the_version_alone(news: News) -> None:  # noqa: F811
    def get_data(self: Any, change: Change[Any]) -> Any:
        assert change.action != "delete"
        return {"secret": 1}

    make(Note, observe=False, version_field="revision", get_data=get_data)
    note = Note.objects.create(title="a", revision=3)
    publish_change(note, action="update")
    publish_change(note, action="delete")
    assert [event.data for event in news.events] == [
        {"secret": 1},
        {"id": note.pk, "revision": 3},
    ]


@pytest.mark.parametrize("column", [None, "name"])
def test_a_row_whose_key_was_assigned_is_created_once(
    news: News,  # noqa: F811
    column: str | None,
) -> None:
    make(Country, channels=("rows", *([UserChannel(F(column))] if column else [])))
    for _ in range(2):
        Country(code="A", name="B").save()
    with transaction.atomic():
        Country.objects.all().delete()
        Country.objects.create(code="A", name="B")
    assert news.names == ["country.create", "country.update", "country.update"]


@pytest.mark.parametrize(
    ("deferred", "given", "grown"),
    [
        (["title"], None, True),
        (["title", "revision"], None, True),
        ([], ["title"], True),
        ([], ["title", "revision"], False),
        (["title"], ["revision"], False),
    ],
)
def test_a_version_grows_unless_it_is_given(
    news: News,  # noqa: F811
    deferred: list[str],
    given: list[str] | None,
    grown: bool,
) -> None:
    make(Note, version_field="revision")
    note = Note.objects.defer(*deferred).get(pk=Note.objects.create(title="a", revision=5).pk)
    note.save(update_fields=given)
    assert note.revision == 5 + grown == Note.objects.get().revision


def test_looking_for_conflicts_takes_a_query_for_each_hundred_rows(
    news: News,  # noqa: F811
) -> None:
    make(Country)
    Country.objects.create(code="A0", name="old")

    def insert(count: int) -> int:
        rows = [Country(code=f"A{number}", name="new") for number in range(count)]
        with CaptureQueriesContext(connection) as queries:
            RealtimeQuerySet(Country).bulk_create(
                rows, update_conflicts=True, update_fields=["name"], unique_fields=["code"]
            )
        return len([each for each in queries if each["sql"].startswith("SELECT")])

    few = insert(5)
    assert sorted(news.names) == [*["country.create"] * 5, "country.update"]
    assert insert(150) == few + 1


@pytest.mark.django_db(transaction=True, databases=ALL)
def test_a_queryset_is_published_from_the_database_that_it_names(
    news: News,  # noqa: F811
    notes: Any,  # noqa: F811
) -> None:
    using = get_pair("sqlite")[1]
    with suppress_events():
        Note.objects.create(pk=1, title="of another")
        Note.objects.using(using).create(pk=1, title="of this one")
    publish_change(Note.objects.using(using).filter(pk=1), action="update")
    assert [event.data["title"] for event in news.events] == ["of this one"]


def test_a_slice_of_a_queryset_is_published(news: News, notes: Any) -> None:  # noqa: F811
    with suppress_events():
        Note.objects.bulk_create([Note(title=title) for title in "ab"])
    publish_change(Note.objects.order_by("-title")[:1], action="update")
    assert [event.data["title"] for event in news.events] == ["b"]


def test_a_row_that_cannot_be_rendered_costs_no_refresh(news: News) -> None:  # noqa: F811
    def get_data(self: Any, change: Change[Any]) -> Any:
        raise ZeroDivisionError

    shelf = Shelf.objects.create(name="a")
    channels = ("notes", ShelfChannel(pk=F("shelf_id")))
    make(Note, channels=channels, refresh_above=2, get_data=get_data)
    Note.objects.bulk_create([Note(title="a", shelf=shelf), Note(title="b"), Note(title="c")])
    assert [(event.name, event.channels) for event in news.events] == [("note.refresh", ("notes",))]


def test_suppression_ends_with_the_outermost_block(news: News, notes: Any) -> None:  # noqa: F811
    quiet = suppress_events()
    with quiet:
        with quiet:
            pass
        Note.objects.create(title="a")
    Note.objects.create(title="b")
    assert [event.data["title"] for event in news.events] == ["b"]


def test_an_app_that_is_made_ready_again_publishes_once(news: News, notes: Any) -> None:  # noqa: F811
    apps.get_app_config("realtime_drf").ready()
    note = Note.objects.create(title="a")
    publish_change(note, action="update")
    assert news.names == ["note.create", "note.update"]
