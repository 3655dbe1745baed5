"""What is published is seen by tests, whatever transactions they run in."""

from __future__ import annotations

import asyncio
import io
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.test import TestCase, TransactionTestCase

from realtime_drf import Event, apublish, publish, publish_change
from realtime_drf.exceptions import (
    AccessRefused,
    EventRejected,
    PayloadTooLarge,
    TransportUnavailable,
)
from realtime_drf.signals import publish_failed
from realtime_drf.testing import (
    Outbox,
    RealtimeTestMixin,
    assert_nothing_published,
    assert_published,
    captured_events,
    in_memory,
)
from realtime_drf.transports import transports
from realtime_drf.transports.base import BaseTransport, Limits
from realtime_drf.transports.memory import MemoryTransport
from tests.todos.models import Todo

BOTH = pytest.mark.django_db(databases=["default", "other"])
REAL = pytest.mark.django_db(databases=["default", "other"], transaction=True)


def names(outbox: Outbox) -> list[str]:
    return [event.name for event in outbox]


def test_it_holds_what_was_published_by_every_alias(realtime_outbox: Outbox) -> None:
    publish(Event("a", "x", 1))
    publish(Event("b", ["x", "y"], 2), transport="other")
    assert [(event.name, event.channels) for event in realtime_outbox] == [
        ("a", ("x",)),
        ("b", ("x", "y")),
    ]
    assert [event.name for event in realtime_outbox.by("other")] == ["b"]
    assert realtime_outbox[0].data == 1
    assert [event.name for event in realtime_outbox[1:]] == ["b"]
    assert "b to x, y by 'other' 2" in repr(realtime_outbox)
    realtime_outbox.clear()
    realtime_outbox.assert_nothing_published()


@pytest.mark.parametrize("test", [1, 2])
def test_each_test_begins_with_an_empty_one(realtime_outbox: Outbox, test: int) -> None:
    assert len(realtime_outbox) == 0
    publish(Event("a", "x"))


def test_transports_are_put_back() -> None:
    before = transports["default"]
    with captured_events() as outbox:
        assert transports["default"] is not before
        publish(Event("a", "x"))
    assert names(outbox) == ["a"]
    assert type(transports["default"]) is MemoryTransport
    assert transports["default"].outbox == []


def test_settings_that_a_test_changes_are_put_back(pytester_run: Any) -> None:
    pytester_run(
        """
        def test_one(settings, realtime_outbox):
            settings.REALTIME_CACHE = "default"

        def test_another(settings):
            assert "outbox" not in settings.REALTIME_TRANSPORTS["default"].get("OPTIONS", {})
        """
    ).assert_outcomes(passed=2)


# Transactions


@pytest.mark.parametrize("using", ["default", "other"])
@BOTH
def test_under_db_an_event_goes_when_the_outermost_block_is_left(
    realtime_outbox: Outbox, using: str
) -> None:
    with transaction.atomic(using=using):
        with transaction.atomic(using=using):
            publish(Event("a", "x"), using=using)
        publish(Event("b", "x"), using=using)
        assert names(realtime_outbox) == []
    assert names(realtime_outbox) == ["a", "b"]
    publish(Event("c", "x"), using=using)
    assert names(realtime_outbox) == ["a", "b", "c"]


@BOTH
def test_under_db_what_is_rolled_back_does_not_go(realtime_outbox: Outbox) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        publish(Event("rolled back", "x"))
        raise ZeroDivisionError
    with transaction.atomic():
        publish(Event("outer", "x"))
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            publish(Event("inner", "x"))
            raise ZeroDivisionError
        publish(Event("other database", "x"), using="other")
        assert names(realtime_outbox) == ["other database"]
    assert names(realtime_outbox) == ["other database", "outer"]


@BOTH
def test_under_db_what_cannot_be_rolled_back_alone_does_not_go(realtime_outbox: Outbox) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic(savepoint=False):
        publish(Event("rolled back", "x"))
        raise ZeroDivisionError
    transaction.set_rollback(False)
    publish(Event("next", "x"))
    assert names(realtime_outbox) == ["next"]


@BOTH
def test_durable_blocks_are_transactions(realtime_outbox: Outbox) -> None:
    with transaction.atomic(durable=True):
        publish(Event("a", "x"))
    assert names(realtime_outbox) == ["a"]


@BOTH
def test_hooks_of_others_are_left_alone(
    realtime_outbox: Outbox, django_capture_on_commit_callbacks: Any
) -> None:
    called: list[str] = []
    with django_capture_on_commit_callbacks(execute=True) as callbacks, transaction.atomic():
        transaction.on_commit(lambda: called.append("mine"))
        publish(Event("a", "x"))
        transaction.on_commit(lambda: publish(Event("from a hook", "x")))
    assert called == ["mine"]
    assert names(realtime_outbox) == ["a", "from a hook"]
    assert sum("<lambda>" in repr(callback) for callback in callbacks) == 2
    transaction.on_commit(lambda: called.append("never"))
    assert called == ["mine"]


