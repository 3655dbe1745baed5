"""A queue brings reports in order, tries for five minutes, and holds up nobody. Time is ours."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_drf.cluster.webhooks import queue as module
from realtime_drf.cluster.webhooks.queue import DeliveryFailed, EndpointQueue
from realtime_drf.forks import PerProcess
from tests.services.process import wait_until

tenacity = pytest.importorskip("tenacity")


class Endpoint:
    """A receiver, and time, which passes only where somebody waits."""

    def __init__(self, failures: Sequence[bool] = ()) -> None:
        self.now = 1000.0
        self.failures = list(failures)
        self.is_down = False
        #: Every try: when, and which reports.
        self.tries: list[tuple[float, list[bytes]]] = []
        self.failed: list[bool] = []
        self.times: list[int] = []
        self.timeouts: list[float] = []
        self.arrived: list[bytes] = []
        self.pauses: list[float] = []
        self.on_try: Callable[[], Any] = lambda: None
        self.queue = EndpointQueue(
            "the endpoint",
            self.post,
            tenacity=tenacity,
            clock=lambda: self.now,
            wall_clock=lambda: self.now,
            pause=self.pause,
        )

    def post(self, time_ms: int, texts: Sequence[bytes], timeout: float) -> None:
        self.tries.append((self.now, list(texts)))
        self.times.append(time_ms)
        self.timeouts.append(timeout)
        self.on_try()
        self.failed.append(self.is_down or bool(self.failures and self.failures.pop(0)))
        if self.failed[-1]:
            raise DeliveryFailed("status 503")
        self.arrived += texts

    def pause(self, seconds: float) -> None:
        if seconds != module.COLLECTING:
            self.pauses.append(seconds)
            self.now += seconds

    def settle(self, count: int) -> None:
        """Wait until so many reports have arrived or are dropped."""
        wait_until(lambda: len(self.arrived) + self.queue.dropped == count)


@contextmanager
def an_endpoint(failures: Sequence[bool] = ()) -> Iterator[Endpoint]:
    endpoint = Endpoint(failures)
    yield endpoint
    endpoint.queue.close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with an_endpoint() as made:
        yield made


def test_pauses_double_up_to_a_minute_and_the_same_is_tried_for_five_minutes(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.is_down = True
    endpoint.queue.put(b"1")
    endpoint.settle(1)
    assert endpoint.queue.dropped == 1
    *pauses, last = endpoint.pauses
    for number, pause in enumerate(pauses):
        assert min(2**number, 60) <= pause <= min(2**number + 1, 60)
    assert {tuple(texts) for _, texts in endpoint.tries} == {(b"1",)}
    assert set(endpoint.times) == {1_000_000}, "a try that is repeated says the same time"
    assert sum(pauses) < 300 <= sum(pauses) + last
    assert 9 <= len(endpoint.tries) <= 11
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2, "the beginning, and what was lost"
    assert "1 report(s) did not arrive within 300 seconds" in messages[1]


def test_what_is_reported_while_a_request_is_under_way_goes_in_the_next_one(
    endpoint: Endpoint,
) -> None:
    more: list[list[bytes]] = [[b"2", b"3", b"4"], []]
    endpoint.on_try = lambda: [endpoint.queue.put(text) for text in (more.pop(0) if more else [])]
    endpoint.queue.put(b"1")
    endpoint.settle(4)
    assert [texts for _, texts in endpoint.tries] == [[b"1"], [b"2", b"3", b"4"]]


def test_what_gathers_before_the_first_request_goes_together(endpoint: Endpoint) -> None:
    gate = threading.Event()
    endpoint.queue._pause = lambda seconds: gate.wait(5)
    for text in (b"1", b"2", b"3"):
        endpoint.queue.put(text)
    gate.set()
    endpoint.settle(3)
    assert [texts for _, texts in endpoint.tries] == [[b"1", b"2", b"3"]]


def test_an_older_report_does_not_take_younger_ones_with_it(endpoint: Endpoint) -> None:
    """The endpoint is back after 380 seconds: what is younger than 300 then arrives, in order."""
    start = endpoint.now
    due = [60, 150, 200]

    def on_try() -> None:
        while due and endpoint.now >= start + due[0]:
            endpoint.queue.put(b"after %d" % due.pop(0))
        endpoint.is_down = endpoint.now < start + 380

    endpoint.on_try = on_try
    endpoint.queue.put(b"after 0")
    endpoint.settle(4)
    assert endpoint.arrived == [b"after 150", b"after 200"]
    assert endpoint.queue.dropped == 2
    assert set(endpoint.pauses[6:]) == {60}, "and nobody is tried more often because of it"


def test_the_next_failure_begins_with_a_short_pause_again(endpoint: Endpoint) -> None:
    endpoint.failures = [True] * 5 + [False] + [True]
    endpoint.on_try = lambda: endpoint.queue.put(b"2") if len(endpoint.tries) == 6 else None
    endpoint.queue.put(b"1")
    endpoint.settle(2)
    assert endpoint.pauses[4] >= 16
    assert 1 <= endpoint.pauses[5] <= 2


def test_a_request_has_bounds(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REPORTS", 3)
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    texts = [b"1", b"2", b"3", b"4", b"x" * 50, b"55555", b"66666"]
    gate = threading.Event()
    endpoint.queue._pause = lambda seconds: gate.wait(5)
    for text in texts:
        endpoint.queue.put(text)
    gate.set()
    endpoint.settle(7)
    assert [len(texts) for _, texts in endpoint.tries] == [3, 1, 1, 1, 1]
    assert endpoint.arrived == texts


@pytest.mark.parametrize(("limit", "value"), [("MAX_WAITING", 3), ("MAX_WAITING_BYTES", 6)])
def test_what_is_too_much_to_wait_is_dropped_the_oldest_first_counted_and_logged(
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    limit: str,
    value: int,
) -> None:
    monkeypatch.setattr(module, limit, value)
    endpoint.failures = [True]
    more = [b"%02d" % number for number in range(1, 11)]

    def on_try() -> None:
        while more:
            endpoint.queue.put(more.pop(0))

    endpoint.on_try = on_try
    endpoint.queue.put(b"00")
    endpoint.settle(11)
    assert endpoint.arrived == [b"00", b"08", b"09", b"10"], "what was under way stays"
    assert endpoint.queue.dropped == 7
    assert "7 report(s) were too many to queue" in caplog.text


def test_an_endpoint_that_is_back_is_logged(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    endpoint.failures = [True, True]
    endpoint.queue.put(b"secret")
    endpoint.settle(1)
    wait_until(lambda: "again, after 2 tries" in caplog.text)
    assert caplog.text.count("status 503") == 1
    assert "b'secret'" not in caplog.text


def test_closing_tries_once_what_waits_and_then_gives_up(caplog: pytest.LogCaptureFixture) -> None:
    def post(time_ms: int, texts: Sequence[bytes], timeout: float) -> None:
        calls.append((list(texts), timeout))
        raise DeliveryFailed("status 503")

    calls: list[tuple[list[bytes], float]] = []
    queue = EndpointQueue("the endpoint", post, tenacity=tenacity)
    queue.put(b"1")
    wait_until(lambda: queue._failures)
    queue.put(b"2")
    queue.close(2)
    assert [texts for texts, _ in calls] == [[b"1"], [b"1"], [b"2"]], "once more, without its pause"
    assert calls[-1][1] <= 2
    assert queue.dropped == 2
    assert caplog.text.count("1 report(s) did not arrive before the process ended") == 2
    queue.put(b"3")
    wait_until(lambda: calls[-1][0] == [b"3"])
    queue.close(2)
    assert queue.dropped == 3


def test_closing_sends_what_waits_however_many_requests_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_REPORTS", 2)
    monkeypatch.setattr(module, "COLLECTING", 60)
    requests: list[list[bytes]] = []
    queue = EndpointQueue("x", lambda _, texts, __: requests.append(list(texts)), tenacity=tenacity)
    for text in (b"1", b"2", b"3"):
        queue.put(text)
    queue.close(5)
    assert requests == [[b"1", b"2"], [b"3"]]


def test_closing_does_not_wait_for_an_endpoint_that_does_not_answer() -> None:
    under_way, gate = threading.Event(), threading.Event()

    def post(time_ms: int, texts: Sequence[bytes], timeout: float) -> None:
        under_way.set()
        gate.wait(10)

    queue = EndpointQueue("x", post, tenacity=tenacity)
    queue.put(b"1")
    assert under_way.wait(5)
    queue.put(b"2")
    thread = queue._thread
    assert thread is not None
    queue.close(0.05)
    assert thread.is_alive()
    gate.set()
    thread.join(5)
    assert not thread.is_alive()
    assert queue.dropped == 1, "there was no time left for the second"


def test_closing_what_has_nothing_to_do_returns_at_once(endpoint: Endpoint) -> None:
    endpoint.queue.close()
    endpoint.queue.put(b"1")
    endpoint.settle(1)
    endpoint.queue.close()
    assert endpoint.queue._thread is None


def test_what_cannot_be_posted_at_all_is_dropped_and_the_next_goes(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    def fail_once() -> None:
        endpoint.on_try = lambda: None
        raise RuntimeError("a mistake of ours")

    endpoint.on_try = fail_once
    endpoint.queue.put(b"1")
    endpoint.settle(1)
    endpoint.queue.put(b"2")
    endpoint.settle(2)
    assert endpoint.arrived == [b"2"]
    assert "could not be sent" in caplog.text


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_begins_anew_and_leaves_to_its_parent_what_waits_there() -> None:
    reading, writing = os.pipe()
    gate = threading.Event()

    def post(time_ms: int, texts: Sequence[bytes], timeout: float) -> None:
        if os.getpid() == parent:
            gate.wait(10)
        os.write(writing, b"".join([*texts, b";"]))

    parent = os.getpid()
    queues = PerProcess(lambda: EndpointQueue("x", post, tenacity=tenacity))
    queue = queues.get()
    queue.put(b"parent")
    child = os.fork()
    if child == 0:
        try:
            assert queues.peek() is None  # nothing is here to be waited for
            queue = queues.get()
            queue.put(b"child")
            queue.close(5)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"child;"
    gate.set()
    queue.close(5)
    assert os.read(reading, 100) == b"parent;"
    os.close(reading)
    os.close(writing)


@given(
    failures=st.lists(st.booleans(), max_size=40),
    bursts=st.lists(st.integers(0, 6), min_size=1, max_size=12),
    most=st.integers(1, 5),
)
def test_whatever_fails_the_order_stays_and_nothing_is_lost_unnoticed(
    failures: list[bool], bursts: list[int], most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch, an_endpoint(failures) as endpoint:
        patch.setattr(module, "MAX_REPORTS", most)
        put: dict[bytes, float] = {}
        lock = threading.Lock()

        def put_burst() -> None:
            with lock:
                for _ in range(bursts.pop() if bursts else 0):
                    text = b"%d" % len(put)
                    put[text] = endpoint.now
                    endpoint.queue.put(text)

        endpoint.on_try = put_burst
        while bursts:
            put_burst()
            wait_until(lambda: len(endpoint.arrived) + endpoint.queue.dropped == len(put))
        numbers = [int(text) for text in endpoint.arrived]
        assert numbers == sorted(set(numbers)), "in order, and once"
        for number, (now, texts) in enumerate(endpoint.tries):
            assert 1 <= len(texts) <= most
            assert all(now - put[text] < 300 for text in texts)
            _, before = endpoint.tries[number - 1]
            if number and endpoint.failed[number - 1] and now - put[before[0]] < 300:
                assert texts == before, "what has failed is repeated as it was"
