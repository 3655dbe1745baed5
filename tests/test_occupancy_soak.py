"""The law of occupancy against real parts: soketi, pusher-js, two Django processes, two Redis.

Webhooks arrive late, twice and out of order, and the cache fails over meanwhile.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.core.cache.backends.redis import RedisCache

from realtime_drf.occupancy.vacancy import GRACE
from tests.occupancy_site import PRIVATE, Site
from tests.pages import ROOT
from tests.services import redis, soketi
from tests.services.forwarder import Forwarder
from tests.services.policy import require
from tests.services.process import (
    LOCALHOST,
    ServerProcess,
    accepts_connections,
    free_port,
    wait_until,
)
from tests.services.pusher_js import Endpoint, PusherJS
from tests.soak.crowd import Client, Outcome, Publisher, compare
from tests.soak.late_webhooks import LateWebhooks

pytest.importorskip("pusher")


class Cache:
    """Two Redis, of which one follows the other, behind one address."""

    def __init__(self, stack: ExitStack) -> None:
        self.first = stack.enter_context(redis.Redis())
        self.second = stack.enter_context(redis.Redis(replica_of=self.first.port))
        self.address = stack.enter_context(Forwarder(self.first.port))
        wait_until(
            lambda: self.ask(self.second, "INFO", "replication")["master_link_status"] == "up"
        )

    def ask(self, server: redis.Redis, *words: Any) -> Any:
        import redis as client

        with client.Redis(port=server.port) as connection:
            return connection.execute_command(*words)

    def fail_over(self) -> None:
        """Fail over as planned: the follower has every write before it leads."""
        self.ask(self.first, "FAILOVER", "TO", LOCALHOST, self.second.port)
        wait_until(lambda: self.ask(self.second, "INFO", "replication")["role"] == "master", 10)
        self.address.switch(self.second.port)
        self.first, self.second = self.second, self.first

    @contextmanager
    def losing(self) -> Iterator[None]:
        """Fail over in the end; the new leader lacks what the old one takes within the block."""
        self.ask(self.first, "WAIT", 1, 5000)
        self.ask(self.second, "REPLICAOF", "NO", "ONE")
        yield
        self.address.switch(self.second.port)
        self.first, self.second = self.second, self.first


class Soak:
    """All of it, for as long as the `with` block lasts.

    Args:
        factor: by what the times of occupancy and the delays are divided.
    """

    def __init__(self, factor: float, seed: int) -> None:
        self.factor = factor
        self.seed = seed
        self.is_over = threading.Event()
        self.errors: list[BaseException] = []
        self._servers: list[ServerProcess] = []
        self._stack = ExitStack()

    def __enter__(self) -> Soak:
        with ExitStack() as stack:
            self.cache = Cache(stack)
            self.webhooks = stack.enter_context(LateWebhooks(self.factor, self.seed))
            self.service = stack.enter_context(
                soketi.Soketi(webhook_url=f"{self.webhooks.url}/hooks/")
            )
            urls = [self._serve(stack) for _ in range(2)]
            self.webhooks.targets = [f"{url}/realtime/webhooks/" for url in urls]
            self.publishers = [
                Publisher(f"{url}/publish/", number) for number, url in enumerate(urls)
            ]
            self.clients = [Client(self._connect(stack, urls[n % 2], n), n % 2) for n in range(3)]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def run(self, seconds: float, *incidents: tuple[float, Callable[[], None]]) -> None:
        """Let everybody go about for so long, and things happen at these parts of it."""
        number = itertools.count()
        jobs: list[Callable[[], None]] = []
        for client in self.clients:
            chance = random.Random(self.seed + len(jobs))
            jobs.append(
                lambda client=client, chance=chance: client.come_and_go(
                    self.is_over, chance, self.factor
                )
            )
        for publisher in self.publishers:
            chance = random.Random(self.seed + len(jobs))
            jobs.append(
                lambda publisher=publisher, chance=chance: publisher.publish(
                    self.is_over, chance, lambda: next(number)
                )
            )
        threads = [threading.Thread(target=self._guarded, args=[job]) for job in jobs]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for part, happens in incidents:
            self.is_over.wait(started + part * seconds - time.monotonic())
            happens()
        self.is_over.wait(started + seconds - time.monotonic())
        self.is_over.set()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    @property
    def figures(self) -> dict[str, Any]:
        ticks = sum(len(each.ticks) for each in self.publishers)
        outcome = self.outcome()
        return {
            "published": ticks,
            "sent": sum(each.sent for each in self.publishers),
            "webhooks": self.webhooks.passed_on,
            "webhooks refused": self.webhooks.refused,
            "expected": dict(outcome.expected),
            "missed": dict(Counter(each.tick.kind for each in outcome.missed)),
        }

    def outcome(self) -> Outcome:
        ticks = [tick for publisher in self.publishers for tick in publisher.ticks]
        return compare(self.clients, ticks)

    def log(self) -> str:
        return "\n".join(each.log.read_text() for each in self._servers)

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as exc:  # noqa: BLE001  raised in the test's thread
            self.errors.append(exc)
            self.is_over.set()

    def _serve(self, stack: ExitStack) -> str:
        service = self.service
        credentials = {"app_id": service.app_id, "key": service.key, "secret": service.secret}
        given = {
            "options": {
                **credentials,
                "host": service.host,
                "port": service.port,
                "ssl": False,
                "encryption_master_key_base64": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
            },
            "cache": f"redis://{LOCALHOST}:{self.cache.address.port}/0",
            "factor": self.factor,
        }
        port = free_port()
        server = ServerProcess("soak")
        stack.callback(server.stop)
        server.start(
            [sys.executable, "-m", "tests.soak.site", str(port)],
            ready=lambda: accepts_connections(port),
            env={"SOAK": json.dumps(given), "PYTHONPATH": str(ROOT), "NO_PROXY": LOCALHOST},
        )
        self._servers.append(server)
        return f"http://{LOCALHOST}:{port}"

    def _connect(self, stack: ExitStack, url: str, number: int) -> PusherJS:
        endpoint = Endpoint(f"{url}/realtime/auth/", headers={"X-User": str(number)})
        client = PusherJS(port=self.service.port, key=self.service.key, auth=endpoint, timeout=20)
        stack.callback(client.close)
        return client.start()


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> Iterator[Soak]:
    for service in (redis, soketi):
        require(service.__name__.rpartition(".")[2], service.unavailable())
    seed = int(os.environ.get("REALTIME_SOAK_SEED", random.randrange(10_000)))
    with Soak(request.param, seed) as running:
        yield running


@pytest.mark.end_to_end
def test_what_a_process_knows_is_sent_after_a_failover_that_loses_it() -> None:
    require("redis", redis.unavailable())
    with ExitStack() as stack:
        cache = Cache(stack)
        site = Site(RedisCache(f"redis://{LOCALHOST}:{cache.address.port}/0", {}))
        site.service.supports_channel_info = False
        site.report("occupied", PRIVATE)
        site.now += GRACE + 1
        site.report("vacated", PRIVATE)
        with cache.losing():
            site.two.mark_occupied([PRIVATE])
            site.report("occupied", PRIVATE)
        assert site.sends(PRIVATE, worker=site.worker()) == [], "the cache has lost it"
        for worker in (site.one, site.two):
            assert site.sends(PRIVATE, worker=worker) == [PRIVATE]
        site.cache.close()


@pytest.mark.end_to_end
@pytest.mark.parametrize("soak", [5.0], indirect=True)
def test_nothing_on_a_private_channel_is_missed_in_a_planned_failover(soak: Soak) -> None:
    soak.run(8, (0.5, soak.cache.fail_over))
    figures = soak.figures
    assert "private" not in figures["missed"], (soak.seed, figures, soak.log())
    assert figures["expected"]["private"] > 10
    assert figures["webhooks refused"] == 0, soak.log()


@pytest.mark.soak
@pytest.mark.end_to_end
@pytest.mark.parametrize("soak", [1.0], indirect=True)
def test_nothing_on_a_private_channel_is_missed_for_minutes(
    soak: Soak, capsys: pytest.CaptureFixture[str]
) -> None:
    lost_at = []

    def lose() -> None:
        lost_at.append(time.monotonic())
        with soak.cache.losing():
            soak.is_over.wait(1)

    soak.run(150, (0.4, soak.cache.fail_over), (0.7, lose))
    missed = [each for each in soak.outcome().missed if each.tick.kind == "private"]
    before = [each for each in missed if each.tick.ended < lost_at[0]]
    known = [each for each in missed if each.was_granted_by_publisher]
    with capsys.disabled():
        print(
            f"\nsoak, seed {soak.seed}: {soak.figures}, of private ones after a loss {len(missed)}"
        )
    assert soak.webhooks.refused == 0, soak.log()
    assert before == [], soak.log()
    assert known == [], soak.log()
