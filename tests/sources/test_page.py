"""The page about changes of rows is right about what is published."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final

import pytest
from django.apps import apps
from django.core import management, serializers
from django.db import connection, models
from django.db.migrations.state import ProjectState
from django.db.models.deletion import SET_NULL

from realtime_drf import publish_change, suppress_events
from tests.pages import ROOT
from tests.recording import RecordingTransport
from tests.sources.notes import NoteBackend
from tests.todos.models import Label, Marking, Note, Remark, Shelf

pytestmark = pytest.mark.django_db(transaction=True)

Write = Callable[[Note], object]


def load_fixture(note: Note) -> None:
    path = ROOT / "tests" / "todos" / "notes.json"
    path.write_text(serializers.serialize("json", [note]))
    try:
        management.call_command("loaddata", str(path), verbosity=0)
    finally:
        path.unlink()


async def change_async(note: Note) -> None:
    await Note.objects.acreate(title="b")
    await Note.objects.abulk_create([Note(title="c")])
    await Note.objects.aupdate(title="d")
    await note.asave()


def change_relations(note: Note) -> None:
    label = Label.objects.create(name="new")
    note.labels.add(label)
    note.labels.remove(label)
    note.labels.set([label])
    note.labels.clear()


def change_related(note: Note) -> None:
    remark = Remark.objects.create(note=note, text="a")
    remark.save()
    remark.delete()


def change_through(note: Note) -> None:
    marking = Marking.objects.create(note=note, label=Label.objects.create(name="a"))
    marking.save()
    marking.delete()


def add_in_bulk(note: Note) -> None:
    Shelf.objects.create(name="two").notes.add(note)  # type: ignore[attr-defined]


def change_by_raw_sql(note: Note) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE todos_note SET title = 'b'")


def change_by_a_trigger(note: Note) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TRIGGER empty_shelf AFTER UPDATE ON todos_note "
            "BEGIN DELETE FROM todos_note WHERE title = 'first'; END"
        )
        try:
            cursor.execute("UPDATE todos_note SET is_hidden = is_hidden")
        finally:
            cursor.execute("DROP TRIGGER empty_shelf")
    assert not Note.objects.exists()


def suppress(note: Note) -> None:
    with suppress_events():
        note.save()


def change_by_another_manager(note: Note) -> None:
    plain: Any = models.Manager()
    plain.model = Note
    plain.update(title="b")
    plain.bulk_update([note], ["title"])
    plain.bulk_create([Note(title="c")])


def migrate(note: Note) -> None:
    historical: Any = ProjectState.from_apps(apps).apps.get_model("todos", "Note")
    historical.objects.create(title="b")
    historical.objects.get(pk=note.pk).save()


def save(note: Note) -> None:
    note.save()
    Note.objects.create(title="b")
    Note.objects.get_or_create(title="c")
    Note.objects.update_or_create(title="c", defaults={"title": "d"})


def delete(note: Note) -> None:
    Note.objects.create(title="b").delete()
    Note.objects.all().delete()


def change_in_bulk(note: Note) -> None:
    Note.objects.update(title="b")
    Note.objects.bulk_update([note], ["title"])
    Note.objects.bulk_create([Note(title="c")])


def delete_shelf(note: Note) -> None:
    Shelf.objects.all().delete()


PUBLISHED: Final[dict[str, tuple[Write, list[str]]]] = {
    "`save()`, `create()`, `get_or_create()`, `update_or_create()`": (
        save,
        ["update", "create", "create", "update"],
    ),
    "`delete()` of a row or of a queryset": (delete, ["create", "delete", "delete"]),
    "rows deleted by `CASCADE`": (delete_shelf, ["delete"]),
    "`update()`, `bulk_create()`, `bulk_update()` of a `RealtimeManager`": (
        change_in_bulk,
        ["update", "update", "create"],
    ),
    "`add()`, `set()`, `remove()`, `clear()` of a relation in `depends_on`": (
        change_relations,
        ["update"] * 4,
    ),
    "a row, saved or deleted, to which a relation in `depends_on` leads": (
        change_related,
        ["update"] * 3,
    ),
    "a foreign key that `SET_NULL`, `SET_DEFAULT` or `SET()` changes": (
        delete_shelf,
        ["delete", "update"],
    ),
    "a row of a `through` model, saved or deleted": (change_through, ["update"] * 3),
    "the async methods: `asave()`, `acreate()`, `aupdate()`, `abulk_create()`": (
        lambda note: asyncio.run(change_async(note)),
        ["create", "create", *["update"] * 3, "update"],
    ),
    '`publish_change(queryset, action="update")`': (
        lambda note: publish_change(Note.objects.all(), action="update"),
        ["update"],
    ),
}
"""What is published, by the rows of the page's table: the write, and the actions of its events."""

SILENT: Final[dict[str, Write]] = {
    "the same of any other manager": change_by_another_manager,
    "`add()` of a reverse foreign key, unless `bulk=False`": add_in_bulk,
    "what a `with suppress_events():` block does": suppress,
    "raw SQL": change_by_raw_sql,
    "what the database does by itself: `DB_CASCADE`, `DB_SET_NULL`, triggers": change_by_a_trigger,
    "models of a migration": migrate,
    "`loaddata`": load_fixture,
}


def read_table() -> dict[str, str]:
    """Return what the page says is published."""
    page = (ROOT / "docs" / "rows.md").read_text()
    table = page.partition("| change | published |")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| (.+) \| (yes|no) \|$", table, re.MULTILINE))


def test_the_table_lists_what_is_tried_here() -> None:
    assert read_table() == {**dict.fromkeys(PUBLISHED, "yes"), **dict.fromkeys(SILENT, "no")}


@pytest.mark.parametrize("change", [*PUBLISHED, *SILENT])
def test_the_table_is_right(
    change: str, recording: RecordingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, actions = PUBLISHED.get(change) or (SILENT[change], [])
    remote: Any = Note._meta.get_field("shelf").remote_field
    is_cleared = "`SET_NULL`" in change
    if is_cleared:
        monkeypatch.setattr(remote, "on_delete", SET_NULL)

    class Backend(NoteBackend):
        depends_on = () if is_cleared else NoteBackend.depends_on

    with suppress_events():
        note = Note.objects.create(title="first", shelf=Shelf.objects.create(name="one"))
    write(note)
    events = [event for batch in recording.batches for event in batch]
    assert [event.name.removeprefix("note.") for event in events] == actions
