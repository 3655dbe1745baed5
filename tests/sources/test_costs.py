"""What observing costs: memory and queries, and which queries are compiled once."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, models, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext, isolate_apps
from rest_framework import serializers

from realtime_drf import RealtimeBackend
from realtime_drf.backends import registry
from realtime_drf.sources import RealtimeManager
from realtime_drf.sources.compiled import is_plain
from realtime_drf.sources.placements import get_placements
from realtime_drf.transports import transports
from tests.databases import ALL, get_pair, on_each_database
from tests.recording import RecordingTransport
from tests.sources.notes import PlainBackend, ShelfChannel
from tests.todos.models import Note, Shelf

pytestmark = pytest.mark.django_db(transaction=True)


class TitleSerializer(serializers.ModelSerializer[Note]):
    class Meta:
        model = Note
        fields = ("id", "title")


def observe(**attributes: Any) -> type[RealtimeBackend[Note]]:
    names = {"serializer_class": TitleSerializer, "channels": ("notes",), **attributes}
    return type("Backend", (RealtimeBackend,), names)


def fill(count: int) -> None:
    Note._base_manager.bulk_create([Note(title="x" * 100) for _ in range(count)])


def count(function: Callable[[], object], using: str = "default") -> int:
    with CaptureQueriesContext(connections[using]) as queries:
        function()
    return len(queries)


def test_the_memory_of_an_update_does_not_grow_with_its_payloads(
    recording: RecordingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe()
    fill(6_000)
    sizes: list[int] = []
    monkeypatch.setattr(
        transports["default"], "send", lambda events: sizes.extend(len(e.body) for e in events)
    )
    Note.objects.update(title="y")  # what is imported and cached at first
    peaks = []
    for length in (10, 2_000):
        sizes.clear()
        gc.collect()
        tracemalloc.start()
        Note.objects.update(title="z" * length)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert len(sizes) == 6_000
    # There are 12 chunks of rows. Of one, a text is there in its row, its data and its event.
    assert peaks[1] - peaks[0] < sum(sizes) / 2


def test_beyond_refresh_above_no_row_is_fetched(recording: RecordingTransport) -> None:
    observe(refresh_above=10)
    fill(1_200)
    # BEGIN, the keys, the UPDATE, COMMIT
    assert count(lambda: Note.objects.update(title="b")) <= 4
    [event] = [event for batch in recording.batches for event in batch]
    assert event.name == "note.refresh"


def test_bulk_create_makes_one_query_more_for_each_chunk_of_500() -> None:
    backend = observe()
    Note.objects.bulk_create([Note(title="a")])

    def create() -> None:
        with transaction.atomic():
            Note.objects.bulk_create([Note(title="a") for _ in range(1_000)])

    observed = count(create)
    registry.unregister(backend)
    assert observed - count(create) == 2


@on_each_database
@pytest.mark.django_db(transaction=True, databases=ALL)
def test_where_a_row_was_is_one_compiled_query_whatever_its_key_is(vendor: str) -> None:
    class Backend(PlainBackend):
        pass

    using = get_pair(vendor)[0]
    shelf = Shelf.objects.using(using).create(name="a")
    keys = [Note.objects.using(using).create(title="a", shelf=shelf).pk for _ in range(3)]
    placements = get_placements(registry.get_backends(Note)[0])
    for key in keys:
        assert count(lambda key=key: placements.read([key], using), using) == 1
        place = placements.read([key], using)[key]
        assert place.channels == ("notes", f"private-shelves.{shelf.pk}")
        assert count(lambda key=key: placements.fetch([key], using), using) == 1
        found, expected = placements.fetch([key], using)[0], Note.objects.using(using).get(pk=key)
        states = vars(found).pop("_state"), vars(expected).pop("_state")
        assert vars(found) == vars(expected)
        assert [(each.db, each.adding) for each in states] == [(using, False)] * 2
    queries = vars(connections[using])["_realtime_drf_queries"][placements]
    assert len(queries) == 2
    assert None not in queries.values()
    assert placements.read([keys[-1] + 1], using) == {}
    assert placements.read([str(keys[0])], using).keys() == {keys[0]}


def test_a_manager_with_a_queryset_of_its_own_is_asked_each_time() -> None:
    class Filtering(models.Manager[Any]):
        def get_queryset(self) -> models.QuerySet[Any]:
            return super().get_queryset()

    class Scoped(models.QuerySet[Any]):
        def filter(self, *args: Any, **kwargs: Any) -> Any:
            return super().filter(*args, **kwargs)

    with isolate_apps("tests.todos"):
        found = {}
        for name, manager in {
            "plain": models.Manager(),
            "ours": RealtimeManager(),
            "filtering": Filtering(),
            "scoped": Scoped.as_manager(),
        }.items():
            body = {"objects": manager, "__module__": "tests.todos.models"}
            found[name] = is_plain(type(name.title(), (models.Model,), body))
    assert found == {"plain": True, "ours": True, "filtering": False, "scoped": False}


def test_a_filter_that_depends_on_the_moment_is_asked_each_time(
    recording: RecordingTransport,
) -> None:
    visible: list[int] = []

    class Backend(PlainBackend):
        def get_queryset(self) -> models.QuerySet[Note]:
            return Note._default_manager.filter(pk__in=visible)

    note = Note.objects.create(title="a")
    placements = get_placements(registry.get_backends(Note)[0])
    assert placements.read([note.pk], "default") == {}
    visible.append(note.pk)
    assert placements.read([note.pk], "default").keys() == {note.pk}


def test_a_row_that_moves_after_a_write_that_does_not_move_it_leaves_its_channel(
    recording: RecordingTransport,
) -> None:
    class Backend(PlainBackend):
        channels = (ShelfChannel(pk=F("shelf_id")),)

    old, new = (Shelf.objects.create(name=name) for name in "ab")
    Note.objects.create(title="a", shelf=old)
    recording.batches.clear()
    with transaction.atomic():
        Note.objects.update(title="b")
        Note.objects.update(shelf=new)
    sent = [(event.name, event.channels) for batch in recording.batches for event in batch]
    assert sent == [
        ("note.delete", (f"private-shelves.{old.pk}",)),
        ("note.create", (f"private-shelves.{new.pk}",)),
    ]
