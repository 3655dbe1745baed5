"""Several processes on one Redis: the same as one, also when a process or the Redis fails."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from realtime_drf.cluster.state import LEASE
from realtime_drf.grants import Grant
from realtime_drf.pusher_protocol.signatures import Signer
from tests.pages import ROOT
from tests.processes import environment
from tests.server.tokens import channel_tokens, user_tokens
from tests.services import redis as redis_service
from tests.services.asgi_server import AsgiServer
from tests.services.policy import require
from tests.services.process import wait_until
from tests.services.pusher_js import PusherJS
from tests.services.redis import Redis
from tests.services.swarm import Swarmer

pytestmark = pytest.mark.end_to_end

ROOM, NEWS = "presence-room", "news"
STATED = LEASE + 2
"""Seconds that members are seen for after their process was killed, as the documentation says."""

PATIENCE = 20.0
"""More than anything here takes, on a machine that is busy."""

LAYERS = {
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
    "queues": "channels_redis.core.RedisChannelLayer",
}

Serve = Callable[..., AsgiServer]
Browser = Callable[..., PusherJS]


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    """Run a Redis that the test may stop."""
    pytest.importorskip("channels_redis")
    require("Redis", redis_service.unavailable())
    with Redis() as server:
        yield server


@pytest.fixture(params=sorted(LAYERS))
def layer(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def start(own_redis: Redis, serve: Serve) -> Serve:
    """Return a function that starts one process more."""

    def start_one(layer: str = "pubsub", **options: Any) -> AsgiServer:
        config = {"hosts": [own_redis.url], **options.pop("config", {})}
        layers = {"default": {"BACKEND": LAYERS[layer], "CONFIG": config}}
        given = {"client_events": True, "subscription_counting": True, **options}
        return serve(layers=layers, store=own_redis.url, **given)

    return start_one


@pytest.fixture
def browse(pusher_js: Browser) -> Browser:
    """Return a function that opens a user's browser at a process."""

    def open_browser(server: AsgiServer, user: str, watchlist: tuple[str, ...] = ()) -> PusherJS:
        return pusher_js(
            port=server.port,
            key=server.key,
            auth=channel_tokens(server, user, {"name": user}),
            user_auth=user_tokens(server, user, watchlist),
            frames=True,
            timeout=PATIENCE,
        )

    return open_browser


