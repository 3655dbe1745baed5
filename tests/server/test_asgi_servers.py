"""Unchanged pusher-js with each ASGI server, and what becomes of it when that one ends."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.server.tokens import channel_tokens, user_tokens
from tests.services.asgi_server import COMMANDS, AsgiServer
from tests.services.pusher_js import PusherJS
from tests.services.pusher_sdk import pusher_sdk

pytestmark = pytest.mark.end_to_end

Serve = Callable[..., AsgiServer]
OpenBrowser = Callable[..., PusherJS]

SERVERS = sorted(COMMANDS)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, serve: Serve) -> AsgiServer:
    for module in {"runserver": ["daphne"]}.get(request.param, [request.param]):
        pytest.importorskip(module)
    settings = "tests.served.daphne" if request.param == "runserver" else "tests.served.settings"
    return serve(request.param, settings=settings, client_events=True, http_api=True)


def test_pusher_js_works(server: AsgiServer, pusher_js: OpenBrowser) -> None:
    def browser(user: str) -> PusherJS:
        return pusher_js(
            port=server.port,
            key=server.key,
            auth=channel_tokens(server, user, {"name": user}),
            user_auth=user_tokens(server, user),
        )

    ann, bob = browser("ann"), browser("bob")
    for client in (ann, bob):
        client.subscribe("news")
        client.subscribe("presence-room")
    ann.signin()
    event = {"name": "told", "channels": ["news"], "data": {"text": "Käse 🧀"}}
    server.publish({**event, "socket_id": bob.socket_id}, {**event, "name": "last"})
    assert ann.expect("told") == {"text": "Käse 🧀"}
    assert bob.expect("last") == {"text": "Käse 🧀"}
    assert [seen.name for seen in bob.events if seen.channel == "news"] == ["last"]
    bob.trigger("presence-room", "client-typing", {"text": "…"})
    assert ann.expect("client-typing") == {"text": "…"}
    server.publish({"name": "badge", "channels": ["#server-to-user-ann"]}, path="apublish")
    assert ann.expect_for_user("badge") is None
    bob.close()
    assert ann.expect("pusher:member_removed") == {"id": "bob", "info": {"name": "bob"}}


def test_the_http_api_is_served(server: AsgiServer) -> None:
    pytest.importorskip("pusher")
    from pusher.errors import PusherBadAuth, PusherBadStatus

    with pusher_sdk(server) as sdk:
        assert sdk.trigger("news", "told", {"text": "Käse 🧀"}) == {}
        assert sdk.channel_info("private-nobody.is@there,or=here;") == {"occupied": False}
        with pytest.raises(PusherBadStatus, match="413"):
            sdk.trigger([f"c{number:0>150}" for number in range(100)], "told", "x" * 10_241)
        assert sdk.channels_info() == {"channels": {}}
    with pusher_sdk(server, secret="another") as stranger:
        for _ in range(2):  # on one connection, which a body that is passed over must not spoil
            with pytest.raises(PusherBadAuth):
                stranger.trigger("news", "told", "x" * 10_000)
    _leave_early(server)
    with pusher_sdk(server) as sdk:
        assert sdk.trigger("news", "told", {}) == {}
    assert "Traceback" not in server.log


def _leave_early(server: AsgiServer) -> None:
    """Begin a request, and disconnect."""
    with socket.create_connection((server.host, server.port)) as connection:
        head = f"POST /apps/{server.app_id}/events HTTP/1.1\r\nHost: {server.host}\r\n"
        connection.sendall(f"{head}Content-Length: 500\r\n\r\n{{".encode())


def test_clients_are_sent_away_before_the_server_ends(
    server: AsgiServer, pusher_js: OpenBrowser
) -> None:
    if server.name == "runserver":
        pytest.skip("runserver is ended by Ctrl-C, before which nothing can be put")
    clients = [pusher_js(port=server.port, key=server.key, frames=True) for _ in range(3)]
    server.signal(signal.SIGTERM)

    def is_told(report: dict[str, Any]) -> bool:
        return bool(report["type"] == "error" and "4150" in str(report["error"]))

    for client in clients:
        client.wait_for(
            lambda report: report["type"] == "state" and report["previous"] == "connected"
        )
        client.wait_for(is_told)
