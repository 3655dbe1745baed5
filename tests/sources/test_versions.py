"""Two writers of the same rows, whose deliveries overtake each other: versions order them."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from django.db import connections, transaction

from realtime_drf import Event
from realtime_drf.sources.placements import Placements
from realtime_drf.transports import transports
from tests.databases import ALL, get_pair
from tests.examples import scaled
from tests.recording import RecordingTransport
from tests.sources.notes import NoteBackend, PlainBackend, find_truth
from tests.todos.models import Note, Shelf

WRITERS = 2
ROWS = 2
TRANSACTIONS = 4
"""Of each writer in a round."""

ORDERS = 5
"""In how many orders the events of a round are delivered."""

Known = dict[tuple[str, int], tuple[int, Any]]
"""By channel and key, the version of a row and its data, which is None once it is deleted."""


class Queues(RecordingTransport):
    """A service that has accepted all that is sent and delivers none of it until it is asked."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.queues: dict[int, list[Event]] = defaultdict(list)
        """Events by the thread that has sent them."""

    def send(self, events: Sequence[Event]) -> None:
        self.queues[threading.get_ident()] += events

    def take(self) -> list[list[Event]]:
        """Return what was sent since the last time: a list for each thread."""
        taken = list(self.queues.values())
        self.queues.clear()
        return taken


def delay(queues: Sequence[Sequence[Event]], chance: random.Random) -> Iterator[Event]:
    """Yield the events of all queues: those of one queue in order, those of two in any."""
    waiting = [list(events) for events in queues]
    while waiting := [events for events in waiting if events]:
        yield chance.choice(waiting).pop(0)


def shuffle(queues: Sequence[Sequence[Event]], chance: random.Random) -> list[Event]:
    """Return the events of all queues in any order at all."""
    events = [event for queue in queues for event in queue]
    chance.shuffle(events)
    return events


def listen(known: Known, events: Iterator[Event] | list[Event], *, by_version: bool) -> Known:
    """Return what a listener knows after the events.

    By version, one that is older than the newest received is dropped, an equal one is applied, and
    after a delete only a newer one is.
    """
    known = dict(known)
    for event in events:
        for channel in event.channels:
            data: Any = event.data
            is_delete = event.name == "note.delete"
            version, row = known.get((channel, data["id"]), (-1, None))
            is_newer = data["revision"] > version or (data["revision"] == version and row)
            if is_newer or not by_version:
                known[channel, data["id"]] = data["revision"], None if is_delete else data
    return known


def show(known: Known) -> dict[str, dict[int, Any]]:
    """Return the rows of each channel that has any, as `find_truth` does."""
    shown: dict[str, dict[int, Any]] = defaultdict(dict)
    for (channel, key), (_, row) in known.items():
        if row is not None:
            shown[channel][key] = row
    return dict(shown)


def check_place(event: Event) -> None:
    """Check that a payload is on no channel but those of its row, and that a delete has none."""
    data: Any = event.data
    if event.name == "note.delete":
        assert set(data) == {"id", "revision"}, event
    else:
        assert set(event.channels) <= {"notes", f"private-shelves.{data['shelf']}"}, event


class Round(NamedTuple):
    """What listeners knew before a round, the events of each writer, and the rows at its end."""

    known: Known
    queues: list[list[Event]]
    truth: dict[str, dict[int, Any]]
    seed: int


class Rounds:
    """Rounds in which two threads write the same rows.

    Args:
        locks: whether they lock rows before they read them. Those that do not, delete none: one of
            them would insert it again, with a version that it had before its deletion.
    """

    def __init__(self, transport: Queues, using: str, *, locks: bool) -> None:
        self.transport = transport
        self.using = using
        self.locks = locks
        self.shelves = [Shelf.objects.using(using).create(name=name) for name in "xy"]
        self.meeting = threading.Barrier(WRITERS, timeout=60)

    def run(self, rounds: int) -> Iterator[Round]:
        """Run rounds, each with a seed of its own."""
        with ThreadPoolExecutor(WRITERS) as pool:
            try:
                for _ in range(rounds):
                    yield self._run_one(pool, random.getrandbits(32))
            finally:
                list(pool.map(lambda _: self._close(), range(WRITERS)))

    def _run_one(self, pool: ThreadPoolExecutor, seed: int) -> Round:
        Note.objects.using(self.using).all()._raw_delete(self.using)
        keys = [
            Note.objects.using(self.using).create(title="a", shelf=self.shelves[0]).pk
            for _ in range(ROWS)
        ]
        [created] = self.transport.take()
        list(pool.map(self._write, [seed, seed + 1], [keys, keys]))
        known = listen({}, created, by_version=True)
        return Round(known, self.transport.take(), find_truth(self.using), seed)

    def _write(self, seed: int, keys: Sequence[int]) -> None:
        chance = random.Random(seed)
        self.meeting.wait()
        for _ in range(TRANSACTIONS):
            with transaction.atomic(self.using):
                some = chance.sample(keys, chance.randint(1, len(keys)))
                notes = Note.objects.using(self.using).filter(pk__in=some).order_by("pk")
                for note in notes.select_for_update() if self.locks else notes:
                    self._change(note, chance)

    def _change(self, note: Note, chance: random.Random) -> None:
        how = chance.choice(["save", "save", "title", "move", "move", "hide", "hide", "delete"])
        note.title = chance.choice("bcdefgh")
        shelf = chance.choice([*self.shelves, None])
        row = Note.objects.using(self.using).filter(pk=note.pk)
        if how == "save":
            note.shelf, note.is_hidden = shelf, False
            note.save()
        elif how == "title":
            note.save(update_fields=["title"])
        elif how == "move":
            row.update(shelf=shelf)
        elif how == "hide":
            row.update(is_hidden=chance.random() < 0.5)
        elif self.locks and chance.random() < 0.3:
            note.delete()

    def _close(self) -> None:
        self.meeting.wait()  # so that each thread closes its own
        connections[self.using].close()


