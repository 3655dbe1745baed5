"""Several processes behind nginx, configured as the documentation says."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from tests.server.tokens import channel_tokens
from tests.services import nginx as nginx_service
from tests.services.asgi_server import AsgiServer
from tests.services.nginx import Nginx
from tests.services.policy import require
from tests.services.pusher_js import PusherJS
from tests.services.redis import Redis

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def servers(redis: Redis, serve: Callable[..., AsgiServer]) -> list[AsgiServer]:
    pytest.importorskip("channels_redis")
    layer = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [redis.url]},
    }
    return [serve(layers={"default": layer}, store=redis.url) for _ in range(2)]


@pytest.fixture
def nginx(servers: list[AsgiServer]) -> Iterator[Nginx]:
    require("nginx", nginx_service.unavailable())
    with Nginx([server.port for server in servers]) as proxy:
        yield proxy


def test_browsers_of_all_processes_reach_each_other_and_move_when_one_ends(
    servers: list[AsgiServer], nginx: Nginx, pusher_js: Callable[..., PusherJS]
) -> None:
    browsers = [
        pusher_js(
            port=nginx.port,
            key=servers[0].key,
            auth=channel_tokens(servers[0], f"user-{number}"),
        )
        for number in range(4)
    ]
    for browser in browsers:
        browser.subscribe("news")
        members = browser.subscribe("presence-room")["members"]
    # nginx takes the processes in turn, so that there are two browsers on each.
    assert len(members) == 4
    servers[0].publish({"name": "told", "channels": ["news"], "data": 1})
    assert [browser.expect("told") for browser in browsers] == [1] * 4

    seen = [len(browser.seen) for browser in browsers]
    servers[0].signal(signal.SIGTERM)
    moved = [
        browser
        for browser, before in zip(browsers, seen, strict=True)
        if _has_moved(browser, before)
    ]
    assert len(moved) == 2
    servers[1].publish({"name": "last", "channels": ["news"], "data": 2})
    assert [browser.expect("last") for browser in browsers] == [2] * 4


def _has_moved(browser: PusherJS, before: int) -> bool:
    """Wait until a browser that is sent elsewhere subscribes again; return whether it was."""
    try:
        browser.wait_for(
            lambda report: report["type"] == "state" and report["previous"] == "connected",
            2,
            after=before,
        )
    except Exception as exc:
        if "within" not in str(exc):
            raise
        return False
    for channel in ("news", "presence-room"):
        browser.wait_for(
            lambda report, channel=channel: (
                report["type"] == "subscribed" and report["channel"] == channel
            ),
            after=before,
        )
    return True
