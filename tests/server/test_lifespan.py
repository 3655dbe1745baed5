"""The wrapped app is notified when the server starts and stops."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

pytest.importorskip("channels")

from django.core.asgi import get_asgi_application

from realtime_drf.server import RealtimeServer
from tests.server.harness import Site

STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
STARTED, STOPPED = {"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}


class App:
    """Answer lifespan as a test says, and note what there was."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.scope: Any = None
        self.received: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        for answer in self.answers:
            self.received.append(await receive())
            if isinstance(answer, Exception):
                raise answer
            await send(answer)


def live(app: Any, *messages: Any) -> list[Any]:
    """Have a server start and stop; return what it has answered."""

    async def run() -> list[Any]:
        inbox: asyncio.Queue[Any] = asyncio.Queue()
        sent: list[Any] = []
        for message in messages or (STARTUP, SHUTDOWN):
            inbox.put_nowait(message)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "lifespan", "state": {}}
        async with asyncio.timeout(10):
            await RealtimeServer(app)(scope, inbox.get, send)
        return sent

    with Site() as site:
        return site.run(run())


@pytest.mark.usefixtures("silence")
def test_an_app_receives_and_answers() -> None:
    app = App(STARTED, STOPPED)
    assert live(app) == [STARTED, STOPPED]
    assert app.received == [STARTUP, SHUTDOWN]
    assert app.scope == {"type": "lifespan", "state": {}}


@pytest.mark.usefixtures("silence")
def test_django_knows_none_and_is_served_all_the_same() -> None:
    assert live(get_asgi_application()) == [STARTED, STOPPED]


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("app", [App(), lambda *args: None])
def test_an_app_that_does_not_answer_is_served_all_the_same(app: Any) -> None:
    assert live(app) == [STARTED, STOPPED]


@pytest.mark.usefixtures("silence")
def test_an_app_that_goes_on_after_its_answer_is_ended() -> None:
    ended = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal ended
        try:
            for answer in (STARTED, STOPPED):
                await receive()
                await send(answer)
            await asyncio.Event().wait()
        finally:
            ended = True

    assert live(app) == [STARTED, STOPPED]
    assert ended


def test_an_app_that_cannot_start_says_so_to_the_server() -> None:
    failed = {"type": "lifespan.startup.failed", "message": "no database"}
    assert live(App(failed, STOPPED))[0] == failed


@pytest.mark.parametrize(
    "app", [App(RuntimeError("no database")), App(STARTED, RuntimeError("too late"))]
)
def test_an_app_that_fails_is_logged_and_served_all_the_same(
    caplog: pytest.LogCaptureFixture, app: App
) -> None:
    assert live(app) == [STARTED, STOPPED]
    (record,) = (each for each in caplog.records if each.levelno >= logging.WARNING)
    assert record.getMessage() == "The wrapped app failed during its lifespan."
    assert record.exc_info


def test_webhooks_are_sent_before_the_app_is_notified(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for answer in (STARTED, STOPPED):
            order.append((await receive())["type"])
            await send(answer)

    async def run() -> None:
        server = RealtimeServer(app)
        (node,) = server.get_nodes().values()

        async def send_webhooks() -> None:
            order.append("webhooks")

        monkeypatch.setattr(node, "send_webhooks", send_webhooks)
        inbox: asyncio.Queue[Any] = asyncio.Queue()
        for message in (STARTUP, SHUTDOWN):
            inbox.put_nowait(message)

        async def send(message: Any) -> None:
            pass

        await server({"type": "lifespan"}, inbox.get, send)
        await node.stop()

    with Site() as site:
        site.run(run())
    assert order == ["lifespan.startup", "webhooks", "lifespan.shutdown"]