def ask(server: AsgiServer, expression: str) -> Any:
    """Have a process of the project that serves no browsers print something of `transport`."""
    program = (
        "import django, json; django.setup()\n"
        "from realtime_drf.transports import transports\n"
        "transport = transports['default']\n"
        f"print(json.dumps({expression}))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment(**server.env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def count_users(server: AsgiServer, channel: str) -> Any:
    return ask(server, f"transport.channel_info({channel!r}).user_count")


def members(browser: PusherJS, channel: str = ROOM) -> list[str]:
    """Return who was there when a browser subscribed, which it now does."""
    return sorted(browser.subscribe(channel)["members"])


def changes(browser: PusherJS) -> list[tuple[str, str]]:
    """Return who has come to presence channels, and left, as a browser has seen it."""
    return [
        (event.name.removeprefix("pusher:member_"), event.data["id"])
        for event in browser.events
        if event.name.startswith("pusher:member_")
    ]


def see(browser: PusherJS, change: str, user: str, channel: str = ROOM) -> None:
    """Wait until a browser sees somebody come to a channel, or leave it."""
    browser.wait_for(
        lambda report: (
            report["type"] == "event"
            and (report["name"], report["channel"]) == (f"pusher:member_{change}", channel)
            and report["data"]["id"] == user
        )
    )


def expect_frame(browser: PusherJS, event: str, data: Any) -> None:
    browser.wait_for(
        lambda report: (
            report["type"] == "frame" and report["event"] == event and report["data"] == data
        )
    )


def online(user: str) -> dict[str, Any]:
    return {"events": [{"name": "online", "user_ids": [user]}]}


def hear(sender: AsgiServer, browser: PusherJS, name: str = "works") -> None:
    """Publish until a browser receives it: a layer that was away loses what is sent meanwhile."""

    def is_heard() -> bool:
        sender.publish({"name": name, "channels": [NEWS]})
        return any(event.name == name for event in browser.events)

    wait_until(is_heard, PATIENCE)


def count_leases(redis: Redis) -> int:
    import redis as redis_py

    with redis_py.Redis.from_url(redis.url) as client:
        (key,) = client.keys("{realtime_drf.*}:leases")
        return int(client.zcard(key))


def test_three_processes_are_as_one(start: Serve, browse: Browser, layer: str) -> None:
    servers = [start(layer) for _ in range(3)]
    ann, bob, eve = (
        browse(server, user) for server, user in zip(servers, ["ann", "bob", "eve"], strict=True)
    )
    for number, browser in enumerate((ann, bob, eve), 1):
        browser.subscribe(NEWS)
        assert len(members(browser)) == number
        browser.signin()
    assert ann.expect("pusher:member_added") == {"id": "bob", "info": {"name": "bob"}}
    for browser in (ann, bob):
        assert browser.expect("pusher:member_added") == {"id": "eve", "info": {"name": "eve"}}
    for browser in (ann, bob, eve):
        expect_frame(browser, "pusher_internal:subscription_count", {"subscription_count": 3})
    watcher = browse(servers[0], "dan", ("eve", "gus"))
    watcher.signin()
    gus = browse(servers[1], "gus")
    gus.signin()
    for user in ("eve", "gus"):
        expect_frame(watcher, "pusher_internal:watchlist_events", online(user))
    servers[0].publish({"name": "told", "channels": [NEWS], "socket_id": bob.socket_id, "data": 1})
    servers[1].publish({"name": "badge", "channels": ["#server-to-user-eve"], "data": 2})
    servers[2].publish({"name": "last", "channels": ["cache-prices", NEWS], "data": 3})
    assert [ann.expect("told"), eve.expect_for_user("badge"), bob.expect("last")] == [1, 2, 3]
    assert "told" not in [event.name for event in bob.events]
    ann.subscribe("cache-prices")
    assert ann.expect("last", "cache-prices") == 3
    bob.trigger(ROOM, "client-typing", {"text": "…"})
    assert ann.expect("client-typing") == eve.expect("client-typing") == {"text": "…"}
    infos = ask(
        servers[0], "{k: v.subscription_count for k, v in transport.occupied_channels().items()}"
    )
    assert infos == {NEWS: 3, ROOM: 3, "cache-prices": 1}
    servers[2].disconnect_user("bob")
    assert ann.expect("pusher:member_removed")["id"] == "bob"
    expect_frame(ann, "pusher_internal:subscription_count", {"subscription_count": 2})


def test_the_members_of_a_killed_process_go(
    start: Serve, browse: Browser, own_redis: Redis
) -> None:
    servers = [start(), start()]
    ann, bob = browse(servers[0], "ann"), browse(servers[1], "bob")
    members(ann)
    assert members(bob) == ["ann", "bob"]
    servers[0].kill()
    assert bob.expect("pusher:member_removed", timeout=STATED)["id"] == "ann"
    assert count_users(servers[1], ROOM) == 1
    servers[0].start()
    # pusher-js tries again at growing intervals.
    assert bob.expect("pusher:member_added", timeout=3 * PATIENCE)["id"] == "ann"
    assert changes(bob) == [("removed", "ann"), ("added", "ann")]
    assert count_users(servers[1], ROOM) == 2


def test_who_comes_back_in_time_has_never_been_away(
    start: Serve, browse: Browser, own_redis: Redis
) -> None:
    servers = [start(), start()]
    ann, bob = browse(servers[0], "ann"), browse(servers[1], "bob")
    members(ann)
    members(bob)
    servers[0].kill()
    again = browse(servers[1], "ann")
    assert members(again) == ["ann", "bob"]
    assert count_leases(own_redis) == 2, "the killed one still counts as alive"
    wait_until(lambda: count_leases(own_redis) == 1, PATIENCE)
    assert ask(servers[1], f"transport.channel_info({ROOM!r}).subscription_count") == 2
    assert changes(bob) == changes(again) == []


def test_clients_recover_from_a_restart_of_redis(
    start: Serve, browse: Browser, own_redis: Redis, layer: str
) -> None:
    servers = [start(layer), start(layer)]
    ann, bob = browse(servers[0], "ann"), browse(servers[1], "bob")
    for browser in (ann, bob):
        browser.subscribe(NEWS)
        members(browser)
    own_redis.stop()
    assert members(ann, "presence-meanwhile") == ["ann"]
    own_redis.start(own_redis.port)
    hear(servers[0], bob)
    hear(servers[1], ann)
    wait_until(lambda: count_users(servers[0], ROOM) == 2, PATIENCE)
    eve = browse(servers[0], "eve")
    assert members(eve) == ["ann", "bob", "eve"]
    see(bob, "added", "eve")
    assert members(bob, "presence-meanwhile") == ["ann", "bob"]
    see(ann, "added", "bob", "presence-meanwhile")
    for browser in (ann, bob):
        states = [report["current"] for report in browser.seen if report["type"] == "state"]
        assert states[-1] == "connected", "nobody had to reconnect"
        assert states.count("connected") == 1
    assert changes(bob) == [("added", "eve")]
    assert changes(ann) == [("added", "bob"), ("added", "eve"), ("added", "bob")]


def test_nobody_hangs_while_redis_is_paused(
    start: Serve, browse: Browser, own_redis: Redis, layer: str
) -> None:
    servers = [start(layer, timeout=1), start(layer, timeout=1)]
    ann, bob = browse(servers[0], "ann"), browse(servers[1], "bob")
    members(ann)
    members(bob)
    with own_redis.paused():
        assert members(ann, "presence-meanwhile") == ["ann"]
        assert members(browse(servers[1], "eve")) == ["ann", "bob", "eve"]
        servers[0].publish({"name": "lost", "channels": [ROOM]})
        url = f"http://{servers[0].host}:{servers[0].port}/alive/"
        assert urllib.request.urlopen(url, timeout=5).read() == b"alive"
    see(ann, "added", "eve")
    assert members(bob, "presence-meanwhile") == ["ann", "bob"]
    see(ann, "added", "bob", "presence-meanwhile")
    assert changes(bob) == [("added", "eve")]
    assert changes(ann) == [("added", "bob"), ("added", "eve"), ("added", "bob")]
    assert "not sent" in servers[0].log
    assert "password" not in servers[0].log


def test_what_a_layer_drops_is_counted_and_presence_comes_right(
    start: Serve, browse: Browser
) -> None:
    servers = [start("queues", config={"capacity": 5}) for _ in range(2)]
    ann, bob = browse(servers[0], "ann"), browse(servers[1], "bob")
    ann.subscribe(NEWS)
    for browser in (ann, bob):
        members(browser)
    bob.subscribe(NEWS)
    servers[1].signal(signal.SIGSTOP)
    try:
        for number in range(30):
            servers[0].publish({"name": "told", "channels": [NEWS], "data": number})
        assert ann.expect("told") == 0
        eve = browse(servers[0], "eve")
        eve.subscribe(ROOM)
    finally:
        servers[1].signal(signal.SIGCONT)
    assert bob.expect("pusher:member_added")["id"] == "eve"
    hear(servers[0], bob)
    wait_until(lambda: "were lost in the channel layer" in servers[1].log, PATIENCE)
    told = [event.data for event in bob.events if event.name == "told"]
    assert 0 < len(told) < 30
    assert told == sorted(set(told))
    assert "were lost" not in servers[0].log


@pytest.mark.parametrize("clients", [300, pytest.param(2000, marks=pytest.mark.soak)])
def test_many_reconnect_at_once(
    start: Serve, browse: Browser, own_redis: Redis, clients: int
) -> None:
    users = 50
    servers = [start(), start()]
    watcher = browse(servers[1], "watcher")
    members(watcher)
    signer = Signer(servers[0].key, servers[0].secret)
    numbers = itertools.count()

    def subscriptions(socket_id: str) -> list[dict[str, Any]]:
        grant = Grant(channel=ROOM, user_id=f"user-{next(numbers) % users}")
        return [
            {"channel": NEWS},
            {"channel": ROOM, **signer.channel_token(socket_id, grant)},
        ]

    async def swarm(server: AsgiServer) -> list[Swarmer]:
        return await asyncio.gather(
            *(Swarmer.connect(server.port, server.key, subscriptions) for _ in range(clients))
        )

    async def run() -> None:
        async with asyncio.timeout(120):
            first = await swarm(servers[0])
            servers[0].signal(signal.SIGKILL)
            await asyncio.gather(*(client.gone() for client in first))
            second = await swarm(servers[1])
            await asyncio.to_thread(
                wait_until, lambda: count_leases(own_redis) == 1, PATIENCE + LEASE
            )
            count = f"transport.channel_info({NEWS!r}).subscription_count"
            assert await asyncio.to_thread(ask, servers[1], count) == clients
            for client in second:
                client.close()

    asyncio.run(run())
    assert sorted(changes(watcher))[:users] == sorted(
        ("added", f"user-{number}") for number in range(users)
    )
    wait_until(lambda: count_users(servers[1], ROOM) == 1, PATIENCE)
