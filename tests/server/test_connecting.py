"""Who is let in, with which words and codes, and how a silent connection ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIHandler
from pytest_django import Settings

from tests.server.harness import OPTIONS, PATH, Clock, Server, Site

pytestmark = pytest.mark.usefixtures("silence")

BROWSER = (b"origin", b"https://example.com")


class App:
    """Stand for an ASGI app of somebody else's: note what it is called for, and accept it."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept"})


def test_the_first_frame_says_the_socket_id_and_the_timeout() -> None:
    with Site(activity_timeout=77) as site:
        client = site.client()
        client.open()
        assert client.sent[0] == {"type": "websocket.accept"}
        (frame,) = client.frames
        assert frame["event"] == "pusher:connection_established"
        assert isinstance(frame["data"], str), "clients read the data once more"
        assert site.transport.is_socket_id(client.socket_id)
        assert '"activity_timeout":77' in frame["data"]
        assert site.connect().socket_id != client.socket_id


@pytest.mark.parametrize("version", ["5", "6", "7"])
def test_versions_that_are_spoken(version: str) -> None:
    with Site() as site:
        assert site.connect(query=f"protocol={version}").close_code is None


@pytest.mark.parametrize(
    ("code", "path", "query"),
    [
        (4001, "/app/other-key", "protocol=7"),
        (4001, "/app/app-keyy", "protocol=7"),
        (4005, "/app/", "protocol=7"),
        (4006, "/app/app-key", "protocol=seven"),
        (4006, "/app/app-key", "protocol=-7"),
        (4006, "/app/app-key", "protocol=7.0"),
        (4006, "/app/app-key", "protocol=%C2%B2"),
        (4007, "/app/app-key", "protocol=4"),
        (4007, "/app/app-key", "protocol=8"),
        (4007, "/app/app-key", f"protocol={'9' * 10_000}"),
        (4008, "/app/app-key", ""),
        (4008, "/app/app-key", "protocol="),
        (4008, "/app/app-key", "client=js&version=8.4.0"),
        (4008, "/app/app-key", "%FF&&==;"),
    ],
)
def test_a_rejected_client_reads_why(code: int, path: str, query: str) -> None:
    with Site() as site:
        client = site.client(path=path, query=query)
        client.open()
        assert client.sent[0] == {"type": "websocket.accept"}, "browsers see the code only then"
        (error,) = client.frames
        assert error["event"] == "pusher:error"
        assert error["data"]["code"] == client.close_code == code
        assert error["data"]["message"] == client.sent[-1]["reason"]
        assert not client.is_served


def test_no_more_connections_than_the_option_says() -> None:
    with Site(max_connections=2) as site:
        first, _ = site.connect(), site.connect()
        one_too_many = site.client()
        one_too_many.open()
        assert one_too_many.close_code == 4100
        first.disconnect()
        assert site.connect().close_code is None


def test_the_origin_may_have_to_be_an_allowed_one() -> None:
    with Site(allowed_origins=["https://example.com"]) as site:
        site.connect(headers=[BROWSER])
        site.connect()  # no browser, or it would say
        for origin in (b"https://evil.example", b"https://example.com.evil.example", b"null", b""):
            stranger = site.client(headers=[(b"origin", origin)])
            stranger.open()
            assert stranger.close_code == 4009
    with Site(allowed_origins=["https://*.example.com"]) as site:
        site.connect(headers=[(b"origin", b"https://shop.example.com")])
    with Site() as site:
        site.connect(headers=[(b"origin", b"https://other.example")])


def test_each_transport_has_its_app() -> None:
    entries = {
        alias: {"TRANSPORT": PATH, "OPTIONS": {**OPTIONS, "app_id": alias, "key": f"{alias}-key"}}
        for alias in ("default", "second")
    }
    entries["off"] = {
        "TRANSPORT": PATH,
        "OPTIONS": {**OPTIONS, "key": "off-key"},
        "ENABLED": False,
    }
    with Site(transports=entries) as site:
        one, other = (site.connect(path=f"/app/{name}-key") for name in ("default", "second"))
        for client in (one, other):
            client.subscribe("news")
            client.take()
        site.publish("told", "news")
        assert [name for name, *_ in one.events()] == ["told"]
        assert other.events() == []
        off = site.client(path="/app/off-key")
        off.open()
        assert off.close_code == 4001


def test_frames_that_come_after_the_close_are_not_answered() -> None:
    with Site(client_events=True) as site:
        bystander, client = site.connect(), site.connect()
        for each in (bystander, client):
            each.join("private-room")
            each.take()
        bystander.sign_in("bob", watchlist=["ann"])
        bystander.take()
        client.say({"event": "pusher:signin", "data": {"auth": "forged", "user_data": "{}"}})
        assert client.events()[-1][2]["code"] == 4009
        client.trigger("client-late", "private-room", {})
        client.subscribe("news")
        client.sign_in("ann")
        assert client.close_code == 4009
        assert client.events() == bystander.events() == []
        assert "news" not in site.node.hub.channels


# Silence


def test_a_ping_is_answered() -> None:
    with Site() as site:
        client = site.connect()
        for data in ({}, "{}", None):
            client.say({"event": "pusher:ping", "data": data})
        client.say({"event": "pusher:ping"})
        assert client.events() == [("pusher:pong", "", {})] * 4


def test_a_silent_connection_is_asked_and_then_closed() -> None:
    with Site(activity_timeout=120, pong_timeout=30) as site:
        client, talker = site.connect(), site.connect()
        site.advance(119)
        talker.say({"event": "pusher:ping"})
        talker.take()
        site.advance(1)
        assert client.events() == [("pusher:ping", "", {})]
        site.advance(29)
        assert client.events() == [], "one question is enough"
        assert client.close_code is None
        site.advance(1)
        assert client.close_code == 4201
        assert talker.close_code is None
        assert talker.events() == []


