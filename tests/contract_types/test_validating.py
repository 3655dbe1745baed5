"""An outbox that validates: data that breaks its schema fails the test."""

from __future__ import annotations

import sys
import unittest
from typing import Any

import pytest

from realtime_drf import Event, RealtimeBackend, publish, publish_change
from realtime_drf.contract import declare
from realtime_drf.contract.validating import get_validator
from realtime_drf.testing import RealtimeTestMixin, captured_events
from tests.contract_types.project import NoteSerializer, ShelfChannel
from tests.todos.models import Note, Shelf


class ShoutingSerializer(NoteSerializer):
    def to_representation(self, instance: Note) -> Any:
        return {**super().to_representation(instance), "title": [instance.title]}


@pytest.mark.django_db
@pytest.mark.usefixtures("project")
def test_data_of_the_schema_passes() -> None:
    shelf = Shelf.objects.create(name="top")
    with captured_events(validate=True) as outbox:
        note = Note.objects.create(title="milk", shelf=shelf)
        note.delete()
        publish(Event("import.finished", "notes", {"rows": 1, "errors": []}))
    names = [event.name for event in outbox if "notes" in event.channels]
    assert names == ["note.create", "note.delete", "import.finished"]


@pytest.mark.django_db
def test_data_that_breaks_its_schema_fails_at_the_end_of_the_block() -> None:
    class Shouting(RealtimeBackend[Note]):
        serializer_class = ShoutingSerializer
        channels = ("notes",)
        observe = False

    note = Note.objects.create(title="milk")
    message = (
        r"^The data of 'note.update' on 'notes' breaks its schema at \$\.title: "
        r"\['milk'\] is not of type 'string'$"
    )
    with pytest.raises(AssertionError, match=message), captured_events(validate=True) as outbox:
        publish_change(note, action="update")
        outbox.clear()  # which does not undo it
    with captured_events():
        publish_change(note, action="update")


@pytest.mark.parametrize(
    ("event", "is_right"),
    [
        (Event("import.finished", ["private-shelves.1", "notes"], {"rows": 1}), False),
        (Event("import.finished", "private-shelves.1", {"rows": 1}), True),  # not in the contract
        (Event("closing", ShelfChannel(pk=1)), True),
        (Event("closing", ShelfChannel(pk=1), {}), False),
        (Event("closing", "private-shelves.x", {}), True),
    ],
)
@pytest.mark.usefixtures("project")
def test_an_event_is_valid_unless_the_contract_says_otherwise(event: Event, is_right: bool) -> None:
    assert (list(get_validator().find_errors(event)) == []) is is_right


def test_data_that_one_of_several_schemas_has_is_valid() -> None:
    declare("closing", ShelfChannel, int)
    declare("closing", "private-shelves.1", str)
    validator = get_validator()
    for data, is_right in ((1, True), ("a", True), ([], False)):
        errors = list(validator.find_errors(Event("closing", "private-shelves.1", data)))
        assert (errors == []) is is_right
    assert list(validator.find_errors(Event("closing", "private-shelves.2", "a")))


def test_the_contract_is_read_again_when_the_project_declares_more() -> None:
    before = get_validator()
    assert get_validator() is before
    declare("closing", "notes", int)
    assert get_validator() is not before
    assert list(get_validator().find_errors(Event("closing", "notes", "a")))


def test_an_error_of_the_test_itself_is_not_hidden() -> None:
    declare("closing", "notes", int)
    with pytest.raises(ZeroDivisionError), captured_events(validate=True):
        publish(Event("closing", "notes", "a"))
        raise ZeroDivisionError


class _Case(RealtimeTestMixin, unittest.TestCase):
    realtime_validate = True

    def test(self) -> None:
        publish(Event("closing", "notes", "a"))


def test_an_attribute_of_the_mixin_has_it_validate() -> None:
    declare("closing", "notes", int)
    result = unittest.TestResult()
    _Case("test").run(result)
    [(_, text)] = [*result.errors, *result.failures]
    assert "breaks its schema" in text


def test_without_the_extra_the_outbox_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("realtime_drf.contract.")]:
        if name.rpartition(".")[2] in ("validating", "documents", "reading", "schemas"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "drf_spectacular.openapi", None)
    monkeypatch.setitem(sys.modules, "drf_spectacular", None)
    outbox = captured_events(validate=True)
    with pytest.raises(ModuleNotFoundError, match=r"pip install realtime-drf\[contract\]"):
        outbox.__enter__()
