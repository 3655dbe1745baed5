"""What listeners know is what the database holds after each commit, whatever was done to rows."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from realtime_drf import publish_change
from tests.databases import ALL, get_pair, on_each_database
from tests.examples import scaled
from tests.recording import RecordingTransport
from tests.sources.notes import (
    FarBackend,
    Mirror,
    NoteBackend,
    PlainBackend,
    find_far_places,
    find_places,
    find_truth,
    get_labelled,
    get_visible,
)
from tests.todos.models import Label, Marking, Note, Remark, Shelf

STEPS = [
    *["enter", "leave", "roll back"] * 4,
    *["create", "save", "label", "move many", "update titles", "cover", "delete a label"] * 2,
    *["keep", "save what was kept"] * 2,
    "save a title",
    "delete",
    "delete many",
    "hide many",
    "create many",
    "update many",
    "save as another",
    "label in reverse",
    "rename a label",
    "rename labels",
    "rename a shelf",
    "delete a shelf",
    "remark",
    "move a remark",
    "delete a remark",
    "mark",
    "change a mark",
    "delete marks",
    "cover",
    "publish",
    "delete what was kept",
]


class Rows(RuleBasedStateMachine):
    """Programs of the ORM, in blocks that commit and roll back."""

    transport: RecordingTransport
    using = "default"
    find = staticmethod(get_visible)
    places = staticmethod(find_places)

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[Any] = []
        self.kept: Note | None = None
        """An instance that others write to the row of, or delete it."""
        for model in (Remark, Marking, Note, Label, Shelf):
            model._base_manager.using(self.using).all().delete()
        self.transport.batches.clear()
        self.mirror = Mirror()
        for number in range(2):
            shelf = Shelf.objects.using(self.using).create(name=f"shelf-{number}")
            label = Label.objects.using(self.using).create(name=f"label {number}")
            note = Note.objects.using(self.using).create(shelf=shelf, title="a")
            note.labels.add(label)

    # One rule for all: Hypothesis would leave out some of several in most programs.
    @rule(
        step=st.sampled_from(STEPS),
        number=st.integers(0, 3),
        other=st.integers(0, 3),
        word=st.sampled_from("abc"),
        flag=st.booleans(),
        how=st.sampled_from(["set", "add", "remove", "clear"]),
    )
    def step(self, step: str, number: int, other: int, word: str, flag: bool, how: str) -> None:
        do = getattr(self, step.replace(" ", "_"))
        names = inspect.signature(do).parameters
        given = {"number": number, "other": other, "word": word, "flag": flag, "how": how}
        do(**{name: given[name] for name in names})

    def pick(self, model: Any, number: int) -> Any:
        """Return one of the rows, or None."""
        rows = list(model.objects.using(self.using).order_by("pk"))
        return rows[number % len(rows)] if rows else None

    @property
    def notes(self) -> Any:
        return Note.objects.using(self.using)

    # Blocks

    def enter(self) -> None:
        if len(self.blocks) < 3:
            block = transaction.atomic(self.using)
            block.__enter__()
            self.blocks.append(block)

    def leave(self) -> None:
        if self.blocks:
            self.blocks.pop().__exit__(None, None, None)

    def roll_back(self) -> None:
        if self.blocks:
            self.blocks.pop().__exit__(ValueError, ValueError(), None)

    # Writes

    def create(self, number: int, word: str, flag: bool) -> None:
        self.notes.create(shelf=self.pick(Shelf, number), title=word, is_hidden=flag)

    def save(self, number: int, other: int, word: str, flag: bool) -> None:
        if note := self.pick(Note, number):
            note.shelf, note.title, note.is_hidden = self.pick(Shelf, other), word, flag
            note.save()

    def save_a_title(self, number: int, word: str) -> None:
        if note := self.pick(Note, number):
            note.title = word
            note.save(update_fields=["title"])

    def delete(self, number: int) -> None:
        if note := self.pick(Note, number):
            note.delete()

    def delete_many(self, word: str) -> None:
        self.notes.filter(title=word).delete()

    def update_titles(self, word: str) -> None:
        self.notes.exclude(title=word).update(title=word)

    def move_many(self, word: str, other: int) -> None:
        self.notes.filter(title=word).update(shelf=self.pick(Shelf, other))

    def hide_many(self, word: str, flag: bool) -> None:
        self.notes.filter(title=word).update(is_hidden=flag)

    def create_many(self, number: int, other: int, word: str) -> None:
        shelf = self.pick(Shelf, number)
        self.notes.bulk_create([Note(shelf=shelf, title=word) for _ in range(other)])

    def update_many(self, other: int) -> None:
        notes = list(self.notes.all())
        for note in notes:
            note.shelf = self.pick(Shelf, other)
        self.notes.bulk_update(notes, ["shelf"])

    def save_as_another(self, number: int, other: int) -> None:
        if note := self.pick(Note, number):
            note.pk = note.pk % 1_000_000 + (1 + other % 2) * 1_000_000  # no sequence gets there
            note.save()

    # What is shown

    def label(self, number: int, other: int, how: str) -> None:
        if note := self.pick(Note, number):
            relate(note.labels, self.pick(Label, other), how)

    def label_in_reverse(self, number: int, other: int, how: str) -> None:
        if label := self.pick(Label, number):
            relate(label.notes, self.pick(Note, other), how)

    def rename_a_label(self, number: int, word: str) -> None:
        if label := self.pick(Label, number):
            label.name = word
            label.save()

    def rename_labels(self, word: str) -> None:
        Label.objects.using(self.using).update(name=word)

    def delete_a_label(self, number: int) -> None:
        if label := self.pick(Label, number):
            label.delete()

    def rename_a_shelf(self, number: int, word: str) -> None:
        if shelf := self.pick(Shelf, number):
            shelf.name = word
            shelf.save()

    def delete_a_shelf(self, number: int) -> None:
        if shelf := self.pick(Shelf, number):
            shelf.delete()

    def remark(self, number: int, word: str) -> None:
        if note := self.pick(Note, number):
            Remark.objects.using(self.using).create(note=note, text=word)

    def move_a_remark(self, number: int, other: int) -> None:
        if remark := self.pick(Remark, number):
            remark.note = self.pick(Note, other)
            remark.save()

    def delete_a_remark(self, number: int) -> None:
        if remark := self.pick(Remark, number):
            remark.delete()

    def mark(self, number: int, other: int, flag: bool) -> None:
        note, label = self.pick(Note, number), self.pick(Label, other)
        if note and label and flag:
            note.marks.add(label)
        elif note and label:
            Marking.objects.using(self.using).create(note=note, label=label)

    def change_a_mark(self, number: int, other: int) -> None:
        marking, note = self.pick(Marking, number), self.pick(Note, other)
        if marking and note:
            marking.note = note
            marking.save()

    def delete_marks(self, number: int, flag: bool) -> None:
        if flag and (note := self.pick(Note, number)):
            note.marks.clear()
        elif marking := self.pick(Marking, number):
            marking.delete()

    def cover(self, number: int, other: int) -> None:
        if note := self.pick(Note, number):
            note.cover = self.pick(Label, other)
            note.save()

    def publish(self, number: int) -> None:
        if note := self.pick(Note, number):
            publish_change(note, action="update")

    # An instance that is out of date

    def keep(self, number: int) -> None:
        self.kept = self.pick(Note, number)

    def save_what_was_kept(self, word: str) -> None:
        if self.kept:
            for model, name in ((Shelf, "shelf_id"), (Label, "cover_id")):
                rows = model._base_manager.using(self.using)
                if not rows.filter(pk=getattr(self.kept, name)).exists():
                    setattr(self.kept, name, None)
            self.kept.title = word
            self.kept.save()

    def delete_what_was_kept(self) -> None:
        if self.kept:
            self.kept.delete()
            self.kept = None

    @invariant()
    def listeners_know_what_there_is(self) -> None:
        events = [event for batch in self.transport.batches for event in batch]
        self.transport.batches.clear()
        if self.blocks:
            assert events == []
            return
        self.mirror.take(events)
        truth = find_truth(self.using, self.find, self.places)
        assert self.mirror.known == truth
        for event in events:
            if event.name != "note.delete":  # which has the key and the version alone
                key: Any = event.data["id"]  # type: ignore[index,call-overload]
                assert all(key in truth[channel] for channel in event.channels), event

    def teardown(self) -> None:
        while self.blocks:
            self.roll_back()


def relate(manager: Any, other: Any, how: str) -> None:
    """Change a many-to-many relation, from either end."""
    if how == "clear":
        manager.clear()
    elif how == "set":
        manager.set([other] if other else [])
    elif other:
        getattr(manager, how)(other)


@on_each_database
@pytest.mark.hypothesis
@pytest.mark.django_db(transaction=True, databases=ALL)
def test_listeners_know_what_the_database_holds(vendor: str, recording: RecordingTransport) -> None:
    class Backend(NoteBackend):
        pass

    class Machine(Rows):
        transport = recording
        using = get_pair(vendor)[0]

    run(Machine)


@on_each_database
@pytest.mark.hypothesis
@pytest.mark.django_db(transaction=True, databases=ALL)
def test_listeners_know_it_of_rows_that_are_found_by_a_compiled_query(
    vendor: str, recording: RecordingTransport
) -> None:
    class Backend(PlainBackend):
        pass

    class Machine(Rows):
        transport = recording
        using = get_pair(vendor)[0]
        find = staticmethod(Note._default_manager.all)

    run(Machine)


@on_each_database
@pytest.mark.hypothesis
@pytest.mark.django_db(transaction=True, databases=ALL)
def test_listeners_know_it_of_rows_that_others_move(
    vendor: str, recording: RecordingTransport
) -> None:
    class Backend(FarBackend):
        pass

    class Machine(Rows):
        transport = recording
        using = get_pair(vendor)[0]
        find = staticmethod(get_labelled)
        places = staticmethod(find_far_places)

    run(Machine)


def run(machine: type[RuleBasedStateMachine]) -> None:
    """Run programs: 300 in an ordinary run and 10,000 in a soak, of all eight tests together."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=scaled(38, soak=1_250),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
