"""The Channels transport over Redis: from any thread and process, in order, on few connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.test import AsyncRequestFactory, RequestFactory
from django.utils.module_loading import import_string

pytest.importorskip("channels_redis")

from channels.layers import get_channel_layer

from realtime_drf import Event, apublish, publish
from realtime_drf.cluster import messages
from realtime_drf.cluster.layer_backplane import LayerBackplane
from realtime_drf.cluster.memory_state import MemoryStore
from realtime_drf.cluster.publisher import MAX_IDLE
from realtime_drf.cluster.serial_worker import EventLoopThread
from realtime_drf.exceptions import TransportUnavailable
from realtime_drf.pusher_protocol import frames
from realtime_drf.server import consumer_group
from realtime_drf.transports import transports
from tests.processes import environment
from tests.server.harness import OPTIONS, Client, Clock, Site
from tests.services.forwarder import Forwarder
from tests.services.policy import require
from tests.services.process import closed_port, wait_until
from tests.services.redis import Redis, unavailable

LAYERS = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}
MakeSite = Callable[..., contextlib.AbstractContextManager[Site]]


def layers(backend: str, url: str) -> dict[str, Any]:
    return {"default": {"BACKEND": LAYERS[backend], "CONFIG": {"hosts": [url]}}}


@pytest.fixture(params=LAYERS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_site(redis: Redis, backend: str) -> MakeSite:
    """Return a function that makes a site on an empty Redis."""
    flush(redis)

    @contextlib.contextmanager
    def make(url: str = "", **options: Any) -> Iterator[Site]:
        settings = {"CHANNEL_LAYERS": layers(backend, url or redis.url)}
        with Site(settings=settings, store="memory", **options) as site:
            try:
                yield site
            finally:
                site.transport.close()

    return make


def client_of(redis: Redis) -> Any:
    from redis import Redis as RedisClient

    return RedisClient(port=redis.port)


def flush(redis: Redis) -> None:
    with contextlib.closing(client_of(redis)) as client:
        client.flushall()


def connections_made(redis: Redis) -> int:
    with contextlib.closing(client_of(redis)) as client:
        made: int = client.info("stats")["total_connections_received"]
        return made


def listener(site: Site) -> Client:
    """Return a client on "news" that receives what is published from now on."""
    site.wait_for(site.node._ready.is_set)
    client = site.connect()
    client.subscribe("news")
    site.wait_for(lambda: "news" in [channel for _, channel, _ in client.events()])
    return client


def receive(site: Site, client: Client, count: int) -> list[Any]:
    """Return the data of so many events; more would be a mistake."""
    got: list[Any] = []

    def is_all() -> bool:
        got.extend(data for name, _, data in client.events() if name == "told")
        return len(got) >= count

    site.wait_for(is_all)
    site.settle()
    assert client.events() == []
    return got


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


# From where one publishes


def test_views_threads_and_loops_publish_at_once_each_in_order(
    make_site: MakeSite, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    def sync_view(request: Any) -> None:
        for number in range(50):
            publish(Event("told", "news", ["sync view", number]))

    async def async_view(request: Any) -> None:
        for number in range(50):
            await apublish(Event("told", "news", ["async view", number]))

    def plain_thread(name: str) -> None:
        for number in range(50):
            publish(Event("told", "news", [name, number]))

    def loop_of_its_own() -> None:
        asyncio.run(async_view(AsyncRequestFactory().get("/")))

    with make_site() as site:
        client = listener(site)
        publish(Event("told", "news", ["first", 0]))
        receive(site, client, 1)
        before = connections_made(redis)
        threads = [
            in_thread(lambda: sync_view(RequestFactory().get("/"))),
            in_thread(loop_of_its_own),
            *(in_thread(lambda name=f"worker {n}": plain_thread(name)) for n in range(6)),
        ]
        got = receive(site, client, 8 * 50)
        for thread in threads:
            thread.join()
        by_name: dict[str, list[int]] = {}
        for name, number in got:
            by_name.setdefault(name, []).append(number)
        assert len(by_name) == 8
        assert all(numbers == list(range(50)) for numbers in by_name.values())
        # The client that counts is one; the layers open none for 400 events.
        assert connections_made(redis) - before <= 3
    assert [each.getMessage() for each in caplog.records if each.levelname != "DEBUG"] == []


def test_an_event_from_the_servers_own_loop(make_site: MakeSite) -> None:
    with make_site() as site:
        client = listener(site)

        async def work() -> None:
            await apublish(Event("told", "news", 1))
            await apublish(Event("told", "news", 2))

        site.run(work())
        assert receive(site, client, 2) == [1, 2]


SCRIPT = """
import json, os, sys, threading
import django
django.setup()
from realtime_drf import Event, publish

