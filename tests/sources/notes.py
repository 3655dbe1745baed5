"""A backend of notes that shows all that a row may depend on, and what its listeners know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import F, QuerySet
from rest_framework import serializers

from realtime_drf import Event, PrivateChannel, RealtimeBackend
from realtime_drf.backends import registry
from realtime_drf.channels import registry as channel_registry
from tests.todos.models import Label, Marking, Note, Remark, Shelf


class ShelfChannel(PrivateChannel):
    """The listeners of a shelf."""

    pattern = "shelves.<int:pk>"

    def authorize(self, request: Any, pk: int) -> bool:
        return True


class NameChannel(PrivateChannel):
    """The listeners of all shelves of a name."""

    pattern = "names.<str:name>"

    def authorize(self, request: Any, name: str) -> bool:
        return True


for channel in (ShelfChannel, NameChannel):  # tests of other modules count what there is
    channel_registry.channels.remove(channel)


class NoteSerializer(serializers.ModelSerializer[Note]):
    """All that a listener sees of a note."""

    labels = serializers.SlugRelatedField("name", many=True, read_only=True)
    marks = serializers.SlugRelatedField("name", many=True, read_only=True)
    remarks = serializers.SlugRelatedField("text", many=True, read_only=True)
    shelf_name = serializers.CharField(source="shelf.name", default=None, read_only=True)

    class Meta:
        model = Note
        fields = (
            *("id", "title", "shelf", "shelf_name", "cover"),
            *("labels", "marks", "remarks", "revision"),
        )


def get_visible() -> QuerySet[Note]:
    """Return the notes that exist for listeners, as one would fetch them."""
    return (
        Note.objects.filter(is_hidden=False)
        .select_related("shelf")
        .prefetch_related("labels", "marks", "remarks")
    )


class NoteBackend(RealtimeBackend[Note]):
    """What is published of notes: to all, and to the listeners of their shelf."""

    serializer_class = NoteSerializer
    observe = True
    channels = ("notes", ShelfChannel(pk=F("shelf_id")))
    depends_on = ("labels", "marks", "shelf", "remarks")
    version_field = "revision"

    class Meta:
        abstract = True

    def get_queryset(self) -> QuerySet[Note]:
        return get_visible()


class PlainBackend(NoteBackend):
    """A backend of all notes: where one is, is read by a compiled query."""

    class Meta:
        abstract = True

    get_queryset = RealtimeBackend.get_queryset


class FarBackend(NoteBackend):
    """A backend of notes that are moved by changes of their shelf and labels."""

    channels = ("notes", NameChannel(name=F("shelf__name")))

    class Meta:
        abstract = True

    def get_queryset(self) -> QuerySet[Note]:
        return get_labelled()


def get_labelled() -> QuerySet[Note]:
    """Return the notes that have labels."""
    return Note.objects.filter(labels__isnull=False).distinct()


def find_places(note: Note) -> list[str]:
    """Return the channels of a note of `NoteBackend`."""
    return ["notes", *([] if note.shelf_id is None else [f"private-shelves.{note.shelf_id}"])]


def find_far_places(note: Note) -> list[str]:
    """Return the channels of a note of `FarBackend`."""
    return ["notes", *([] if note.shelf is None else [f"private-names.{note.shelf.name}"])]


def find_truth(
    using: str = "default",
    find: Callable[[], QuerySet[Note]] = get_visible,
    places: Callable[[Note], list[str]] = find_places,
) -> dict[str, dict[int, Any]]:
    """Return what the listeners of each channel should know, by the database."""
    truth: dict[str, dict[int, Any]] = defaultdict(dict)
    for note in find().using(using):
        data = dict(NoteSerializer(note).data)
        for channel in places(note):
            truth[channel][note.pk] = data
    return {channel: rows for channel, rows in truth.items() if rows}


class Mirror:
    """A strict listener of all channels: news that do not fit what it knows are a failure."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, Any]] = defaultdict(dict)

    def take(self, events: Iterable[Event]) -> None:
        """Do what the events say."""
        for event in events:
            for channel in event.channels:
                self._take_one(channel, event.name.removeprefix("note."), event.data)

    @property
    def known(self) -> dict[str, dict[int, Any]]:
        """What is known of each channel that has rows."""
        return {channel: rows for channel, rows in self.rows.items() if rows}

    def _take_one(self, channel: str, action: str, data: Any) -> None:
        rows = self.rows[channel]
        is_known = data["id"] in rows
        assert is_known == (action != "create"), (channel, action, data)
        if action == "delete":
            assert set(data) == {"id", "revision"}
            assert data["revision"] >= rows[data["id"]]["revision"]
            del rows[data["id"]]
        else:
            if channel != "notes":
                own = f"private-shelves.{data['shelf']}", f"private-names.{data['shelf_name']}"
                assert channel in own, (channel, data)
            assert action == "create" or data["revision"] >= rows[data["id"]]["revision"]
            rows[data["id"]] = data


def clear(using: str = "default") -> None:
    """Delete all rows of a database."""
    for model in (Remark, Marking, Note, Label, Shelf):
        model._base_manager.all()._raw_delete(using)


def forget(backend_class: type[RealtimeBackend[Any]]) -> None:
    """Take a backend away again."""
    registry.unregister(backend_class)
