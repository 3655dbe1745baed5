"""Checks for what works in development and not, or not safely, in production."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from types import FunctionType, MethodType
from typing import Any, Final

from django.core import checks
from django.core.cache import caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.utils.module_loading import import_string

from realtime_drf.channels import PrivateChannel
from realtime_drf.channels import registry as channel_registry
from realtime_drf.conf import (
    DEFAULT_ALIAS,
    configs,
    get_aliases,
    get_asgi_application,
    get_cache_alias,
)
from realtime_drf.transports import transports
from realtime_drf.transports.channels import ChannelsTransport
from realtime_drf.webhooks import SIGNALS

TAG = "realtime_drf"

_DEPTH: Final = 5
"""Levels of apps within apps in which a server is looked for."""


def check_asgi_application(**kwargs: Any) -> list[checks.CheckMessage]:
    """Look for the server without which browsers cannot connect to the project itself."""
    if not isinstance(dict(get_enabled()).get(DEFAULT_ALIAS), ChannelsTransport):
        return []
    path = get_asgi_application()
    if path is None:
        problem = "ASGI_APPLICATION is not set"
    elif (app := _import(path)) is not None and not _has_server(app):
        problem = f"ASGI_APPLICATION is {path!r}, and that is not a RealtimeServer"
    else:
        return []
    return [
        checks.Warning(
            f"REALTIME_TRANSPORTS['default']: ChannelsTransport serves browsers with an ASGI "
            f"application, and {problem}.",
            hint="In asgi.py, wrap Django's application in realtime_drf.server.RealtimeServer, and "
            "name it in ASGI_APPLICATION, such as 'mysite.asgi.application'.",
            id=f"{TAG}.W014",
        )
    ]


def check_exposure(**kwargs: Any) -> list[checks.CheckMessage]:
    """Look for what strangers could misuse: a derived secret, open origins, replayed webhooks."""
    served = [
        (alias, transport)
        for alias, transport in get_enabled()
        if isinstance(transport, ChannelsTransport)
    ]
    return [
        *(m for alias, transport in served for m in _check_secret(alias, transport)),
        *(m for alias, transport in served for m in _check_origins(alias, transport)),
        *_check_replay_protection(),
    ]


def _check_secret(alias: str, transport: ChannelsTransport) -> Iterator[checks.CheckMessage]:
    if transport.app.serves_http_api and not configs[alias].options.get("secret"):
        yield checks.Warning(
            f"REALTIME_TRANSPORTS[{alias!r}]: 'http_api' is on, and the secret that its requests "
            f"are signed with is derived from SECRET_KEY.",
            hint="Set 'secret': everyone who publishes knows it, and SECRET_KEY should not be "
            "replaced because of one of them.",
            id=f"{TAG}.W015",
        )


def _check_origins(alias: str, transport: ChannelsTransport) -> Iterator[checks.CheckMessage]:
    private = [cls for cls in channel_registry if issubclass(cls, PrivateChannel)]
    if private and transport.app.options.allowed_origins is None:
        yield checks.Warning(
            f"REALTIME_TRANSPORTS[{alias!r}]: pages of any origin may connect, and there are "
            f"channels that are not public, such as {private[0].__qualname__}.",
            hint="Set 'allowed_origins' to those of the project, such as ['https://example.com'].",
            id=f"{TAG}.W016",
        )


def _check_replay_protection() -> Iterator[checks.CheckMessage]:
    readers = [alias for alias, each in get_enabled() if getattr(each, "supports_webhooks", False)]
    if not readers or not any(signal.has_listeners() for signal in SIGNALS.values()):
        return
    if backend := find_local_cache():
        yield checks.Warning(
            f"REALTIME_TRANSPORTS[{readers[0]!r}]: webhooks have receivers, and the cache "
            f"{get_cache_alias()!r}, by which a repeated webhook is known, is a {backend}, of "
            f"which each process has one of its own.",
            hint="Use Redis or Memcached, and name its alias in REALTIME_CACHE: otherwise each "
            "process takes a repeated webhook for a new one.",
            id=f"{TAG}.W017",
        )


def find_local_cache() -> str | None:
    """Return the name of the cache's class if each process has a cache of its own."""
    backend = _import(caches.settings.get(get_cache_alias(), {}).get("BACKEND", ""))
    is_local = isinstance(backend, type) and issubclass(backend, LocMemCache | DummyCache)
    return backend.__name__ if is_local else None


def get_enabled() -> list[tuple[str, Any]]:
    """Return the enabled transports by alias; none if one of them is wrong."""
    try:
        return [(alias, transports[alias]) for alias in get_aliases() if configs[alias].enabled]
    except ImproperlyConfigured:
        return []  # check_transports reports it


def _import(path: str) -> Any:
    """Return what a dotted path leads to, or None: its user reports what is wrong with it."""
    try:
        return import_string(path)
    except Exception:  # noqa: BLE001  a module of the project's, which may raise anything
        return None


def _has_server(app: Any, depth: int = _DEPTH) -> bool:
    """Return whether an app is our server or wraps it; a function may wrap anything."""
    from realtime_drf.server.asgi import RealtimeServer

    if isinstance(app, RealtimeServer | FunctionType):
        return True
    if depth == 0 or isinstance(app, ASGIHandler):  # which has functions within
        return False
    return any(_has_server(each, depth - 1) for each in _find_inner(app) if _may_hold_app(each))


def _find_inner(app: Any) -> Iterable[Any]:
    """Return the members of a list or dict of routes, a partial function, or an object."""
    if isinstance(app, list | tuple):
        return app
    if isinstance(app, dict):
        return app.values()
    if isinstance(app, functools.partial):
        return [app.func, *app.args, *app.keywords.values()]
    return getattr(app, "__dict__", {}).values()


def _may_hold_app(value: Any) -> bool:
    # Methods and classes among the attributes of an app are not apps that it wraps.
    if isinstance(value, type | MethodType):
        return False
    return callable(value) or isinstance(value, dict | list | tuple)