@pytest.fixture(params=[True, False], ids=["locking", "not locking"])
def rounds(settings: Any, request: pytest.FixtureRequest) -> Rounds:
    class Backend(NoteBackend):
        pass

    using = get_pair("postgresql")[0]
    settings.REALTIME_TRANSPORTS = {
        alias: {"TRANSPORT": f"{__name__}.Queues"} for alias in ("default", "other")
    }
    transport = transports["default"]
    assert isinstance(transport, Queues)
    return Rounds(transport, using, locks=request.param)


@pytest.mark.hypothesis
@pytest.mark.django_db(transaction=True, databases=ALL)
def test_in_whatever_order_events_arrive_a_listener_by_version_ends_right(rounds: Rounds) -> None:
    for known, queues, truth, seed in rounds.run(scaled(25)):
        chance = random.Random(seed)
        for _ in range(ORDERS):
            for order in (delay, shuffle):
                received = listen(known, order(queues, chance), by_version=True)
                assert show(received) == truth, (seed, queues)
        for event in (event for queue in queues for event in queue):
            check_place(event)


@pytest.mark.hypothesis
@pytest.mark.django_db(transaction=True, databases=ALL)
def test_without_versions_some_listeners_end_wrong(rounds: Rounds) -> None:
    wrong = 0
    for known, queues, truth, seed in rounds.run(max(10, scaled(10))):
        wrong += show(listen(known, delay(queues, random.Random(seed)), by_version=False)) != truth
    assert wrong > 0


def wait_until_blocked(using: str) -> None:
    """Return once a query of another connection waits for a lock of ours."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with connections[using].cursor() as cursor:
            cursor.execute(waiting)
            if cursor.fetchone()[0]:
                return
    raise TimeoutError


@pytest.mark.parametrize("rounds", [False], indirect=True)
@pytest.mark.parametrize("base", [NoteBackend, PlainBackend])
@pytest.mark.parametrize("write", ["save", "update", "delete"])
@pytest.mark.django_db(transaction=True, databases=ALL)
def test_a_writer_that_waits_for_another_knows_where_that_has_left_the_row(
    write: str, base: type[NoteBackend], rounds: Rounds, register: Any
) -> None:
    register(type("Waiting", (base,), {}))
    using, transport = rounds.using, rounds.transport
    third = Shelf.objects.using(using).create(name="z")
    note = Note.objects.using(using).create(title="a", shelf=rounds.shelves[0])
    row = Note.objects.using(using).filter(pk=note.pk)

    def change() -> None:
        if write == "update":
            row.all().update(shelf=third)
        elif write == "delete":
            note.delete()
        else:
            note.shelf = third
            note.save()

    def wait_and_change() -> None:
        try:
            with transaction.atomic(using):
                change()
        finally:
            connections[using].close()

    known = listen({}, *transport.take(), by_version=True)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(using):
            row.update(shelf=rounds.shelves[1])
            changing = pool.submit(wait_and_change)
            wait_until_blocked(using)
        changing.result()
    events = [event for queue in transport.take() for event in queue]
    assert show(listen(known, events, by_version=True)) == find_truth(using)


@pytest.mark.django_db(transaction=True)
def test_a_row_that_comes_back_while_its_deletion_is_published_stays(
    recording: RecordingTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Backend(NoteBackend):
        pass

    read_versions = Placements.read_versions
    note = Note.objects.create(title="a")

    def show_again(self: Placements, keys: Sequence[Any], using: str) -> dict[Any, Any]:
        monkeypatch.undo()
        Note.objects.update(is_hidden=False)
        return read_versions(self, keys, using)

    monkeypatch.setattr(Placements, "read_versions", show_again)
    Note.objects.update(is_hidden=True)
    events = [event for batch in recording.batches for event in batch]
    assert show(listen({}, events, by_version=True)) == find_truth()
    assert note.pk in find_truth()["notes"]
