"""Two databases in one program: what is published of one is independent of the other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.databases import ALL, get_pair, on_each_database
from tests.recording import RecordingTransport
from tests.sources.notes import PlainBackend
from tests.sources.test_mirror import STEPS, Rows, run
from tests.todos.models import Note, Shelf


class TwoDatabases(RuleBasedStateMachine):
    """Programs that write to two databases, with blocks open on both.

    A step commits on one database at most, so that all events it publishes are of that one.
    """

    sides: tuple[type[Rows], type[Rows]]

    def __init__(self) -> None:
        super().__init__()
        self.databases = []
        for side in self.sides:
            self.databases.append(side())
            self.databases[-1].listeners_know_what_there_is()

    @rule(
        db=st.integers(0, 1),
        step=st.sampled_from([*STEPS, "copy"]),
        number=st.integers(0, 3),
        other=st.integers(0, 3),
        word=st.sampled_from("abc"),
        flag=st.booleans(),
        how=st.sampled_from(["set", "add", "remove", "clear"]),
    )
    def step(self, db: int, step: str, **given: Any) -> None:
        source, target = self.databases[db], self.databases[1 - db]
        if step == "copy":
            copy(source, target, given["number"], given["other"])
            target.listeners_know_what_there_is()
        else:
            source.step(step, **given)
            source.listeners_know_what_there_is()

    def teardown(self) -> None:
        for each in self.databases:
            each.teardown()


def copy(source: Rows, target: Rows, number: int, other: int) -> None:
    """Save a row of one database to the other, where it may meet one of the same key."""
    if note := source.pick(Note, number):
        shelf = target.pick(Shelf, other)
        note.shelf_id, note.cover_id = shelf and shelf.pk, None
        if not target.notes.filter(pk=note.pk).exists():
            note.pk = note.pk % 1_000_000 + 3_000_000  # no sequence gets there
        note.save(using=target.using)


@on_each_database
@pytest.mark.hypothesis
@pytest.mark.django_db(transaction=True, databases=ALL)
def test_listeners_know_what_each_of_two_databases_holds(
    vendor: str, recording: RecordingTransport
) -> None:
    class Backend(PlainBackend):
        pass

    class Side(Rows):
        transport = recording
        find = staticmethod(Note._default_manager.all)

    first, second = (type(alias, (Side,), {"using": alias}) for alias in get_pair(vendor))

    class Machine(TwoDatabases):
        sides = (first, second)

    run(Machine)
