"""What the admin does is published: one event a row, with all that its form has saved."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import path
from pytest_django import Settings

from realtime_drf import suppress_events
from tests.recording import RecordingTransport
from tests.sources.notes import NoteBackend
from tests.todos.models import Label, Note, Remark, Shelf

pytestmark = pytest.mark.django_db(transaction=True)


class RemarkInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Remark
    extra = 0


class NoteInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Note
    extra = 0
    fields = ("title",)


class NoteAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    inlines = (RemarkInline,)


class ShelfAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    inlines = (NoteInline,)


site = admin.AdminSite()
site.register(Note, NoteAdmin)
site.register(Shelf, ShelfAdmin)
site.register(Label)

urlpatterns = [path("admin/", site.urls)]


@pytest.fixture
def client(settings: Settings) -> Client:
    """A client of the admin, signed in as a superuser."""
    settings.ROOT_URLCONF = __name__
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture(autouse=True)
def _backend() -> None:
    type("Backend", (NoteBackend,), {})


@pytest.fixture
def shelf() -> Shelf:
    with suppress_events():
        return Shelf.objects.create(name="one")


def post(client: Client, url: str, **data: Any) -> None:
    response = client.post(f"/admin/todos/{url}", data)
    assert response.status_code == 302, response.content.decode()


def formset(name: str, *rows: dict[str, Any], initial: int = 0) -> dict[str, Any]:
    """Return the data of inlines."""
    data: dict[str, Any] = {f"{name}-TOTAL_FORMS": len(rows), f"{name}-INITIAL_FORMS": initial}
    for number, row in enumerate(rows):
        data |= {f"{name}-{number}-{field}": value for field, value in row.items()}
    return data


def list_news(recording: RecordingTransport) -> list[tuple[str, str, Any]]:
    events = [event for batch in recording.batches for event in batch]
    recording.batches.clear()
    return [
        (event.name.removeprefix("note."), channel, event.data)
        for event in events
        for channel in event.channels
    ]


def brief(recording: RecordingTransport) -> list[tuple[str, str]]:
    return [(action, channel) for action, channel, _ in list_news(recording)]


def test_a_form_with_inlines_and_many_to_many_is_one_create(
    client: Client, recording: RecordingTransport, shelf: Shelf
) -> None:
    label = Label.objects.create(name="new")
    remarks = formset("remarks", {"text": "a"}, {"text": "b"})
    post(client, "note/add/", title="x", shelf=shelf.pk, labels=label.pk, revision=0, **remarks)
    news = list_news(recording)
    assert [(action, channel) for action, channel, _ in news] == [
        ("create", "notes"),
        ("create", f"private-shelves.{shelf.pk}"),
    ]
    for _, _, data in news:
        assert (data["labels"], data["remarks"], data["shelf_name"]) == (["new"], ["a", "b"], "one")


def test_a_form_that_moves_a_row_is_a_delete_and_a_create(
    client: Client, recording: RecordingTransport, shelf: Shelf
) -> None:
    with suppress_events():
        other = Shelf.objects.create(name="other")
        label = Label.objects.create(name="new")
        note = Note.objects.create(title="x", shelf=shelf)
    url = f"note/{note.pk}/change/"
    data = {"title": "y", "revision": 1, **formset("remarks")}
    post(client, url, shelf=other.pk, labels=label.pk, **data)
    news = {(action, channel): data for action, channel, data in list_news(recording)}
    left = ("delete", f"private-shelves.{shelf.pk}")
    assert set(news) == {
        left,
        ("update", "notes"),
        ("create", f"private-shelves.{other.pk}"),
    }
    assert set(news[left]) == {"id", "revision"}


def test_rows_in_inlines_are_published_once_each(
    client: Client, recording: RecordingTransport, shelf: Shelf
) -> None:
    with suppress_events():
        kept, gone = (Note.objects.create(title=title, shelf=shelf) for title in ("kept", "gone"))
    rows = formset(
        "notes",
        {"id": kept.pk, "shelf": shelf.pk, "title": "changed"},
        {"id": gone.pk, "shelf": shelf.pk, "title": "gone", "DELETE": "on"},
        {"shelf": shelf.pk, "title": "new"},
        initial=2,
    )
    post(client, f"shelf/{shelf.pk}/change/", name="one", **rows)
    news = list_news(recording)
    found = {(action, data["id"]) for action, channel, data in news if channel == "notes"}
    new = Note.objects.get(title="new")
    assert found == {("update", kept.pk), ("delete", gone.pk), ("create", new.pk)}
    assert len(news) == 2 * len(found)


def test_the_delete_action_is_one_delete_a_row(
    client: Client, recording: RecordingTransport, shelf: Shelf
) -> None:
    with suppress_events():
        notes = [Note.objects.create(title=title, shelf=shelf) for title in "ab"]
    data = {"action": "delete_selected", "_selected_action": [note.pk for note in notes]}
    post(client, "note/", **data, post="yes")
    assert sorted(brief(recording)) == sorted(
        [("delete", "notes"), ("delete", f"private-shelves.{shelf.pk}")] * 2
    )


def test_a_cascade_is_one_delete_a_row(
    client: Client, recording: RecordingTransport, shelf: Shelf
) -> None:
    with suppress_events():
        note = Note.objects.create(title="a", shelf=shelf)
        Remark.objects.create(note=note, text="a")
    post(client, f"shelf/{shelf.pk}/delete/", post="yes")
    assert sorted(brief(recording)) == [
        ("delete", "notes"),
        ("delete", f"private-shelves.{shelf.pk}"),
    ]


def test_a_renamed_label_is_an_update_of_the_rows_that_show_it(
    client: Client, recording: RecordingTransport, shelf: Shelf
) -> None:
    with suppress_events():
        label = Label.objects.create(name="old")
        Note.objects.create(title="a").labels.add(label)
    post(client, f"label/{label.pk}/change/", name="new")
    [(action, _, data)] = list_news(recording)
    assert (action, data["labels"]) == ("update", ["new"])
