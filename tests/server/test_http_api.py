"""Pusher's own SDKs publish to a project and ask it, as if it were the service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.server.tokens import channel_tokens, user_tokens
from tests.services import node_sdk, redis
from tests.services.asgi_server import AsgiServer
from tests.services.node_sdk import call_node_sdk
from tests.services.policy import require
from tests.services.process import wait_until
from tests.services.pusher_js import PusherJS
from tests.services.pusher_sdk import pusher_sdk

pytest.importorskip("channels")
pytest.importorskip("pusher")

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def server() -> Iterator[AsgiServer]:
    with AsgiServer(http_api=True) as served:
        yield served


@pytest.fixture
def sdk(server: AsgiServer) -> Iterator[Any]:
    with pusher_sdk(server) as client:
        yield client


@pytest.fixture
def browser(server: AsgiServer, pusher_js: Callable[..., PusherJS]) -> Callable[[str], PusherJS]:
    def start(user: str) -> PusherJS:
        return pusher_js(
            port=server.port,
            key=server.key,
            auth=channel_tokens(server, user),
            user_auth=user_tokens(server, user),
        )

    return start


def test_the_python_sdk_publishes(sdk: Any, browser: Callable[[str], PusherJS]) -> None:
    ann, bob = browser("ann"), browser("bob")
    for client in (ann, bob):
        client.subscribe("api-news")
    assert sdk.trigger(["api-news", "api-other"], "told", {"n": 1}, ann.socket_id) == {}
    batch = [{"channel": "api-news", "name": "more", "data": {"n": n}} for n in (2, 3)]
    sdk.trigger_batch(batch)
    assert [bob.expect(name) for name in ("told", "more", "more")] == [{"n": n} for n in (1, 2, 3)]
    assert [ann.expect("more"), ann.expect("more")] == [{"n": 2}, {"n": 3}]
    assert not [event for event in ann.events if event.name == "told"]


def test_the_python_sdk_asks(sdk: Any, browser: Callable[[str], PusherJS]) -> None:
    ann = browser("ann")
    ann.subscribe("presence-api-room")
    ann.subscribe("private-api-list")
    assert sdk.channels_info("presence-api", ["user_count"]) == {
        "channels": {"presence-api-room": {"user_count": 1}}
    }
    assert sdk.channel_info("private-api-list", ["subscription_count"]) == {
        "occupied": True,
        "subscription_count": 1,
    }
    assert sdk.channel_info("private-api-none") == {"occupied": False}
    assert sdk.users_info("presence-api-room") == {"users": [{"id": "ann"}]}


def test_the_python_sdk_ends_connections_and_gets_errors(
    server: AsgiServer, browser: Callable[[str], PusherJS]
) -> None:
    from pusher.errors import PusherBadAuth, PusherBadRequest

    ann = browser("api-ann")
    ann.signin()
    with pusher_sdk(server) as sdk:
        # The SDK's own method asks at a path without the app.
        from pusher.http import POST, Request

        client = sdk._pusher_client
        path = f"/apps/{server.app_id}/users/api-ann/terminate_connections"
        client.http.send_request(Request(client, POST, path, {}))
        ann.wait_for(lambda report: report["type"] == "error" and "4009" in str(report["error"]))
        with pytest.raises(PusherBadRequest):
            sdk.channels_info("private-", ["user_count"])
    with pusher_sdk(server, secret="another") as stranger, pytest.raises(PusherBadAuth):
        stranger.trigger("api-news", "told", {})


def test_the_node_sdk_works(server: AsgiServer, browser: Callable[[str], PusherJS]) -> None:
    require("Pusher's Node SDK", node_sdk.unavailable())
    ann = browser("ann")
    ann.subscribe("presence-node-room")
    ann.signin()
    results = call_node_sdk(
        server,
        ["trigger", "presence-node-room", "told", {"text": "Käse 🧀"}, {"info": "user_count"}],
        ["triggerBatch", [{"channel": "presence-node-room", "name": "more", "data": {"n": 2}}]],
        ["sendToUser", "ann", "badge", {"n": 3}],
        ["get", {"path": "/channels", "params": {"filter_by_prefix": "presence-node"}}],
        ["get", {"path": "/channels/presence-node-room/users"}],
        ["trigger", "presence-node-room", "told", "x" * 10_241],
        ["terminateUserConnections", "ann"],
    )
    assert [result.get("body") for result in results[:5]] == [
        {"channels": {"presence-node-room": {"user_count": 1}}},
        {},
        {},
        {"channels": {"presence-node-room": {}}},
        {"users": [{"id": "ann"}]},
    ]
    assert results[5]["status"] == 413
    assert results[6] == {"body": {}}
    assert ann.expect("told") == {"text": "Käse 🧀"}
    assert ann.expect("more") == {"n": 2}
    assert ann.expect_for_user("badge") == {"n": 3}
    ann.wait_for(lambda report: report["type"] == "error" and "4009" in str(report["error"]))


def test_a_stranger_learns_nothing_through_the_node_sdk(server: AsgiServer) -> None:
    require("Pusher's Node SDK", node_sdk.unavailable())
    (result,) = call_node_sdk(server, ["get", {"path": "/channels"}], secret="another")
    assert result["status"] == 401


def test_what_one_process_publishes_browsers_of_another_receive(
    serve: Callable[..., AsgiServer], pusher_js: Callable[..., PusherJS]
) -> None:
    pytest.importorskip("channels_redis")
    require("Redis", redis.unavailable())
    from pusher.errors import PusherBadStatus

    with redis.Redis() as database:
        layer = {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [database.url]},
        }
        told, other = (
            serve(layers={"default": layer}, store=database.url, http_api=True, timeout=2)
            for _ in range(2)
        )
        browser = pusher_js(port=other.port, key=other.key)
        browser.subscribe("news")
        with pusher_sdk(told) as sdk:
            assert sdk.trigger("news", "told", {"n": 1}) == {}
            assert browser.expect("told") == {"n": 1}
            database.stop()
            with pytest.raises(PusherBadStatus, match="503"):
                sdk.trigger("news", "told", {"n": 2})
            database.start(database.port)
            wait_until(lambda: _is_sent(sdk))
            # Channels' layer logs a traceback of its own.
            assert "The HTTP API could not handle a request: " in told.log


def _is_sent(sdk: Any) -> bool:
    from pusher.errors import PusherBadStatus

    try:
        return bool(sdk.trigger("news", "told", {"n": 3}) == {})
    except PusherBadStatus:
        return False