@REAL
def test_real_commits_are_waited_for(realtime_outbox: Outbox) -> None:
    with transaction.atomic():
        publish(Event("a", "x"))
        assert names(realtime_outbox) == []
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        publish(Event("rolled back", "x"))
        raise ZeroDivisionError
    assert names(realtime_outbox) == ["a"]


@pytest.fixture
def published_before(db: None) -> None:
    """Publish in the test's transaction before the outbox is there."""
    publish(Event("before", "x"))


def test_what_was_published_before_stays_where_it_was(
    published_before: None, realtime_outbox: Outbox
) -> None:
    publish(Event("after", "x"))
    assert names(realtime_outbox) == ["after"]
    hooks = [repr(hook[1]) for hook in connections["default"].run_on_commit]
    assert sum("EventEntry" in hook for hook in hooks) == 1


@pytest.mark.django_db
def test_backends_are_heard(realtime_outbox: Outbox) -> None:
    todo = Todo.objects.create(title="milk")
    publish_change(todo, action="create", channels=["todos"])
    realtime_outbox.assert_published("todo.create", channel="todos", data={"title": "milk"})


def test_coroutines_publish(realtime_outbox: Outbox) -> None:
    async def work() -> None:
        await apublish(Event("a", "x"))
        await sync_to_async(publish)(Event("b", "x"))

    asyncio.run(work())
    assert names(realtime_outbox) == ["a", "b"]


@pytest.mark.django_db(transaction=True)
def test_coroutines_with_transactions_publish(realtime_outbox: Outbox) -> None:
    def write() -> None:
        with transaction.atomic():
            publish(Event("a", "x"))
            assert names(realtime_outbox) == []

    async def work() -> None:
        await sync_to_async(write)()

    from asgiref.sync import async_to_sync

    async_to_sync(work)()
    assert names(realtime_outbox) == ["a"]


# Blocks


def test_blocks_may_be_nested(realtime_outbox: Outbox) -> None:
    publish(Event("a", "x"))
    with captured_events() as inner:
        publish(Event("b", "x"))
        assert_published("b")
        with pytest.raises(AssertionError):
            assert_published("a")
    publish(Event("c", "x"))
    assert (names(inner), names(realtime_outbox)) == (["b"], ["a", "b", "c"])


def test_without_a_block_memory_transports_are_asked() -> None:
    transports["other"].outbox.clear()  # type: ignore[attr-defined]
    transports["default"].outbox.clear()  # type: ignore[attr-defined]
    assert_nothing_published()
    publish(Event("a", "x", {"n": 1}), transport="other")
    assert_published("a", transport="other", data={"n": 1}, times=1)
    transports["other"].outbox.clear()  # type: ignore[attr-defined]


def test_without_a_block_other_transports_cannot_be_asked(settings: Any) -> None:
    path = "realtime_drf.transports.console.ConsoleTransport"
    settings.REALTIME_TRANSPORTS = {
        "default": {"TRANSPORT": path, "OPTIONS": {"stream": io.StringIO()}}
    }
    with pytest.raises(TypeError, match="use the fixture realtime_outbox"):
        assert_nothing_published()


def test_one_line_of_settings_swaps_all_transports(settings: Any) -> None:
    production = {
        "default": {
            "TRANSPORT": "no.such.Transport",
            "OPTIONS": {"key": "secret", "payload_limit": 100},
            "ON_ERROR": "raise",
            "DELIVERY": "no.such.Delivery",
        },
        "internal": {"TRANSPORT": "no.such.Transport", "ENABLED": False},
    }
    settings.REALTIME_TRANSPORTS = in_memory(production)
    publish(Event("a", "x"), transport="internal")
    assert_published("a", transport="internal")
    with pytest.raises(PayloadTooLarge):
        publish(Event("b", "x", "x" * 200))
    assert list(in_memory()) == ["default"]
    assert list(in_memory(["a", "b"])) == ["a", "b"]


class Small(MemoryTransport):
    """Take less than its base, and hand the rest of its options on."""

    def __init__(self, *, payload_limit: int | None = 50, **kwargs: Any) -> None:
        super().__init__(payload_limit=payload_limit, **kwargs)


