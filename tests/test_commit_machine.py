"""The after-commit contract as a state machine: what was committed is delivered, in order, once."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any, NamedTuple

import pytest
from django.db import connections, transaction
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from realtime_drf import Event, publish
from realtime_drf.exceptions import TransportUnavailable
from tests.databases import ALL, get_pair, on_each_database
from tests.examples import are_enough, scaled
from tests.recording import RecordingTransport
from tests.todos.models import TodoList

LEAST_DROPPED = 0.01
"""In what part of the examples a commit leaves out what was rolled back, at least."""


class Boom(Exception):
    """What a hook of somebody else's raises."""


def raise_boom() -> None:
    raise Boom


class Entry(NamedTuple):
    """Stand for one thing that waits for a commit: an event, or a hook that raises (no name)."""

    serial: int
    name: str | None


class Database:
    """Model what one database has open, what it committed, and what it owes."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.blocks: list[Any] = []
        self.pending: list[list[Entry]] = []
        self.last_publish = -1
        self.rows: set[str] = set()
        self.held_up: list[str] = []
        self.has_dropped = False
        """A block within the outermost was rolled back, with something in it."""


class CommitMachine(RuleBasedStateMachine):
    """Open and leave atomic blocks on two databases, and publish and write rows within them.

    Rows are written along with the events, so that the database itself confirms the model of what
    was committed.
    """

    pair: tuple[str, str]
    transport: RecordingTransport
    examples = 0
    examples_that_dropped = 0
    """Those in which a block was committed without what was rolled back within it."""

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        self.commits_without = 0
        self.transport.batches.clear()
        self.transport.error = None
        self.models = [Database(alias) for alias in self.pair]
        self.expected: list[list[str]] = []
        self.serials = itertools.count()
        for alias in self.pair:
            TodoList.objects.using(alias).all().delete()

    # One rule for all steps: Hypothesis would leave out some rules of several in most examples, and
    # little is ever committed without all of these.
    @rule(
        step=st.sampled_from(
            [
                "enter",
                "publish",
                "leave",
                "enter",
                "publish",
                "leave",
                "roll_back",
                "hook",
                "outage",
            ]
        ),
        db=st.sampled_from([0, 0, 0, 1]),
        flag=st.booleans(),
        number=st.integers(1, 3),
    )
    def step(self, step: str, db: int, flag: bool, number: int) -> None:
        if step == "enter":
            self.enter(db, savepoint=flag)
        elif step == "publish":
            self.publish(db, number)
        elif step == "leave":
            self.leave(db)
        elif step == "roll_back":
            self.roll_back(db)
        elif step == "hook":
            self.others_register_a_hook_that_raises(db, robust=flag)
        else:
            self.transport.error = TransportUnavailable("down") if flag else None

    def enter(self, db: int, savepoint: bool) -> None:
        model = self.models[db]
        block = transaction.atomic(model.alias, savepoint=savepoint)
        block.__enter__()
        model.blocks.append(block)
        model.pending.append([])

    def publish(self, db: int, number: int) -> None:
        model = self.models[db]
        if connections[model.alias].needs_rollback:
            return
        entries = [Entry(serial, f"e{serial}") for serial in itertools.islice(self.serials, number)]
        names = [entry.name or "" for entry in entries]
        TodoList.objects.using(model.alias).bulk_create(TodoList(name=name) for name in names)
        publish(*(Event(name, "x") for name in names), using=model.alias)
        if model.pending:
            model.pending[-1] += entries
            model.last_publish = entries[-1].serial
        else:
            self.expect(model.held_up)
            model.held_up = []
            self.expect(names)
            model.rows |= set(names)

    def others_register_a_hook_that_raises(self, db: int, robust: bool) -> None:
        model = self.models[db]
        if model.blocks and not connections[model.alias].needs_rollback:
            transaction.on_commit(raise_boom, using=model.alias, robust=robust)
            if not robust:
                model.pending[-1].append(Entry(next(self.serials), None))

    def leave(self, db: int) -> None:
        model = self.models[db]
        if not model.blocks:
            return
        is_lost = connections[model.alias].needs_rollback
        with contextlib.suppress(Boom):
            model.blocks.pop().__exit__(None, None, None)
        entries = model.pending.pop()
        if is_lost:
            self.lose(model)
        elif model.pending:
            model.pending[-1] += entries
        else:
            self.commit(model, entries)

    def roll_back(self, db: int) -> None:
        model = self.models[db]
        if model.blocks:
            model.blocks.pop().__exit__(Boom, Boom(), None)
            is_nested = len(model.pending) > 1
            model.has_dropped |= bool(model.pending.pop()) and is_nested
            self.lose(model)

    def lose(self, model: Database) -> None:
        """Doom the block around one that failed and had no savepoint of its own."""
        if not model.pending:
            model.last_publish = -1
            model.has_dropped = False
        elif connections[model.alias].needs_rollback:
            model.pending[-1] = []

    def commit(self, model: Database, entries: list[Entry]) -> None:
        """Expect one batch, up to the first hook of others that raises and is not robust.

        Django calls none behind that: if ours is one of them, what was published before the hook
        waits for the next batch, and what was published after it is lost.
        """
        events = [entry for entry in entries if entry.name]
        model.rows |= {entry.name for entry in events if entry.name}
        raising = min((e.serial for e in entries if not e.name), default=float("inf"))
        called = [entry.name or "" for entry in events if entry.serial < raising]
        if -1 < model.last_publish < raising:
            self.expect(model.held_up + called)
            model.held_up = []
        else:
            model.held_up += called
        model.last_publish = -1
        self.commits_without += model.has_dropped
        model.has_dropped = False

    def expect(self, names: list[str]) -> None:
        if names:
            self.expected.append(names)

    @invariant()
    def what_is_delivered_is_what_was_committed(self) -> None:
        delivered = [[event.name for event in events] for events in self.transport.batches]
        assert delivered == self.expected
        for model in self.models:
            if not model.blocks:
                rows = TodoList.objects.using(model.alias).values_list("name", flat=True)
                assert set(rows) == model.rows

    def teardown(self) -> None:
        for db, model in enumerate(self.models):
            while model.blocks:
                self.leave(db)
            publish(Event("last", "x"), using=model.alias)  # nothing is left for the next example
            self.expect(model.held_up)
            self.expect(["last"])
        type(self).examples_that_dropped += self.commits_without > 0
        event("a commit without what was rolled back" if self.commits_without else "no such commit")
        delivered = [[event.name for event in events] for events in self.transport.batches]
        assert delivered == self.expected


@pytest.mark.hypothesis
@on_each_database
@pytest.mark.django_db(transaction=True, databases=ALL)
def test_what_is_committed_is_delivered_in_order_once(
    vendor: str, recording: RecordingTransport, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")  # the outages of a hundred examples are not worth reading

    class Machine(CommitMachine):
        pair = get_pair(vendor)
        transport = recording

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=scaled(100),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    if are_enough():
        assert Machine.examples_that_dropped >= Machine.examples * LEAST_DROPPED