def test_any_frame_is_a_sign_of_life() -> None:
    with Site(activity_timeout=120, pong_timeout=30) as site:
        client = site.connect()
        for frame in ({"event": "pusher:pong", "data": {}}, {"event": "pusher:ping"}, "no JSON"):
            site.advance(120)
            assert client.take()[-1]["event"] == "pusher:ping"
            client.say(frame)
            client.take()
            site.advance(30)
            assert client.close_code is None
            site.advance(89)
            assert client.events() == []


def test_a_closed_connection_receives_and_sends_nothing_more() -> None:
    with Site(pong_timeout=30) as site:
        client, other = site.connect(), site.connect()
        for each in (client, other):
            each.join("presence-room", "ann" if each is client else "bob")
        site.advance(120)
        other.say({"event": "pusher:pong"})
        site.advance(30)
        assert client.close_code == 4201
        other.take()
        client.take()
        client.say({"event": "pusher:ping"})
        client.join("presence-other", "ann")
        site.publish("told", ["presence-room", "presence-other"])
        assert client.events() == []
        assert [name for name, *_ in other.events()] == ["told"]
        client.disconnect()
        assert not client.is_served


# What is not of the protocol

OTHER_PATHS = [
    "/ws/chat/",
    "/app",
    "/app/chat/5/",
    "/app/app-key/",
    "/app/app-key/more",
    "/apps/app-key",
    "/",
]


def test_other_sockets_go_to_the_app() -> None:
    app = App()
    with Site(app=app) as site:
        for path in OTHER_PATHS:
            client = site.client(path=path)
            client.open()
            assert client.sent == [{"type": "websocket.accept"}]
    assert [scope["path"] for scope in app.scopes] == OTHER_PATHS


class Middleware:
    """Stand between the server and Django, and perhaps take the first message."""

    def __init__(self, app: Any, *, receives: bool) -> None:
        self._app = app
        self._receives = receives

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._receives:
            await receive()
        await self._app(scope, receive, send)


@pytest.mark.parametrize("path", OTHER_PATHS)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda app: app,
        ASGIStaticFilesHandler,
        lambda app: Middleware(app, receives=False),
        lambda app: Middleware(Middleware(app, receives=True), receives=False),
    ],
    ids=["Django", "static files", "a middleware", "a middleware that receives"],
)
def test_another_socket_that_comes_to_django_is_refused(
    settings: Settings, wrap: Callable[[Any], Any], path: str
) -> None:
    settings.STATIC_URL = "static/"
    with Site(app=wrap(get_asgi_application())) as site:
        client = site.client(path=path)
        client.open()
        assert client.sent == [{"type": "websocket.close"}]
        assert not client.is_served


def test_a_method_of_django_that_is_replaced_is_still_djangos(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = ASGIHandler.__call__

    async def traced(self: Any, scope: Any, receive: Any, send: Any) -> None:
        await original(self, scope, receive, send)

    monkeypatch.setattr(ASGIHandler, "__call__", traced)  # as Sentry does
    with Site(app=get_asgi_application()) as site:
        client = site.client(path="/ws/chat/")
        client.open()
        assert client.sent == [{"type": "websocket.close"}]


def test_an_error_of_another_app_is_no_refusal() -> None:
    async def fail(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("Django has nothing to do with it")

    with Site(app=fail) as site:
        client = site.client(path="/ws/chat/")
        client.open()
        assert client.sent == []
        with pytest.raises(ValueError, match="nothing to do"):
            site.run(client.end())
        site.clients.clear()


def test_http_goes_to_the_app() -> None:
    calls = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append((scope, receive, send))

    with Site(app=app) as site:
        call = ({"type": "http", "path": "/app/app-key"}, object(), object())
        site.run(site.servers[0](*call))  # type: ignore[arg-type]
        assert calls == [call]


def test_with_other_transports_all_goes_to_the_app() -> None:
    app = App()
    memory = {"default": {"TRANSPORT": "realtime_drf.transports.memory.MemoryTransport"}}
    with Site(app=app, transports=memory) as site:
        client = site.client(path="/app/app-key")
        client.open()
    assert len(app.scopes) == 1


def test_every_event_loop_has_its_nodes_and_all_receive() -> None:
    with Site() as site, Site(beside=site) as other:
        clients = [site.connect(), other.connect()]
        for client in clients:
            client.subscribe("news")
            client.take()
        site.publish("told", "news", 1)
        other.settle()
        for client in clients:
            assert client.events() == [("told", "news", 1)]
        server = Server(lambda *args: None, Clock())
        assert site.start(server) is site.start(server) is not other.start(server)
        for nodes, one in ((site.start(server), site), (other.start(server), other)):
            for node in nodes.values():
                one.run(node.stop())


@pytest.mark.parametrize("key", ["app-key", "other-key"])
def test_a_client_that_disconnects_while_connecting_leaves_nothing_behind(key: str) -> None:
    with Site() as site:
        for is_broken_from in (0, 1):
            client = site.client(path=f"/app/{key}")
            client.open(goes_after=is_broken_from)
            assert not client.is_served
        assert site.node.connections == {}


@pytest.mark.parametrize("failure", [OSError, RuntimeError])
def test_a_client_that_disconnects_before_it_is_rejected_leaves_no_traceback(
    failure: type[Exception],
) -> None:
    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        if message["type"] != "websocket.accept":
            raise failure("the close has been sent")

    with Site() as site:
        scope = {"type": "websocket", "path": "/app/no-such-key", "headers": []}
        site.run(site.servers[0](scope, receive, send))