def work(name):
    for number in range(20):
        publish(Event("told", "news", [name, number]))

if sys.argv[1] == "command":
    work("command")
elif sys.argv[1] == "workers":
    threads = [threading.Thread(target=work, args=[f"worker {n}"]) for n in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
else:  # a server that forks once it has published, as gunicorn and Celery do
    work("parent")
    children = []
    for number in range(3):
        if not (pid := os.fork()):
            work(f"child {number}")
            os._exit(0)
        children.append(pid)
    work("parent again")
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
"""


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ("command", ["command"]),
        ("workers", [f"worker {number}" for number in range(4)]),
        ("forks", ["parent", "parent again", *(f"child {number}" for number in range(3))]),
    ],
)
def test_other_processes_publish(
    make_site: MakeSite, redis: Redis, backend: str, how: str, names: list[str]
) -> None:
    env = environment(
        DJANGO_SETTINGS_MODULE="tests.served.settings",
        SERVED_LAYERS=json.dumps(layers(backend, redis.url)),
        SERVED_OPTIONS=json.dumps({**OPTIONS, "store": "memory"}),
    )
    with make_site() as site:
        client = listener(site)
        # In a thread: while the loop stands still, a call that waits for messages runs out of time.
        run = asyncio.to_thread(
            subprocess.run,
            # From 3.12 Python warns of forks beside threads, which is what is tried here.
            [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", SCRIPT, how],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        done = site.run(run)
        assert (done.returncode, done.stderr) == (0, "")
        by_name: dict[str, list[int]] = {}
        for name, number in receive(site, client, 20 * len(names)):
            by_name.setdefault(name, []).append(number)
        assert by_name == {name: list(range(20)) for name in names}


def test_a_fork_of_this_process_publishes(make_site: MakeSite) -> None:
    with make_site() as site:
        client = listener(site)
        publish(Event("told", "news", "parent"))
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                publish(Event("told", "news", "child"))
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        publish(Event("told", "news", "parent"))
        assert receive(site, client, 3) == ["parent", "child", "parent"]


# What goes


def test_nothing_is_said_of_a_layer_that_reaches_all(make_site: MakeSite) -> None:
    with make_site(key="mysite-key") as site:
        assert not site.transport.app.is_local
        assert site.transport.check_deployment() == []


def test_clients_reconnect_at_once_where_other_processes_may_serve_them(
    make_site: MakeSite,
) -> None:
    with make_site() as site:
        client = listener(site)
        site.run(site.node.drain())
        assert client.close_code == frames.RECONNECT


def test_one_message_per_batch(make_site: MakeSite, redis: Redis) -> None:
    def commands() -> int:
        with contextlib.closing(client_of(redis)) as client:
            stats = client.info("commandstats")
        return sum(
            each["calls"]
            for name, each in stats.items()
            if name.removeprefix("cmdstat_") in ("publish", "eval", "evalsha", "zrange")
        )

    with make_site() as site:
        client = listener(site)
        for count in (1, 50):
            before = commands()
            transports["default"].send([Event("told", ["news", "a", "b"], n) for n in range(count)])
            assert receive(site, client, count) == list(range(count))
            # Waiting for a message, and the heartbeat, take a few besides.
            assert commands() - before < 20


def test_a_hand_over_of_more_than_redis_keeps_for_anybody(
    make_site: MakeSite, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    events = [Event("told", "news", [number, "x" * 10_000]) for number in range(3_500)]
    with make_site() as site:
        client = listener(site)
        thread = in_thread(lambda: site.send(*events))
        site.wait_for(lambda: len(client.sent) >= 2 + len(events))
        thread.join()
        told = [data for name, _, data in client.events() if name == "told"]
        assert [number for number, _ in told] == list(range(len(events)))
        assert site.node.lost == 0
    assert caplog.records == []


def test_consumers_of_ones_own_hear_too(make_site: MakeSite) -> None:
    with make_site(consumer_groups=True) as site:
        client = listener(site)
        event = Event("told", ["news", "private-a=b"], {"text": "Käse"})

        async def listen() -> list[Any]:
            layer = get_channel_layer()
            name = await layer.new_channel()
            for channel in event.channels:
                await layer.group_add(consumer_group(channel), name)
            await site.transport.asend([event])
            return [await asyncio.wait_for(layer.receive(name), 10) for _ in event.channels]

        messages = site.run(listen())
        assert [(each["type"], each["channel"], each["data"]) for each in messages] == [
            ("realtime.event", channel, event.body) for channel in event.channels
        ]
        assert receive(site, client, 1) == [{"text": "Käse"}]


def test_projects_with_other_secrets_on_one_redis_know_nothing_of_each_other(
    redis: Redis, backend: str
) -> None:
    """Pub/sub knows no database numbers, and all projects may have the default app_id."""
    flush(redis)
    settings = {"CHANNEL_LAYERS": layers(backend, redis.url), "SECRET_KEY": "of the one"}
    defaults = {"app_id": "app", "store": redis.url, "secret": None}
    with Site(settings=settings, **defaults) as site:
        one = site.transport
        ours = Site(settings={**settings, "SECRET_KEY": "of the other"}, **defaults)
        with ours:
            client = listener(ours)
            client.sign_in("7")
            ours.wait_for(
                lambda: any(each["event"] == "pusher:signin_success" for each in client.frames)
            )
            one.send([Event("told", "news", "theirs")])
            one.disconnect_user("7")
            assert one.occupied_channels() == {}
            assert list(ours.transport.occupied_channels()) == ["news"]
            ours.transport.send([Event("told", "news", "ours")])
            ours.wait_for(lambda: ("told", "news", "ours") in client.events())
            assert sum(each["event"] == "told" for each in client.frames) == 1
            assert client.close_code is None
            ours.transport.close()
        one.close()


# Outages


def test_a_layer_that_is_down_is_said_in_time_and_healed(
    backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Redis() as redis:
        settings = {"CHANNEL_LAYERS": layers(backend, redis.url)}
        with Site(settings=settings, store="memory", timeout=2) as site:
            client = listener(site)
            port = redis.port
            redis.stop()
            event = Event("told", "news", 1)
            started = time.monotonic()
            with pytest.raises(TransportUnavailable) as caught:
                for _ in range(5):  # what is in a socket's buffer is as good as sent
                    site.transport.send([event])
            assert time.monotonic() - started < 10
            assert caught.value.unsent == (event,)
            client.say({"event": "pusher:ping"})
            assert ("pusher:pong", "", {}) in client.events()
            redis.start(port)

            def arrives() -> bool:
                with contextlib.suppress(TransportUnavailable):
                    site.transport.send([Event("told", "news", 2)])
                return ("told", "news", 2) in client.events()

            site.wait_for(arrives)
            site.transport.close()
    ours = [each.getMessage() for each in caplog.records if each.name == "realtime_drf"]
    assert ours or backend == "pubsub"  # which heals by itself, and does not report it
    assert "127.0.0.1" not in "".join(ours), "an address may hold a password"


def test_nobody_who_answers_is_said_in_time(backend: str) -> None:
    with closed_port() as port:
        settings = {"CHANNEL_LAYERS": layers(backend, f"redis://127.0.0.1:{port}")}
        with Site(settings=settings, store="memory", timeout=1) as site:
            started = time.monotonic()
            with pytest.raises(TransportUnavailable, match="channel layer 'default' failed"):
                site.transport.send([Event("told", "news")])
            assert time.monotonic() - started < 5
            site.transport.close()


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    """Run a Redis whose connections the test may close."""
    require("Redis", unavailable())
    with Redis() as server:
        yield server


def test_an_event_after_redis_has_closed_idle_connections_arrives_once(
    own_redis: Redis, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"store": own_redis.url, "consumer_groups": True}
    with Site(settings={"CHANNEL_LAYERS": layers(backend, own_redis.url)}, **options) as site:
        client = listener(site)
        for number in range(3):
            site.transport.send([Event("told", ["news", "cache-news"], number)])
            assert receive(site, client, 1) == [number]
            assert site.transport.channel_info("news").occupied
            site.advance(1)
            site.run(site.node.hub.settled())
            assert own_redis.close_idle() >= 3, "of the publisher, and of the store on both loops"
        assert caplog.records == []
        site.transport.close()


def test_old_processes_follow_a_failover_behind_one_address(own_redis: Redis, backend: str) -> None:
    """Old processes and new ones reach each other's subscribers, before and after."""
    with Redis() as replica, Forwarder(own_redis.port) as address:
        replica.follow(own_redis.port)
        wait_until(replica.is_in_step, 10)
        settings = {"CHANNEL_LAYERS": layers(backend, address.redis_url)}
        with Site(settings=settings, store=address.redis_url) as old:
            client = listener(old)
            old.publish("told", "news", "before")
            assert receive(old, client, 1) == ["before"]
            replica.follow(0)
            address.target = replica.port
            own_redis.follow(replica.port)
            old.advance(1)  # the store finds out, and has the layer connect again
            with NewProcess(backend, replica.url) as new:
                started = time.monotonic()

                def receives() -> bool:
                    new.publish("new")
                    return ("told", "news", "new") in client.events()

                old.wait_for(receives)
                old.send(Event("told", "news", "old"))
                old.wait_for(lambda: ("told", "news", "old") in client.events())
                old.wait_for(lambda: new.has("old"))
                assert time.monotonic() - started < 5
                assert old.node.is_ready
            old.transport.close()
        own_redis.stop()  # a master waits for its replicas


class NewProcess:
    """A process that has started since, as the old ones see it: on the layer, with its own."""

    def __init__(self, backend: str, url: str) -> None:
        layer = import_string(LAYERS[backend])(hosts=[url])
        namespace = transports["default"].app.namespace
        self._backplane = LayerBackplane(MemoryStore(), layer, namespace=namespace)
        self._loop = EventLoopThread("a new process")
        self._names: list[str] = []
        self._is_ready = threading.Event()
        self._task: Any = None

    def __enter__(self) -> NewProcess:
        self._task = asyncio.run_coroutine_threadsafe(self._backplane.attend(self), self._loop.loop)
        assert self._is_ready.wait(10)
        return self

    def __exit__(self, *args: object) -> None:
        async def end() -> None:
            self._task.cancel()

        self._loop.stop(end)
        self._backplane.close()

    def publish(self, data: str) -> None:
        self._backplane.publish([messages.EventMessage("told", ["news"], json.dumps(data))], 5)

    def has(self, data: str) -> bool:
        return json.dumps(data) in self._names

    def deliver(self, items: Sequence[messages.Message]) -> None:
        self._names += [item.body for item in items if isinstance(item, messages.EventMessage)]

    def on_ready(self) -> None:
        self._is_ready.set()

    def on_disconnected(self) -> None: ...
    def on_gap(self, lost: int) -> None: ...


def test_connections_of_a_quiet_publisher_are_not_trusted(redis: Redis, backend: str) -> None:
    """One that leads to the old master after a failover would stay open, and reach nobody."""
    clock = Clock()
    layer = import_string(LAYERS[backend])(hosts=[redis.url])
    backplane = LayerBackplane(MemoryStore(), layer, namespace="1", clock=clock)
    items = [messages.EventMessage("told", ["news"], "1")]
    made = []
    for pause in (0, 0, MAX_IDLE + 1, *[MAX_IDLE / 2] * 25):
        clock.now += pause
        before = connections_made(redis)
        backplane.publish(items, 5)
        made.append(connections_made(redis) - before - 1)  # but for the one that counts
    backplane.close()
    assert made[:3] == [1, 0, 1]
    assert sum(made[3:]) == 1, "that of one which is never quiet is replaced as well"
