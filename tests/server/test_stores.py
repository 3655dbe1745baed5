"""Both stores keep the same: in memory, and in a real Redis."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from realtime_drf.server.memory_store import MemoryStore
from realtime_drf.server.redis_store import RedisStore
from realtime_drf.server.store import CHANGES_KEPT_FOR, LEASE, Outcome, Slice, View
from tests.services.redis import Redis

pytest.importorskip("redis")

NODES = ("node-1", "node-2", "node-3")
CHANNELS = ("presence-a", "presence-b", "news", "#server-to-user-7")
USERS = ("1", "2", "line\nfeed", "nul\0 and half a pair \ud83d", "Käse 🧀: {}")
INFOS = ("", '{"name": "é"}', "\0")
DELAY = 3.0

slices = st.lists(
    st.builds(
        Slice,
        channel=st.sampled_from(CHANNELS),
        subscriptions=st.integers(0, 3),
        members=st.dictionaries(st.sampled_from(USERS), st.sampled_from(INFOS)),
        is_counted=st.booleans(),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda each: each.channel,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def comparable(answer: Any) -> Any:
    """Return an answer without what is in no order."""
    if isinstance(answer, list):
        return [comparable(each) for each in answer]
    if isinstance(answer, Outcome):
        return answer._replace(
            views=comparable(list(answer.views)),
            reports=sorted(answer.reports),
        )
    if isinstance(answer, View):
        return answer._replace(
            members=dict(answer.members), came=set(answer.came), left=set(answer.left)
        )
    return answer


class Stores(RuleBasedStateMachine):
    """Take the same steps on both stores, and compare each answer."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.runner = asyncio.Runner()
        self.redis = RedisStore(self.url, vacated_delay=DELAY, clock=self.clock)
        self.since: dict[str, int] = {}
        self.flush()

    def teardown(self) -> None:
        self.runner.run(self.redis.close())
        self.runner.close()

    def ask(self, method: str, *arguments: Any) -> Any:
        expected, found = (
            self.runner.run(getattr(store, method)(*arguments))
            for store in (self.memory, self.redis)
        )
        assert comparable(found) == comparable(expected)
        return found

    @rule(node=st.sampled_from(NODES), parts=slices)
    def sync(self, node: str, parts: list[Slice]) -> None:
        self.ask("sync", node, parts)

    @rule(node=st.sampled_from(NODES))
    def beat(self, node: str) -> None:
        self.since[node] = self.ask("beat", node, self.since.get(node, 0)).number

    @rule(seconds=st.sampled_from([0.0004, 0.5, DELAY, LEASE / 2, LEASE, CHANGES_KEPT_FOR, -1.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def flush(self) -> None:
        """Lose everything, as a Redis that is restarted does."""
        self.memory = MemoryStore(vacated_delay=DELAY, clock=self.clock)
        self.runner.run(flush(self.redis))

    @invariant()
    def all_is_read_alike(self) -> None:
        views = self.ask("read", [*CHANNELS, "none"])
        occupied = {view.channel for view in views if view.subscriptions}
        for prefix in ("", "presence-", "presence-b", "#", "z"):
            found = [view.channel for view in self.ask("find", prefix)]
            assert found == sorted(name for name in occupied if name.startswith(prefix))


async def flush(store: RedisStore) -> None:
    await store._get_script().registered_client.flushdb()


def test_a_redis_keeps_what_a_memory_keeps(redis: Redis) -> None:
    Stores.url = redis.url.removesuffix("0") + "5"
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Stores, settings=settings(max_examples=60, stateful_step_count=30)
    )
