"""Checks of backends that observe rows."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import models
from django.db.models import F
from django.test.utils import isolate_apps

from realtime_drf import RealtimeBackend
from realtime_drf.backends import registry
from realtime_drf.sources import RealtimeManager
from realtime_drf.sources.dependencies import BY_THE_DATABASE
from tests.sources.notes import NoteBackend, NoteSerializer, ShelfChannel
from tests.todos.models import Note, Shelf, Todo
from tests.views import make_serializer


def find(backend: type[Any]) -> list[tuple[str, str]]:
    """Return the ids of what is found of one backend, with the messages."""
    registry._backends = {backend.get_model(): [backend()]}
    return [
        (str(each.id).rpartition(".")[2], each.msg) for each in run_checks(tags=["realtime_drf"])
    ]


def test_a_backend_that_observes_as_it_should_is_not_reported() -> None:
    class Backend(NoteBackend):
        pass

    assert find(Backend) == []


@pytest.mark.parametrize(
    "hooks",
    [
        {"model": Note, "channels": ("notes",)},
        {"serializer_class": NoteSerializer},
    ],
)
def test_a_backend_that_is_to_observe_and_cannot_is_an_error(hooks: Any) -> None:
    backend = type("Blind", (RealtimeBackend,), {"observe": True, **hooks})
    assert "E014" in [id_ for id_, _ in find(backend)]
    assert "E014" not in [id_ for id_, _ in find(type("Plain", (RealtimeBackend,), hooks))]


@pytest.mark.parametrize(
    ("hooks", "name"),
    [
        ({"depends_on": ("tag",)}, "'tag'"),
        ({"depends_on": ("title",)}, "'title'"),
        ({"depends_on": ("shelf__name",)}, "'shelf__name'"),
        ({"version_field": "version"}, "'version'"),
        ({"channels": (ShelfChannel(pk=F("shelve_id")),)}, "F('shelve_id')"),
    ],
)
def test_a_name_that_leads_nowhere_is_an_error(hooks: Any, name: str) -> None:
    [(id_, message)] = find(type("Backend", (NoteBackend,), hooks))
    assert id_ == "E015"
    assert name in message


def test_a_manager_that_publishes_nothing_of_bulk_writes_is_warned_of() -> None:
    backend = type(
        "Backend",
        (RealtimeBackend,),
        {"serializer_class": make_serializer(Todo, "id"), "channels": ("todos",)},
    )
    [(id_, message)] = find(backend)
    assert id_ == "W011"
    assert "bulk_create()" in message


@pytest.mark.skipif(not BY_THE_DATABASE, reason="Django 6.0 and older have none")
@pytest.mark.parametrize("on_delete", BY_THE_DATABASE, ids=str)
def test_what_the_database_does_by_itself_is_warned_of(on_delete: Any) -> None:
    with isolate_apps("tests.todos"):

        class Sheet(models.Model):
            shelf = models.ForeignKey(Shelf, on_delete, null=True, db_default=None)
            objects = RealtimeManager()

            class Meta:
                app_label = "todos"

        class Sheets(RealtimeBackend[Sheet]):
            serializer_class = make_serializer(Sheet)
            channels = ("sheets",)

        [(id_, message)] = find(Sheets)
    assert id_ == "W013"
    assert f"Sheet.shelf is {on_delete}" in message


def test_get_channels_that_reads_what_is_not_there_is_warned_of() -> None:
    class Backend(NoteBackend):
        def get_channels(self, change: Any) -> Any:
            return ["a"] if change.previous else change.channels

    [(id_, message)] = find(Backend)
    assert id_ == "W019"
    assert "change.previous" in message
