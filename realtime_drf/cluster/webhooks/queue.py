"""A queue of the reports to one endpoint: they are delivered in order, and retried for a while.

It has a thread of its own, so that a slow or missing endpoint delays neither the event loop nor
other endpoints. What is reported during a request goes in the next one.

Each report is tried for `LIFETIME` seconds. As long as none of a request's reports is older, the
very same body is sent again, so that a receiver can recognize it; then the rest goes in another.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from realtime_drf.tracebacks import opaque

logger = logging.getLogger("realtime_drf")

LIFETIME: Final = 300.0
"""Seconds for which a report is retried, as Pusher does.

https://pusher.com/docs/channels/server_api/webhooks/
"""

MAX_DELAY: Final = 60.0
"""Seconds between two tries, at most: one to two at first, and doubled with each."""

COLLECTING: Final = 0.1
"""Seconds for which reports are collected for one request."""

TIMEOUT: Final = 10.0
"""Seconds that a receiver has to respond."""

MAX_REPORTS: Final = 500
MAX_BYTES: Final = 262_144
"""Of one request. A single report is sent whatever its size."""

MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 16_777_216
"""Of one endpoint. What exceeds it is dropped, the oldest first."""

IDLE: Final = 60.0
"""Seconds without a report after which the thread ends; the next report starts another."""

DRAIN_TIMEOUT: Final = 3.0
"""Seconds for what is waiting when the process ends."""


class DeliveryFailed(Exception):
    """A failed request; the message says why, without its URL or body."""


class Report(NamedTuple):
    """A report: its JSON, and when it was made, by the clock and in milliseconds since 1970."""

    text: bytes
    at: float
    time_ms: int


Post = Callable[[int, Sequence[bytes], float], None]
"""Posts reports with the time at which the first was made, within so many seconds."""


class EndpointQueue:
    """The reports to one endpoint. `put` and `close` may be called from any thread.

    Args:
        name: identifies the endpoint in logs.
        post: makes a request, always the same one for the same arguments; raises DeliveryFailed.
        tenacity: the module, which is only installed for webhooks.
        clock: returns seconds that never go back.
        wall_clock: returns the time in seconds since 1970.
        pause: waits for so many seconds; by default less if the queue is closed.
    """

    def __init__(
        self,
        name: str,
        post: Post,
        *,
        tenacity: Any,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        pause: Callable[[float], Any] | None = None,
    ) -> None:
        self.name = name
        self.dropped = 0
        """Reports that were not delivered."""
        self._post = post
        self._tenacity = tenacity
        self._clock = clock
        self._wall_clock = wall_clock
        self._pause = pause
        self._changed = threading.Condition()
        self._waiting: deque[Report] = deque()
        self._waiting_bytes = 0
        self._current: list[Report] = []
        self._overflowed = 0
        self._failures = 0
        self._is_last_try = False
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._close_at = float("inf")

    def __repr__(self) -> str:
        return f"<EndpointQueue to {self.name}>"

    # For all threads

    def put(self, text: bytes) -> None:
        """Queue a report; return at once."""
        with self._changed:
            report = Report(text, self._clock(), int(self._wall_clock() * 1000))
            self._waiting.append(report)
            self._waiting_bytes += len(text)
            while len(self._waiting) > MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES:
                self._take_first()
                self._overflowed += 1
            if self._thread is None:
                self._start()
            else:
                self._changed.notify_all()

    def flush(self, seconds: float = DRAIN_TIMEOUT) -> None:
        """Have all that is waiting tried once more, now, for at most so many seconds."""
        if self._thread is not None:
            with self._changed:
                self._close_at = self._clock() + seconds
                self._closing.set()
                self._changed.notify_all()

    def close(self, seconds: float = DRAIN_TIMEOUT) -> None:
        """Flush, and wait for it. The next report starts another thread."""
        self.flush(seconds)
        self.join(seconds)

    def join(self, seconds: float) -> None:
        """Wait for what `flush` has begun."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _start(self) -> None:
        self._closing = threading.Event()
        self._close_at = float("inf")
        self._thread = threading.Thread(
            target=self._run, name=f"realtime_drf {self.name}", daemon=True
        )
        self._thread.start()

    # In the thread

    def _run(self) -> None:
        while self._wait():
            try:
                self.deliver()
            except Exception:
                logger.exception("%s: a request could not be made.", self.name)
                self._drop(self._current, "could not be sent")
                self._current = []

    def _wait(self) -> bool:
        """Wait until there is something to do, and a little for more; return False to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing.is_set(), IDLE)
            if not self._waiting and not self._current:
                self._thread = None
                return False
        (self._pause or self._closing.wait)(COLLECTING)
        return True

    @opaque
    def deliver(self) -> None:
        """Deliver all that is waiting; return once it has arrived, or is too old."""
        tenacity = self._tenacity
        closing = self._closing
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(DeliveryFailed),
            wait=tenacity.wait_exponential_jitter(max=MAX_DELAY),
            stop=lambda state: self._is_last_try,
            sleep=self._pause or closing.wait,
        )
        while self._waiting or self._current:
            try:
                retrying(self._try_once)
            except tenacity.RetryError:
                self._give_up()

    def _try_once(self) -> None:
        """Send the current request again, or the next one."""
        self._report_overflow()
        self._is_last_try = self._closing.is_set()
        reports = self._current = self._find_request()
        if not reports:
            return
        timeout = min(TIMEOUT, self._close_at - self._clock())
        try:
            if timeout <= 0:
                raise DeliveryFailed("the process ends")
            self._post(reports[0].time_ms, [report.text for report in reports], timeout)
        except DeliveryFailed as exc:
            if not self._failures:
                logger.warning("%s does not accept webhooks: %s. They will be retried.", self, exc)
            self._failures += 1
            raise
        self._current = []
        if self._failures:
            logger.info("%s accepts webhooks again, after %d tries.", self, self._failures)
            self._failures = 0

    def _find_request(self) -> list[Report]:
        """Return the same reports as before while none is too old, or else the next ones."""
        oldest = self._clock() - LIFETIME
        if self._current and self._current[0].at > oldest:
            return self._current
        with self._changed:
            for report in reversed(self._current):
                self._waiting.appendleft(report)
                self._waiting_bytes += len(report.text)
            expired = []
            while self._waiting and self._waiting[0].at <= oldest:
                expired.append(self._take_first())
            reports = self._take_some()
        self._drop(expired, f"did not arrive within {LIFETIME:.0f} seconds")
        return reports

    def _take_some(self) -> list[Report]:
        reports: list[Report] = []
        size = 0
        while self._waiting and len(reports) < MAX_REPORTS:
            size += len(self._waiting[0].text) + 1
            if reports and size > MAX_BYTES:
                break
            reports.append(self._take_first())
        return reports

    def _take_first(self) -> Report:
        report = self._waiting.popleft()
        self._waiting_bytes -= len(report.text)
        return report

    def _give_up(self) -> None:
        """Drop what was tried for the last time, and all that is waiting if no time is left."""
        reports, self._current = self._current, []
        with self._changed:
            while self._waiting and self._clock() >= self._close_at:
                reports.append(self._take_first())
        self._drop(reports, "did not arrive before the process ended")

    def _report_overflow(self) -> None:
        with self._changed:
            count, self._overflowed = self._overflowed, 0
        self._drop_count(count, "were too many to queue")

    def _drop(self, reports: Sequence[Report], why: str) -> None:
        self._drop_count(len(reports), why)

    def _drop_count(self, count: int, why: str) -> None:
        if count:
            self.dropped += count
            logger.error("%s: %d report(s) %s, and were dropped.", self, count, why)