class Handing(Small):
    """Have an option beside those of its base."""

    def __init__(self, *, other: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Fixed(BaseTransport):
    """Have a limit that is no option, and need what is not there."""

    limits = Limits(payload_bytes=60)

    def __init__(self, **kwargs: Any) -> None:
        raise AssertionError("it was made")

    def send_batch(self, events: Any) -> None: ...


@pytest.mark.parametrize(
    ("transport", "options", "limit"),
    [
        (Small, {}, 50),
        (Handing, {"other": 2}, 50),
        (Handing, {"payload_limit": 70}, 70),
        (Handing, {"payload_limit": None}, None),
        (Fixed, {}, 60),
        ("realtime_drf.transports.ably.AblyTransport", {"key": "a.b:c"}, 65_536),
        ("realtime_drf.transports.pusher.PusherTransport", {}, 10_240),
        ("no.such.Transport", {}, 10_240),
        (__name__ + ".names", {}, 10_240),
        (7, {}, 10_240),
    ],
)
def test_as_much_data_is_taken_as_by_the_transport_that_is_swapped(
    settings: Any, transport: Any, options: dict[str, Any], limit: int | None
) -> None:
    path = f"{__name__}.{transport.__name__}" if isinstance(transport, type) else transport
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": path, "OPTIONS": options}}
    with captured_events() as outbox:
        memory = transports["default"]
        assert isinstance(memory, MemoryTransport)
        assert memory.limits.payload_bytes == limit
        publish(Event("fits", "x", "x" * ((limit or 99_999) - 2)))
        if limit is not None:
            publish(Event("too large", "x", "x" * (limit - 1)))
    assert names(outbox) == ["fits"]


def test_an_alias_that_is_disabled_is_captured(settings: Any) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": "no.such", "ENABLED": False}}
    with captured_events() as outbox:
        publish(Event("a", "x"))
    assert names(outbox) == ["a"]


# Faults


def test_a_fault_is_met_once_and_nothing_goes(realtime_outbox: Outbox) -> None:
    failed = mock.Mock()
    publish_failed.connect(failed)
    realtime_outbox.fail_next(TransportUnavailable)
    publish(Event("a", "x"), Event("b", "x"))
    publish(Event("c", "x"))
    assert names(realtime_outbox) == ["c"]
    [call] = failed.call_args_list
    assert [event.name for event in call.kwargs["events"]] == ["a", "b"]
    assert isinstance(call.kwargs["error"], TransportUnavailable)


def test_a_refusal_costs_no_companion(realtime_outbox: Outbox) -> None:
    realtime_outbox.fail_next(EventRejected)
    failed = mock.Mock()
    publish_failed.connect(failed)
    publish(Event("a", "x"), Event("b", "x"), Event("c", "x"))
    assert names(realtime_outbox) == ["b", "c"]
    assert [event.name for event in failed.call_args.kwargs["events"]] == ["a"]


def test_faults_may_be_of_one_transport_of_several_kinds_and_repeated(
    realtime_outbox: Outbox,
) -> None:
    realtime_outbox.fail_next(TransportUnavailable("We are down."), times=2, transport="other")
    realtime_outbox.fail_next(AccessRefused)
    publish(Event("a", "x"), transport="other")
    publish(Event("b", "x"))
    publish(Event("c", "x"), transport="other")
    publish(Event("d", "x"), transport="other")
    publish(Event("e", "x"))
    assert names(realtime_outbox) == ["d", "e"]


def test_faults_of_an_inner_block_are_met_first(realtime_outbox: Outbox) -> None:
    with captured_events() as inner:
        inner.fail_next(TransportUnavailable)
        publish(Event("a", "x"))
        publish(Event("b", "x"))
    assert names(realtime_outbox) == names(inner) == ["b"]


def test_latency_is_waited_for() -> None:
    waited: list[float] = []
    outbox = Outbox(sleep=waited.append)
    outbox.latency = 0.5
    assert outbox.record_call("default", [Event("a", "x")])[1] is None
    assert waited == [0.5]


@BOTH
def test_errors_are_raised_as_without_a_transaction(settings: Any) -> None:
    entry = {"TRANSPORT": "realtime_drf.transports.memory.MemoryTransport", "ON_ERROR": "raise"}
    settings.REALTIME_TRANSPORTS = {"default": entry}
    with captured_events() as outbox:
        outbox.fail_next(TransportUnavailable, times=2)
        with pytest.raises(TransportUnavailable):
            publish(Event("a", "x"))
        with transaction.atomic():
            publish(Event("b", "x"))  # what fails after a commit reaches nobody
    assert names(outbox) == []


# Django's test cases


class Checks(RealtimeTestMixin):
    """Run the same in each kind of test case."""

    def test_an_event_goes_when_the_block_is_left(self) -> None:
        with transaction.atomic():
            publish(Event("a", "x"))
            self.assert_nothing_published()
        [event] = self.assert_published("a", channel="x", times=1)
        assert event.data is None
        with pytest.raises(AssertionError):
            self.assert_nothing_published()

    def test_a_client_receives(self) -> None:
        client = self.realtime_client()
        client.subscribe("todos")
        publish(Event("a", "todos"))
        assert [event.name for event in client.received] == ["a"]


class InTestCase(Checks, TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        publish(Event("before", "x"))


class InTransactionTestCase(Checks, TransactionTestCase):
    pass


class InAsyncTestCase(RealtimeTestMixin, TestCase):
    async def test_a_coroutine_publishes(self) -> None:
        await apublish(Event("a", "x"))
        self.assert_published("a")
