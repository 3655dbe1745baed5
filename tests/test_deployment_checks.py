"""What is not for production is said by `check --deploy`, and nobody else is bothered."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from django.core.checks import run_checks
from pytest_django import Settings

pytest.importorskip("channels")

from realtime_drf import Event, publish
from realtime_drf.channels import registry as channel_registry
from realtime_drf.server import RealtimeServer
from realtime_drf.signals import channel_occupied
from tests.server.harness import PATH

APP = "some_site.asgi.application"


@pytest.fixture
def configure(settings: Settings) -> Callable[..., None]:
    def configure(**options: Any) -> None:
        settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH, "OPTIONS": options}}

    return configure


@pytest.fixture
def serve(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Return a function that makes an app the project's."""

    def serve(app: Any) -> None:
        module = ModuleType("some_site.asgi")
        module.application = app  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "some_site", ModuleType("some_site"))
        monkeypatch.setitem(sys.modules, "some_site.asgi", module)
        settings.ASGI_APPLICATION = APP

    return serve


def found(check_id: str, *, deploy: bool = True) -> list[str]:
    messages = run_checks(tags=["realtime_drf"], include_deployment_checks=deploy)
    return [each.msg for each in messages if each.id == f"realtime_drf.{check_id}"]


# ASGI_APPLICATION


def test_an_application_that_serves_no_browsers_is_warned_of(
    configure: Callable[..., None], serve: Callable[[Any], None], settings: Settings
) -> None:
    configure()
    settings.ASGI_APPLICATION = None
    assert "ASGI_APPLICATION is not set" in found("W014", deploy=False)[0]
    serve(get_asgi_application())
    assert f"ASGI_APPLICATION is '{APP}'" in found("W014", deploy=False)[0]


class Middleware:
    def __init__(self, app: Any) -> None:
        self.inner = app
        self.method = self.__call__

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.inner(scope, receive, send)


def in_a_function(app: Any) -> Any:
    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return middleware


class Router(SimpleNamespace):
    """Look like ProtocolTypeRouter."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize(
    "wrap",
    [
        lambda app: app,
        Middleware,
        lambda app: Middleware(Middleware(app)),
        in_a_function,
        lambda app: Router(application_mapping={"http": app, "websocket": app}),
        lambda app: Router(router=Router(routes=[Router(path="/", app=app)])),
        lambda app: functools.partial(Middleware(app)),
    ],
    ids=["alone", "in a middleware", "in two", "in a function", "router", "routes", "partial"],
)
def test_a_server_is_found_in_what_is_around_it(
    configure: Callable[..., None], serve: Callable[[Any], None], wrap: Callable[[Any], Any]
) -> None:
    configure()
    serve(wrap(RealtimeServer(get_asgi_application())))
    assert found("W014") == []
    serve(wrap(get_asgi_application()))
    assert len(found("W014")) == (0 if wrap is in_a_function else 1)


def test_an_application_that_cannot_be_imported_is_left_to_the_server(
    configure: Callable[..., None], settings: Settings
) -> None:
    configure()
    settings.ASGI_APPLICATION = "no.such.module"
    assert found("W014") == []


def test_other_transports_need_no_asgi_application(settings: Settings) -> None:
    settings.ASGI_APPLICATION = None
    assert found("W014") == []


# What strangers could use


def test_an_http_api_with_a_derived_secret_is_warned_of(configure: Callable[..., None]) -> None:
    configure(http_api=True)
    assert len(found("W015")) == 1
    assert found("W015", deploy=False) == []
    configure(http_api=True, secret="set")
    assert found("W015") == []
    configure()
    assert found("W015") == []


def test_open_origins_are_warned_of_where_there_are_private_channels(
    configure: Callable[..., None], policies: None
) -> None:
    configure()
    assert "BoardChannel" in found("W016")[0] or "ListChannel" in found("W016")[0]
    assert found("W016", deploy=False) == []
    configure(allowed_origins=["https://example.com"])
    assert found("W016") == []
    configure()
    channel_registry.channels = []
    assert found("W016") == []


def test_webhooks_whose_repetition_one_process_knows_are_warned_of(settings: Settings) -> None:
    pytest.importorskip("pusher")
    settings.REALTIME_TRANSPORTS = {
        "default": {
            "TRANSPORT": "realtime_drf.transports.pusher.PusherTransport",
            "OPTIONS": {"app_id": "1", "key": "k", "secret": "s"},
        }
    }
    local = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.CACHES = local
    assert found("W017") == []  # nobody wants to know

    def receiver(**kwargs: Any) -> None: ...

    channel_occupied.connect(receiver)
    try:
        assert len(found("W017")) == 1
        assert found("W017", deploy=False) == []
        settings.CACHES = {
            "default": {
                "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
                "LOCATION": "/nowhere",
            }
        }
        assert found("W017") == []
        settings.CACHES = local
        settings.REALTIME_TRANSPORTS = {
            "default": {"TRANSPORT": "realtime_drf.transports.console.ConsoleTransport"}
        }
        assert found("W017") == []  # no service reports anything
    finally:
        channel_occupied.disconnect(receiver)


# runserver


def test_runserver_that_serves_no_websockets_says_so(
    configure: Callable[..., None],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.ASGI_APPLICATION = APP
    for arguments, mend in (
        (["manage.py", "runserver", "8000"], "run uvicorn some_site.asgi:application instead."),
        (["manage.py", "shell"], "Use channels_redis to publish from another process."),
    ):
        configure(app_id=arguments[1])
        monkeypatch.setattr(sys, "argv", arguments)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "realtime_drf"):
            publish(Event("e", "c"))
        assert mend in caplog.text
    assert "runserver" not in caplog.text
