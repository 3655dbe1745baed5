"""Rows at the edges: keys given as text, hooks that raise, saves that can only update."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import transaction

from realtime_drf import publish_change
from realtime_drf.changes import Change
from tests.sources.test_rows import News, make, news, notes  # noqa: F401  fixtures
from tests.todos.models import Node, Note, Parcel, Remark

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
