"""Designs that look right and are not: the mirror catches each of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.db.models import signals
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from realtime_drf.sources import bulk, dependencies, entries, observing, resolving
from realtime_drf.sources.placements import Placements, get_placements
from realtime_drf.sources.rows import Transaction
from realtime_drf.sources.slots import Slot, _make_slot
from tests.recording import RecordingTransport
from tests.sources.notes import NoteSerializer, PlainBackend
from tests.sources.test_mirror import Rows
from tests.todos.models import Note

pytestmark = pytest.mark.django_db(transaction=True)


@contextlib.contextmanager
def receiving(signal: Any, receiver: Any, original: Any) -> Iterator[None]:
    """Replace a receiver of the library for notes."""

    def replace(other: Any) -> None:
        assert signal.disconnect(sender=Note, dispatch_uid=observing._UID)
        signal.connect(other, Note, dispatch_uid=observing._UID)

    replace(receiver)
    try:
        yield
    finally:
        replace(original)


@contextlib.contextmanager
def snapshots_in_memory(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take the place of a row from the instance, as it was when it was loaded or saved."""

    def remember(instance: Note, **kwargs: Any) -> None:
        row = vars(instance)  # without loading what is deferred
        row["_state"]._row = [row.get(name) for name in ("id", "shelf_id", "revision")]

    def before_save(sender: Any, instance: Note, using: str, **kwargs: Any) -> None:
        state = observing.get_transaction(using)
        [placements] = observing.find_observers(Note)
        if not instance._state.adding:
            key, place = placements._place(vars(instance._state)["_row"])
            state.assume(placements.backend, [key], place)
        with patch.context() as within:
            within.setattr(observing, "get_transaction", lambda using: state)
            observing._before_save(sender, instance, using, **kwargs)

    for signal in (signals.post_init, signals.post_save):
        signal.connect(remember, Note)
    try:
        with receiving(signals.pre_save, before_save, observing._before_save):
            yield
    finally:
        for signal in (signals.post_init, signals.post_save):
            signal.disconnect(remember, Note)


@contextlib.contextmanager
def rendering_at_the_signal(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the payload when a row is saved, but for its version, of the instance in memory."""
    rendered: dict[int, Any] = {}

    def after_save(sender: Any, instance: Note, **kwargs: Any) -> None:
        labels = [each.name for each in instance.labels.all()]
        data = {"title": instance.title, "labels": labels}
        transaction.on_commit(lambda: rendered.update({instance.pk: data}))
        observing._after_save(sender, instance, **kwargs)

    def get_data_of(self: Any, changes: Any) -> Iterator[Any]:
        for change in changes:
            data = NoteSerializer(change.instance).data
            yield {**data, **rendered.pop(change.instance.pk, {})}

    patch.setattr(PlainBackend, "get_data_of", get_data_of)
    with receiving(signals.post_save, after_save, observing._after_save):
        yield


@contextlib.contextmanager
def names_for_columns(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compare "shelf", which is written, with "shelf_id", which decides on channels."""
    patch.setattr(Placements, "_get_attname", lambda self, name: name)
    yield


@contextlib.contextmanager
def one_diff_a_save(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Publish each save by itself, by where the row was right before it."""

    def list_slots(entered: Any) -> Iterator[Slot]:
        for number, touch, state in entered:
            for key in touch.keys:
                yield _make_slot(number, touch, state, key)

    for module in (bulk, dependencies, entries, observing):
        patch.setattr(module, "get_transaction", lambda using: Transaction())
    patch.setattr(resolving, "list_slots", list_slots)
    yield


@contextlib.contextmanager
def a_leaver_given_the_row(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Send the row itself to the channel that it leaves."""
    make_key = resolving._Maker._key

    def make_data(self: Any, due: Any, versions: Any) -> Any:
        is_there = get_placements(self.backend).read([due.slot.key], self._using)
        return (
            dict(NoteSerializer(due.change.instance).data)
            if is_there
            else make_key(self, due, versions)
        )

    patch.setattr(resolving._Maker, "_key", make_data)
    yield


CAUGHT: dict[Any, list[tuple[str, dict[str, Any]]]] = {
    snapshots_in_memory: [
        ("keep", {"number": 0}),
        ("move many", {"word": "a", "other": 1}),
        ("save what was kept", {"word": "a"}),
    ],
    rendering_at_the_signal: [
        ("enter", {}),
        ("create", {"number": 0, "word": "a", "flag": False}),
        ("label", {"number": 2, "other": 0, "how": "add"}),
        ("leave", {}),
    ],
    names_for_columns: [("move many", {"word": "a", "other": 1})],
    one_diff_a_save: [
        ("enter", {}),
        ("create", {"number": 0, "word": "a", "flag": False}),
        ("delete", {"number": 2}),
        ("leave", {}),
    ],
    a_leaver_given_the_row: [("save", {"number": 0, "other": 1, "word": "a", "flag": False})],
}
"""Each mutant, and a program that catches it."""

each_mutant = pytest.mark.parametrize("mutant", CAUGHT, ids=lambda mutant: mutant.__name__)


@pytest.fixture
def machine(recording: RecordingTransport) -> type[Rows]:
    class Backend(PlainBackend):
        pass

    class Machine(Rows):
        transport = recording
        find = staticmethod(Note._default_manager.all)

    return Machine


def run_program(machine: Rows, program: list[tuple[str, dict[str, Any]]]) -> None:
    """Take the steps of a program."""
    machine.listeners_know_what_there_is()
    for step, given in program:
        getattr(machine, step.replace(" ", "_"))(**given)
        machine.listeners_know_what_there_is()


@each_mutant
def test_a_program_catches_a_mutant_and_passes_without_it(
    mutant: Any, machine: type[Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_program(machine(), CAUGHT[mutant])
    with mutant(monkeypatch), pytest.raises(AssertionError):
        run_program(machine(), CAUGHT[mutant])


@each_mutant
@pytest.mark.hypothesis
@pytest.mark.soak
def test_random_programs_catch_a_mutant(
    mutant: Any, machine: type[Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Neither shrunk nor kept: that it is caught is enough.
    once = settings(
        max_examples=2_000,  # most are caught in the first few
        stateful_step_count=30,
        deadline=None,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with mutant(monkeypatch), pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=once)
