"""Publishing: after the commit, in one batch, in order, and never at the request's expense."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.core.signals import request_finished
from django.db import connections, transaction
from django.db.utils import ConnectionDoesNotExist
from django.test import TestCase, TransactionTestCase, override_settings
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from realtime_drf import Event, RealtimeViewMixin, apublish, apublish_change, publish
from realtime_drf.exceptions import (
    InvalidTransport,
    TransportDoesNotExist,
    TransportUnavailable,
)
from realtime_drf.signals import event_published, publish_failed
from realtime_drf.transports import transports
from tests.databases import ALL, get_pair, on_each_database
from tests.recording import PATH, RecordingTransport
from tests.todos.models import Todo
from tests.views import make_backend, make_serializer


def names(transport: RecordingTransport) -> list[list[str]]:
    return [[event.name for event in events] for events in transport.batches]


class Boom(Exception):
    """What a test raises to roll back."""


def raise_boom(*args: Any, **kwargs: Any) -> None:
    raise Boom


# Without a database


def test_without_a_transaction_it_goes_at_once(recording: RecordingTransport) -> None:
    publish(Event("a", "x"), Event("b", "x"))
    publish(Event("c", "x"))
    assert names(recording) == [["a", "b"], ["c"]]


def test_nothing_published_is_nothing_sent(recording: RecordingTransport) -> None:
    publish()
    assert recording.batches == []


def test_an_unknown_alias_is_said_at_once(recording: RecordingTransport) -> None:
    with pytest.raises(TransportDoesNotExist, match=r"REALTIME_TRANSPORTS\['defualt'\].*default"):
        publish(Event("a", "x"), transport="defualt")


def test_a_disabled_transport_is_not_even_made(settings: Settings) -> None:
    settings.REALTIME_TRANSPORTS = {
        "default": {"TRANSPORT": "nowhere.Transport", "ENABLED": False},
    }
    publish(Event("a", "x"))
    with pytest.raises(InvalidTransport, match="nowhere"):
        transports["default"]


def test_a_missing_database_is_an_error_though_nothing_is_to_be_sent(settings: Settings) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH, "ENABLED": False}}
    with pytest.raises(ConnectionDoesNotExist):
        publish(Event("a", "x"), using="missing")


def test_publishing_from_a_coroutine(recording: RecordingTransport) -> None:
    async def main() -> None:
        with pytest.raises(SynchronousOnlyOperation, match="apublish"):
            publish(Event("a", "x"))
        await apublish(Event("b", "x"), Event("c", "x"))

    asyncio.run(main())
    assert names(recording) == [["b", "c"]]


@pytest.mark.parametrize(
    "given",
    [
        ("todos", "created", {"id": 1}),  # the order of the SDK's trigger()
        (["todos", "lists"], "created", {"id": 1}),
        ([Event("a", "x")],),
        ({"name": "created"},),
        (None,),
        (Event,),
    ],
    ids=["strings", "list of names", "list of events", "dict", "None", "the class"],
)
@pytest.mark.parametrize("is_in_transaction", [True, False])
@pytest.mark.django_db(transaction=True)
def test_what_is_no_event_is_a_type_error_at_the_call(
    recording: RecordingTransport, given: tuple[Any, ...], is_in_transaction: bool
) -> None:
    called = []
    with transaction.atomic() if is_in_transaction else nullcontext():
        publish(Event("good", "news"))
        with pytest.raises(TypeError, match=r"publish\(Event\(name, channels, data\)\)"):
            publish(Event("in bad company", "news"), *given)
        transaction.on_commit(lambda: called.append(1))
    assert names(recording) == [["good"]]
    assert called == [1]


def test_a_coroutine_learns_of_what_is_no_event(recording: RecordingTransport) -> None:
    with pytest.raises(TypeError, match=r"Event\(name, channels, data\)"):
        asyncio.run(apublish("todos", "created", {"id": 1}))  # type: ignore[arg-type]
    assert recording.batches == []


def test_the_type_error_shows_nothing_of_the_data() -> None:
    with pytest.raises(TypeError) as caught:
        publish({"password": "hunter2"})  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


@pytest.mark.django_db(transaction=True)
def test_a_bug_in_the_flush_reaches_neither_the_request_nor_its_other_hooks(
    settings: Settings, recording: RecordingTransport, caplog: pytest.LogCaptureFixture
) -> None:
    called = []
    with transaction.atomic():
        publish(Event("a", "x"))
        transaction.on_commit(lambda: called.append(1))
        settings.REALTIME_TRANSPORTS = {}  # what was right at the call is wrong at the commit
    assert called == [1]
    assert "Flush" in caplog.text


def test_an_event_kept_as_a_constant_is_published_each_time(recording: RecordingTransport) -> None:
    constant = Event("reload", "x")
    publish(constant)
    publish(constant, constant)
    assert [event for events in recording.batches for event in events] == [constant] * 3
    assert len({event.id for events in recording.batches for event in events}) == 3


def test_what_was_not_sent_keeps_its_id_when_it_is_published_again(
    recording: RecordingTransport,
) -> None:
    recording.error = RuntimeError("down")
    failed: list[Event] = []

    def receiver(events: tuple[Event, ...], **kwargs: Any) -> None:
        failed.extend(events)

    publish_failed.connect(receiver)
    try:
        publish(Event("a", "x"))
    finally:
        publish_failed.disconnect(receiver)
    recording.error = None
    publish(*failed)
    assert [event.id for event in recording.batches[-1]] == [failed[0].id]


@pytest.mark.parametrize(
    "publish_one",
    [
        lambda: apublish(Event("a", "x")),
        lambda: apublish_change(Todo(pk=1), action="update"),
        lambda: RealtimeViewMixin().apublish_change(Todo(pk=1), action="update"),
    ],
    ids=["apublish", "apublish_change", "a view's apublish_change"],
)
def test_coroutines_publish_side_by_side_and_hold_up_no_query(
    recording: RecordingTransport,
    register: Any,
    monkeypatch: pytest.MonkeyPatch,
    publish_one: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    register(make_backend(make_serializer(Todo, "id")))
    sending = threading.Barrier(4)  # three that send, and the test

    def send(events: Any) -> None:
        sending.wait(5)  # until all have come so far
        sending.wait(5)  # and the ORM's thread was free

    monkeypatch.setattr(recording, "send", send)

    async def main() -> None:
        jobs = [asyncio.create_task(publish_one()) for _ in range(3)]
        await asyncio.to_thread(sending.wait, 5)
        await sync_to_async(lambda: None)()  # as each query of the ORM does
        await asyncio.to_thread(sending.wait, 5)
        await asyncio.gather(*jobs)

    asyncio.run(main())


# Outages


def test_an_outage_is_logged_and_signalled_and_never_raised(
    recording: RecordingTransport, caplog: pytest.LogCaptureFixture
) -> None:
    received: list[dict[str, Any]] = []

    def receiver(**kwargs: Any) -> None:
        received.append(kwargs)

    publish_failed.connect(receiver)
    event = Event("a", "x", {"password": "hunter2"})
    recording.error = TransportUnavailable("down", unsent=[event])
    try:
        publish(event)
    finally:
        publish_failed.disconnect(receiver)
    assert received[0]["sender"] is RecordingTransport
    assert received[0]["events"] == (event,)
    assert received[0]["transport"] == "default"
    assert received[0]["error"] is recording.error
    assert "down" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("error", [TransportUnavailable("down"), RuntimeError("bug")])
def test_the_settings_may_ask_for_it_to_be_raised(settings: Settings, error: Exception) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH, "ON_ERROR": "raise"}}
    transport = transports["default"]
    assert isinstance(transport, RecordingTransport)
    transport.error = error
    with pytest.raises(type(error)):
        publish(Event("a", "x"))


@pytest.mark.django_db(transaction=True)
def test_after_a_commit_nothing_is_raised_even_so(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH, "ON_ERROR": "raise"}}
    transport = transports["default"]
    assert isinstance(transport, RecordingTransport)
    transport.error = RuntimeError("bug")
    called = []
    with transaction.atomic():
        publish(Event("a", "x"))
        transaction.on_commit(lambda: called.append(1))
    assert called
    assert "bug" in caplog.text


def test_an_outage_of_one_transport_does_not_touch_another(recording: RecordingTransport) -> None:
    other = transports["other"]
    assert isinstance(other, RecordingTransport)
    recording.error = RuntimeError("bug")
    publish(Event("a", "x"))
    publish(Event("b", "x"), transport="other")
    assert names(other) == [["b"]]


def test_each_event_that_was_sent_is_signalled(recording: RecordingTransport) -> None:
    received: list[tuple[Event, str]] = []

    def receiver(event: Event, transport: str, **kwargs: Any) -> None:
        received.append((event, transport))

    went, too_large = Event("a", "x"), Event("b", "x", "x" * 20_000)
    event_published.connect(receiver)
    event_published.connect(raise_boom)
    try:
        publish(went, too_large)
    finally:
        event_published.disconnect(receiver)
        event_published.disconnect(raise_boom)
    assert received == [(went, "default")]


# Transactions


@pytest.fixture
def pair(vendor: str, transactional_db: None) -> tuple[str, str]:
    return get_pair(vendor)


@on_each_database
@pytest.mark.django_db(transaction=True, databases=ALL)
class TestTransactions:
    def test_it_waits_for_the_commit_and_leaves_in_one_batch(
        self, recording: RecordingTransport, pair: tuple[str, str]
    ) -> None:
        with transaction.atomic(pair[0]):
            publish(Event("a", "x"), using=pair[0])
            with transaction.atomic(pair[0]):
                publish(Event("b", "x"), using=pair[0])
            publish(Event("c", "x"), using=pair[0])
            assert recording.batches == []
        assert names(recording) == [["a", "b", "c"]]

    def test_a_rollback_sends_nothing_ever(
        self, recording: RecordingTransport, pair: tuple[str, str]
    ) -> None:
        with pytest.raises(Boom), transaction.atomic(pair[0]):
            publish(Event("a", "x"), using=pair[0])
            raise Boom
        with transaction.atomic(pair[0]):
            publish(Event("b", "x"), using=pair[0])
        publish(Event("c", "x"), using=pair[0])
        assert names(recording) == [["b"], ["c"]]

    def test_set_rollback_sends_nothing(
        self, recording: RecordingTransport, pair: tuple[str, str]
    ) -> None:
        with transaction.atomic(pair[0]):
            publish(Event("a", "x"), using=pair[0])
            transaction.set_rollback(True, pair[0])
        assert recording.batches == []

    def test_a_savepoint_that_is_rolled_back_takes_its_own_events_and_no_others(
        self, recording: RecordingTransport, pair: tuple[str, str]
    ) -> None:
        with transaction.atomic(pair[0]):
            with pytest.raises(Boom), transaction.atomic(pair[0]):
                publish(Event("gone", "x"), using=pair[0])
                raise Boom
            publish(Event("b", "x"), using=pair[0])
            with pytest.raises(Boom), transaction.atomic(pair[0]):
                publish(Event("gone too", "x"), using=pair[0])
                raise Boom
        assert names(recording) == [["b"]]

    def test_a_flush_asked_for_within_a_lost_savepoint_survives_it(
        self, recording: RecordingTransport, pair: tuple[str, str]
    ) -> None:
        with transaction.atomic(pair[0]):
            publish(Event("a", "x"), using=pair[0])
            with pytest.raises(Boom), transaction.atomic(pair[0]):
                publish(Event("gone", "x"), using=pair[0])
                raise Boom
        assert names(recording) == [["a"]]

    def test_another_database_has_nothing_to_say(
        self, recording: RecordingTransport, pair: tuple[str, str]
    ) -> None:
        with transaction.atomic(pair[0]):
            publish(Event("a", "x"), using=pair[0])
            with pytest.raises(Boom), transaction.atomic(pair[1]):
                publish(Event("gone", "x"), using=pair[1])
                publish(Event("b", "x"), using=pair[0])
                raise Boom
            with transaction.atomic(pair[1]):
                publish(Event("c", "x"), using=pair[1])
        assert names(recording) == [["c"], ["a", "b"]]

    def test_each_transport_has_one_batch(
        self, recording: RecordingTransport, pair: tuple[str, str]
    ) -> None:
        other = transports["other"]
        assert isinstance(other, RecordingTransport)
        with transaction.atomic(pair[0]):
            publish(Event("a", "x"), using=pair[0])
            publish(Event("b", "x"), using=pair[0], transport="other")
            publish(Event("c", "x"), using=pair[0])
        assert (names(recording), names(other)) == ([["a", "c"]], [["b"]])

    def test_what_a_hook_publishes_comes_after_what_the_commit_published_before_it(
        self, recording: RecordingTransport, pair: tuple[str, str]
    ) -> None:
        with transaction.atomic(pair[0]):
            publish(Event("a", "x"), using=pair[0])
            transaction.on_commit(lambda: publish(Event("b", "x"), using=pair[0]), using=pair[0])
        assert names(recording) == [["a"], ["b"]]

    def test_what_a_receiver_publishes_goes(
        self, recording: RecordingTransport, pair: tuple[str, str]
    ) -> None:
        def receiver(event: Event, **kwargs: Any) -> None:
            if event.name == "a":
                publish(Event("b", "x"), using=pair[0])

        event_published.connect(receiver)
        try:
            with transaction.atomic(pair[0]):
                publish(Event("a", "x"), using=pair[0])
        finally:
            event_published.disconnect(receiver)
        assert names(recording) == [["a"], ["b"]]

    def test_manual_transactions_are_refused_as_on_commit_refuses_them(
        self, recording: RecordingTransport, pair: tuple[str, str]
    ) -> None:
        connections[pair[0]].ensure_connection()
        transaction.set_autocommit(False, pair[0])
        try:
            with pytest.raises(transaction.TransactionManagementError, match="autocommit"):
                publish(Event("a", "x"), using=pair[0])
        finally:
            transaction.rollback(pair[0])
            transaction.set_autocommit(True, pair[0])
        assert recording.batches == []

    def test_a_hook_of_others_that_raises_loses_nothing_published_before_it(
        self, recording: RecordingTransport, pair: tuple[str, str]
    ) -> None:
        self.commit_with_a_hook_that_raises(pair[0])
        assert recording.batches == []
        publish(Event("c", "x"), using=pair[0])
        assert names(recording) == [["before"], ["c"]]

    def test_the_end_of_the_request_brings_what_such_a_hook_held_up(
        self, recording: RecordingTransport, pair: tuple[str, str]
    ) -> None:
        self.commit_with_a_hook_that_raises(pair[0])
        request_finished.send(sender=None)
        request_finished.send(sender=None)
        assert names(recording) == [["before"]]

    def commit_with_a_hook_that_raises(self, using: str) -> None:
        """Commit: Django calls no hook behind the one that raises, so "after" is lost for good."""
        with pytest.raises(Boom), transaction.atomic(using):
            publish(Event("before", "x"), using=using)
            transaction.on_commit(raise_boom, using=using)
            publish(Event("after", "x"), using=using)

    def test_threads_have_transactions_of_their_own(
        self, recording: RecordingTransport, pair: tuple[str, str]
    ) -> None:
        def elsewhere() -> None:
            publish(Event("b", "x"), using=pair[0])
            connections.close_all()

        with transaction.atomic(pair[0]):
            publish(Event("a", "x"), using=pair[0])
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
        assert names(recording) == [["b"], ["a"]]


# Under the test cases of Django and pytest, whose own transaction is never committed


@override_settings(REALTIME_TRANSPORTS={"default": {"TRANSPORT": PATH}})
class UnderTestCase(TestCase):
    def setUp(self) -> None:
        transport = transports["default"]
        assert isinstance(transport, RecordingTransport)
        transport.batches.clear()
        self.transport = transport

    @property
    def batches(self) -> list[list[str]]:
        return names(self.transport)

    def test_captured_hooks_send(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            publish(Event("a", "x"))
            with transaction.atomic():
                publish(Event("b", "x"))
            assert self.batches == []
        assert self.batches == [["a", "b"]]

    def test_a_second_capture_sends_nothing_again(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            publish(Event("a", "x"))
        with self.captureOnCommitCallbacks(execute=True):
            publish(Event("b", "x"))
        with self.captureOnCommitCallbacks(execute=True):
            pass
        assert self.batches == [["a"], ["b"]]

    def test_nested_captures_send_once(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            with self.captureOnCommitCallbacks(execute=True):
                publish(Event("a", "x"))
            publish(Event("b", "x"))
        assert self.batches == [["a"], ["b"]]

    def test_what_was_published_before_a_capture_stays_out_of_it(self) -> None:
        publish(Event("before", "x"))
        hooks: list[int] = []
        transaction.on_commit(lambda: hooks.append(1))
        with self.captureOnCommitCallbacks(execute=True):
            publish(Event("a", "x"))
            transaction.on_commit(lambda: hooks.append(2))
        assert self.batches == [["a"]]
        assert hooks == [2]

    def test_a_rolled_back_savepoint_sends_nothing(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            with pytest.raises(Boom), transaction.atomic():
                publish(Event("gone", "x"))
                raise Boom
            publish(Event("a", "x"))
        assert self.batches == [["a"]]

    def test_without_capture_nothing_goes(self) -> None:
        publish(Event("a", "x"))
        assert self.batches == []


@override_settings(REALTIME_TRANSPORTS={"default": {"TRANSPORT": PATH}})
class UnderTransactionTestCase(TransactionTestCase):
    def test_it_goes_with_the_commit(self) -> None:
        transport = transports["default"]
        assert isinstance(transport, RecordingTransport)
        with transaction.atomic():
            publish(Event("a", "x"))
        assert names(transport) == [["a"]]


@pytest.mark.django_db
def test_the_fixture_of_pytest_django_hands_over(
    recording: RecordingTransport,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        publish(Event("a", "x"))
        publish(Event("b", "x"))
    assert names(recording) == [["a", "b"]]


@pytest.mark.django_db
@pytest.mark.parametrize("attempt", [1, 2])
def test_what_one_test_left_behind_does_not_reach_the_next(
    recording: RecordingTransport,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    attempt: int,
) -> None:
    publish(Event("left behind", "x"))
    with django_capture_on_commit_callbacks(execute=True):
        publish(Event(f"{attempt}", "x"))
    assert names(recording) == [[f"{attempt}"]]


@pytest.mark.django_db(transaction=True)
def test_thousands_of_events_leave_in_one_batch(recording: RecordingTransport) -> None:
    with transaction.atomic():
        for number in range(4000):
            publish(Event(f"{number}", "x"))
    assert len(recording.batches) == 1
    assert [event.name for event in recording.batches[0]] == [f"{n}" for n in range(4000)]


def test_nothing_is_logged_when_all_is_well(
    recording: RecordingTransport, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        publish(Event("a", "x"))
    assert caplog.text == ""
