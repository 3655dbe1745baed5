"""Webhooks on a bad day: late, twice, out of order, now to this process and now to that."""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.services.http_connection import Answer, Request
from tests.services.http_service import HttpService


class LateWebhooks(HttpService):
    """Take webhooks at once, and pass them on later.

    Args:
        factor: by what the delays are divided; the longest is 20 seconds.
    """

    targets: Sequence[str] = ()
    """URLs; each webhook goes to one of them, and if it goes twice, perhaps to another."""

    def __init__(self, factor: float, seed: int) -> None:
        super().__init__()
        self._factor = factor
        self._random = random.Random(seed)
        self._waiting: list[tuple[float, int, Request]] = []
        self._number = itertools.count()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._pool = ThreadPoolExecutor(4)
        self.passed_on = 0
        self.refused = 0

    def start(self) -> None:
        super().start()
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()
        self._pool.shutdown()
        super().stop()

    def respond(self, request: Request) -> Answer:
        with self.changed:
            for _ in range(self._random.choice([1, 1, 2])):
                due = time.monotonic() + self._delay() / self._factor
                heapq.heappush(self._waiting, (due, next(self._number), request))
        return Answer()

    def _delay(self) -> float:
        kind = self._random.random()
        if kind < 0.6:
            return self._random.uniform(0, 0.3)
        return self._random.uniform(1, 5) if kind < 0.85 else 20

    def _pass_on(self) -> None:
        while not self._is_over.wait(0.02):
            with self.changed:
                while self._waiting and self._waiting[0][0] <= time.monotonic():
                    _, _, request = heapq.heappop(self._waiting)
                    self._pool.submit(self._post, request, self._random.choice(self.targets))
                    self.passed_on += 1

    def _post(self, request: Request, url: str) -> None:
        names = ("content-type", "x-pusher-key", "x-pusher-signature")
        headers = {name: request.headers[name] for name in names}
        again = urllib.request.Request(url, request.raw_body, headers)
        try:
            urllib.request.urlopen(again, timeout=10).close()
        except OSError:
            self.refused += 1
