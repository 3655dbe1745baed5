"""What waits for a commit: entries of any kind, and deliveries that record in the transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import pytest
from django.db import IntegrityError, connections, transaction
from django.test import TestCase, override_settings
from pytest_django import Settings

from realtime_drf import Event, publish
from realtime_drf.commits import Entry, Numbered, add_entries
from realtime_drf.delivery import deliveries
from realtime_drf.transports import transports
from tests.databases import ALL, get_pair, on_each_database
from tests.recording import PATH, RecordingTransport
from tests.todos.models import TodoList


class Boom(Exception):
    """What a test raises to roll back."""


class RecordingDelivery:
    """A delivery that writes events into a table, in the transaction that publishes them."""

    def __init__(self) -> None:
        self.delivered: list[list[Event]] = []
        self.error: Exception | None = None

    def record(self, connection: Any, transport: Any, events: Sequence[Event]) -> None:
        rows = [TodoList(name=f"{transport.alias}: {event.name}") for event in events]
        TodoList.objects.using(connection.alias).bulk_create(rows)
        if self.error:
            raise self.error

    def deliver(self, transport: Any, events: Sequence[Event]) -> None:
        self.delivered.append(list(events))


def get_recorded(using: str) -> list[str]:
    return list(TodoList.objects.using(using).order_by("id").values_list("name", flat=True))


@pytest.fixture
def delivery(settings: Settings) -> RecordingDelivery:
    entry = {"TRANSPORT": PATH, "DELIVERY": f"{__name__}.RecordingDelivery"}
    settings.REALTIME_TRANSPORTS = {"default": entry, "inline": {"TRANSPORT": PATH}}
    made = deliveries["default"]
    assert isinstance(made, RecordingDelivery)
    return made


@on_each_database
@pytest.mark.django_db(transaction=True, databases=ALL)
class TestDeliveriesThatRecord:
    def test_they_record_before_the_commit_and_are_given_nothing_after_it(
        self, delivery: RecordingDelivery, vendor: str
    ) -> None:
        using = get_pair(vendor)[0]
        with transaction.atomic(using):
            publish(Event("a", "x"), Event("b", "x"), using=using)
            assert get_recorded(using) == ["default: a", "default: b"]
        assert get_recorded(using) == ["default: a", "default: b"]
        assert delivery.delivered == []

    def test_what_they_record_is_rolled_back_with_the_transaction_or_the_savepoint(
        self, delivery: RecordingDelivery, vendor: str
    ) -> None:
        using = get_pair(vendor)[0]
        with pytest.raises(Boom), transaction.atomic(using):
            publish(Event("lost", "x"), using=using)
            raise Boom
        with transaction.atomic(using):
            publish(Event("first", "x"), using=using)
            with pytest.raises(Boom), transaction.atomic(using):
                publish(Event("lost", "x"), using=using)
                raise Boom
            with transaction.atomic(using):
                publish(Event("second", "x"), using=using)
        assert get_recorded(using) == ["default: first", "default: second"]

    def test_what_they_raise_rolls_the_transaction_back(
        self, delivery: RecordingDelivery, vendor: str
    ) -> None:
        using = get_pair(vendor)[0]
        delivery.error = IntegrityError("full")
        with pytest.raises(IntegrityError), transaction.atomic(using):
            TodoList.objects.using(using).create(name="of the request")
            publish(Event("a", "x"), using=using)
        assert get_recorded(using) == []

    def test_without_a_transaction_they_deliver(
        self, delivery: RecordingDelivery, vendor: str
    ) -> None:
        using = get_pair(vendor)[0]
        publish(Event("a", "x"), using=using)
        assert delivery.delivered == [[Event("a", "x")]]
        assert get_recorded(using) == []

    def test_other_transports_wait_for_the_commit_as_before(
        self, delivery: RecordingDelivery, vendor: str
    ) -> None:
        using = get_pair(vendor)[0]
        inline = transports["inline"]
        assert isinstance(inline, RecordingTransport)
        with transaction.atomic(using):
            publish(Event("a", "x"), using=using)
            publish(Event("b", "x"), transport="inline", using=using)
            assert inline.outbox == []
        assert get_recorded(using) == ["default: a"]
        assert inline.outbox == [Event("b", "x")]


class Touch(Entry):
    """An entry of another kind: all of one commit are resolved together, each to an event."""

    def __init__(self, connection: Any, key: int) -> None:
        super().__init__(connection)
        self._key = key

    @classmethod
    def resolve(cls, entries: Sequence[Self]) -> Iterable[Numbered]:
        together = [entry._key for entry in entries]
        for entry in entries:
            event = Event("touched", "x", {"key": entry._key, "of": together})
            yield entry.number, ("default", event)


def touch(using: str, *keys: int) -> None:
    connection = connections[using]
    add_entries(connection, [Touch(connection, key) for key in keys])


def get_batches(transport: RecordingTransport) -> list[list[str]]:
    return [
        [
            event.name if event.data is None else "{key} of {of}".format(**event.data)
            for event in batch
        ]
        for batch in transport.batches
    ]


@on_each_database
@pytest.mark.django_db(transaction=True, databases=ALL)
class TestEntriesOfSeveralKinds:
    def test_they_keep_their_common_order_and_each_kind_is_resolved_together(
        self, recording: RecordingTransport, vendor: str
    ) -> None:
        using = get_pair(vendor)[0]
        with transaction.atomic(using):
            touch(using, 1)
            touch(using, 2, 3)
            publish(Event("a", "x"), using=using)
            touch(using, 4)
            touch(using)
            assert recording.batches == []
        together = [1, 2, 3, 4]
        touched = [f"{key} of {together}" for key in together]
        assert get_batches(recording) == [[*touched[:3], "a", touched[3]]]

    def test_a_savepoint_takes_its_own_along(
        self, recording: RecordingTransport, vendor: str
    ) -> None:
        using = get_pair(vendor)[0]
        with transaction.atomic(using):
            with pytest.raises(Boom), transaction.atomic(using):
                touch(using, 1)
                publish(Event("a", "x"), using=using)
                raise Boom
            touch(using, 2)
            with transaction.atomic(using):
                touch(using, 3)
        assert get_batches(recording) == [["2 of [2, 3]", "3 of [2, 3]"]]


@override_settings(REALTIME_TRANSPORTS={"default": {"TRANSPORT": PATH}})
class UnderTestCase(TestCase):
    def test_captured_hooks_send_each_entry_once(self) -> None:
        transport = transports["default"]
        assert isinstance(transport, RecordingTransport)
        with self.captureOnCommitCallbacks(execute=True):
            touch("default", 1)
            publish(Event("a", "x"))
        with self.captureOnCommitCallbacks(execute=True):
            touch("default", 2)
        assert get_batches(transport) == [["1 of [1]", "a"], ["2 of [2]"]]


@pytest.mark.django_db
def test_the_outbox_of_tests_sends_entries_of_any_kind(realtime_outbox: Any) -> None:
    with transaction.atomic():
        touch("default", 1)
        publish(Event("a", "x"))
        assert len(realtime_outbox) == 0
    assert [event.name for event in realtime_outbox] == ["touched", "a"]
