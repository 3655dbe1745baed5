"""Both stores keep the same: in memory, and in a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from traceback import format_exception
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from realtime_drf.cluster import redis_state as redis_store
from realtime_drf.cluster.memory_state import MemoryStore
from realtime_drf.cluster.redis_state import MAX_CONNECTIONS, TIMEOUT, RedisStore
from realtime_drf.cluster.state import CHANGES_KEPT_FOR, LEASE, ChannelState, NodeState, SyncResult
from tests.examples import scaled
from tests.services.forwarder import Forwarder
from tests.services.policy import require
from tests.services.process import closed_port, wait_until
from tests.services.redis import Redis, unavailable

pytest.importorskip("redis")

NODES = ("node-1", "node-2", "node-3")
CHANNELS = ("presence-a", "presence-b", "news", "#server-to-user-7")
USERS = ("1", "2", "line\nfeed", "nul\0 and half a pair \ud83d", "Käse 🧀: {}")
INFOS = ("", '{"name": "é"}', "\0")
DELAY = 3.0

states = st.lists(
    st.builds(
        NodeState,
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
    if isinstance(answer, SyncResult):
        return answer._replace(
            states=comparable(list(answer.states)),
            reports=sorted(answer.reports),
        )
    if isinstance(answer, ChannelState):
        return answer._replace(
            members=dict(answer.members), joined=set(answer.joined), left=set(answer.left)
        )
    return answer


class Stores(RuleBasedStateMachine):
    """Take the same steps on both stores, and compare each answer."""

    server: Redis
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

    @rule(node=st.sampled_from(NODES), parts=states)
    def sync(self, node: str, parts: list[NodeState]) -> None:
        self.ask("sync", node, parts)

    @rule(node=st.sampled_from(NODES))
    def heartbeat(self, node: str) -> None:
        self.since[node] = self.ask("heartbeat", node, self.since.get(node, 0)).number

    @rule(seconds=st.sampled_from([0.0004, 0.5, DELAY, LEASE / 2, LEASE, CHANGES_KEPT_FOR, -1.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def flush(self) -> None:
        """Lose everything, as a Redis that is restarted does."""
        self.memory = MemoryStore(vacated_delay=DELAY, clock=self.clock)
        self.runner.run(flush(self.redis))

    @rule()
    def connections_close(self) -> None:
        """Close idle connections, as a Redis with a ``timeout`` does."""
        self.server.close_idle()

    @invariant()
    def all_is_read_alike(self) -> None:
        views = self.ask("read", [*CHANNELS, "none"])
        occupied = {view.channel for view in views if view.subscriptions}
        for prefix in ("", "presence-", "presence-b", "#", "z"):
            found = [view.channel for view in self.ask("find", prefix)]
            assert found == sorted(name for name in occupied if name.startswith(prefix))


async def flush(store: RedisStore) -> None:
    await store._get_script().registered_client.flushdb()


@pytest.mark.parametrize(
    "option", ["decode_responses=true", "protocol=3", "health_check_interval=1", "client_name=x"]
)
def test_options_in_the_address_do_no_harm(url: str, client: Any, option: str) -> None:
    store = RedisStore(f"{url}?{option}")
    room = NodeState("presence-a", 1, {"Käse": "\0"})
    found = run(store, store.sync("node-1", [room]), store.heartbeat("node-1", 0), store.find(""))
    assert found[2][0].members == {"Käse": "\0"}
    assert run(store, store.remember({"cache-a": "é"}), store.recall("cache-a")) == [None, "é"]


@pytest.fixture
def url(redis: Redis) -> str:
    """Return the address of a database that nobody else uses."""
    return redis.url.removesuffix("0") + "6"


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    import redis as redis_py

    with redis_py.Redis.from_url(url, decode_responses=True) as client:
        client.flushdb()
        yield client


def run(store: RedisStore, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """Make calls one after the other, on an event loop of their own."""

    async def make() -> list[Any]:
        try:
            return [await call for call in calls]
        finally:
            await store.close()

    return asyncio.run(make())


@pytest.mark.hypothesis
def test_a_redis_keeps_what_a_memory_keeps(redis: Redis) -> None:
    Stores.server, Stores.url = redis, redis.url.removesuffix("0") + "5"
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Stores, settings=settings(max_examples=scaled(50), stateful_step_count=30)
    )


def test_nothing_is_left_of_those_who_have_gone(url: str, client: Any) -> None:
    clock = Clock()
    store = RedisStore(url, clock=clock)
    members = {"1": "", "2": ""}
    run(
        store,
        store.sync("node-1", [NodeState("presence-a", 2, members), NodeState("news", 1, {})]),
        store.sync("node-2", [NodeState("presence-a", 1, {"2": ""})]),
        store.sync("node-2", [NodeState("presence-a", 0, {})]),
    )
    for _ in range(2):
        clock.now += CHANGES_KEPT_FOR + LEASE
        run(store, store.heartbeat("node-2", 0))
    keys = {key.partition(":")[2]: key for key in client.scan_iter()}
    assert keys.keys() == {"last", "leases", "since", "forgotten"}
    assert client.zrange(keys["leases"], 0, -1) == ["node-2"]


def test_apps_know_nothing_of_each_other(url: str, client: Any) -> None:
    one, other = RedisStore(url, namespace="one"), RedisStore(url, namespace="other")
    run(one, one.sync("node-1", [NodeState("news", 1, {})]), one.remember({"cache-news": "text"}))
    assert run(other, other.find(""), other.recall("cache-news")) == [[], None]


def test_an_event_is_kept_for_a_while(url: str, client: Any) -> None:
    store = RedisStore(url, cached_for=1800)
    events = {"cache-a": '["told", "{}", ""]', "cache-b": "nul \0 and 🧀"}
    assert run(store, store.remember(events), *map(store.recall, [*events, "cache-c"]))[1:] == [
        *events.values(),
        None,
    ]
    keys = client.keys("*:cache:*")
    assert len(keys) == 2
    assert all(1_790_000 < client.pttl(key) <= 1_800_000 for key in keys)


def test_what_has_waited_replaces_nothing_that_was_kept_meanwhile(url: str, client: Any) -> None:
    store = RedisStore(url)
    kept = {"cache-a": "kept"}
    assert run(
        store,
        store.remember(kept),
        store.remember({"cache-a": "waited", "cache-b": "waited"}, 60.0),
        store.recall("cache-a"),
        store.recall("cache-b"),
    )[2:] == ["kept", "waited"]
    client.pexpire(client.keys("*:cache:cache-a")[0], 1_700_000)  # 100 seconds ago
    assert run(store, store.remember({"cache-a": "waited"}, 60.0), store.recall("cache-a"))[1:] == [
        "waited"
    ]


def test_a_failover_behind_the_address_costs_no_call(url: str) -> None:
    failovers: list[None] = []
    with Redis() as new, Redis() as old, Forwarder(old.port) as address:
        store = RedisStore(address.redis_url)
        store.on_failover = lambda: failovers.append(None)

        async def make() -> list[ChannelState]:
            await asyncio.gather(*(store.sync("n", [NodeState("a", 1, {})]) for _ in range(5)))
            address.target = new.port
            old.follow(new.port)
            assert failovers == []
            results = await asyncio.gather(
                *(store.sync("n", [NodeState("b", 1, {})]) for _ in range(5))
            )
            await store.close()
            return [state for result in results for state in result.states]

        assert [view.subscriptions for view in asyncio.run(make())] == [1] * 5
    assert failovers


def test_each_call_is_one_command_however_many_channels_there_are(url: str, client: Any) -> None:
    store = RedisStore(url)
    states = [NodeState(f"news-{number}", 1, {}) for number in range(100)]
    run(store, store.sync("node-1", states))  # so that Redis knows the script

    def count() -> int:
        return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])

    before = count()
    run(
        store,
        store.sync("node-1", states),
        store.heartbeat("node-1", 0),
        store.read([each.channel for each in states]),
        store.find(""),
        store.remember({f"cache-{number}": "" for number in range(100)}),
        store.recall("cache-1"),
    )
    assert count() - before == 6


def test_event_loops_have_connections_of_their_own_and_let_go_of_them(
    url: str, client: Any
) -> None:
    store = RedisStore(url)
    for _ in range(3):
        assert run(store, store.find("")) == [[]]

    def is_alone() -> bool:
        return len([each for each in client.client_list() if each["db"] == "6"]) == 1

    wait_until(is_alone)


def test_many_calls_at_once_share_some_connections(
    url: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "TIMEOUT", 60.0)  # 500 connect at once, on a busy machine
    store = RedisStore(url)

    async def make() -> int:
        await asyncio.gather(*(store.recall(f"cache-{number}") for number in range(500)))
        there = [each for each in client.client_list() if each["db"] == "6"]
        await store.close()
        return len(there)

    assert asyncio.run(make()) <= MAX_CONNECTIONS + 1


def test_a_redis_that_does_not_answer_is_given_up_in_time() -> None:
    require("Redis", unavailable())
    with Redis() as server:
        store = RedisStore(server.url)

        async def make() -> list[BaseException | str | None]:
            await store.recall("cache-a")
            with server.paused():
                async with asyncio.timeout(10 * TIMEOUT):  # more than enough on a busy machine
                    failed = await asyncio.gather(
                        *(store.recall("cache-a") for _ in range(30)), return_exceptions=True
                    )
            assert await store.recall("cache-a") is None, "it works again"
            await store.close()
            return failed

        failed = asyncio.run(make())
        assert all(isinstance(each, Exception) for each in failed)


def test_a_script_that_redis_has_forgotten_is_sent_again(url: str, client: Any) -> None:
    store = RedisStore(url)

    async def make() -> list[ChannelState]:
        await store.find("")
        client.script_flush()
        found = await store.find("")
        await store.close()
        return found

    assert asyncio.run(make()) == []


def test_numbers_do_not_go_back_when_everything_is_lost(url: str, client: Any) -> None:
    store = RedisStore(url)
    ((*_, before, since, _),) = run(store, store.sync("node-1", [NodeState("news", 1, {})]))
    client.flushdb()
    ((*_, after, since_after, _),) = run(store, store.sync("node-1", [NodeState("news", 1, {})]))
    assert since == before < after == since_after


def test_the_address_of_a_redis_is_in_no_repr_and_no_error() -> None:
    with closed_port() as port:
        store = RedisStore(f"redis://:test-secret@127.0.0.1:{port}/0")
        with pytest.raises(Exception) as failure:  # noqa: PT011  whatever redis-py raises
            run(store, store.find(""))
    assert "test-secret" not in repr(store) + "".join(format_exception(failure.value))
