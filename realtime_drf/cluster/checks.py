"""What `manage.py check` says of an app."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.core import checks

from realtime_drf.cluster.app import App
from realtime_drf.cluster.options import DEFAULT_APP_ID, DEFAULT_KEY
from realtime_drf.cluster.webhooks.endpoints import check_endpoints, check_endpoints_for_production


def check_app(app: App, others: Iterable[App]) -> list[checks.CheckMessage]:
    """Check an app beside others, whose transports come before its own in the settings."""
    return [
        *check_endpoints(app.endpoints, app.options, alias=app.alias),
        *(message for other in others for message in _check_other(app, other)),
        *_check_app_id(app),
    ]


def check_app_for_production(app: App) -> list[checks.CheckMessage]:
    """Warn of what is fine on a developer's machine, and not in production."""
    return [
        *_check_layer(app),
        *_check_names(app),
        *check_endpoints_for_production(app.endpoints, alias=app.alias),
    ]


def _check_other(app: App, other: App) -> Iterator[checks.CheckMessage]:
    """Refuse the key or app_id of another app."""
    pairs = {"key": (app.signer.key, other.signer.key), "app_id": (app.app_id, other.app_id)}
    for name in [name for name, (own, theirs) in pairs.items() if own == theirs]:
        yield checks.Error(
            f"REALTIME_TRANSPORTS[{app.alias!r}]: {name!r} is the same as that of {other.alias!r}.",
            hint="They are separate apps, and one would hide the other: name them differently.",
            id="realtime_drf.E012",
        )


def _check_app_id(app: App) -> Iterator[checks.CheckMessage]:
    """Warn of an app that the SDKs for which its HTTP API is meant cannot ask."""
    if app.serves_http_api and not (app.app_id.isascii() and app.app_id.isdigit()):
        yield checks.Warning(
            f"REALTIME_TRANSPORTS[{app.alias!r}]: 'http_api' is on, and 'app_id' is not a number.",
            hint="Pusher's SDKs refuse it, or ask at another path: give it digits, such as '4711'.",
            id="realtime_drf.W010",
        )


def _check_layer(app: App) -> Iterator[checks.CheckMessage]:
    if app.is_local:
        yield checks.Warning(
            f"REALTIME_TRANSPORTS[{app.alias!r}]: the channel layer is in memory, so what other "
            f"processes than the one that serves browsers publish reaches nobody.",
            hint="One process without workers or commands is well served; else use channels_redis.",
            id="realtime_drf.W005",
        )


def _check_names(app: App) -> Iterator[checks.CheckMessage]:
    """Warn of an app with the default names, where others may be on the same Redis."""
    defaults = {"app_id": (app.app_id, DEFAULT_APP_ID), "key": (app.signer.key, DEFAULT_KEY)}
    names = [repr(name) for name, (own, default) in defaults.items() if own == default]
    if names and not app.is_local:
        yield checks.Warning(
            f"REALTIME_TRANSPORTS[{app.alias!r}]: the default is used for "
            f"{' and '.join(names)}, and the channel layer reaches other processes.",
            hint="Give the app an id and a key of its own: projects with the same secret on "
            "one Redis differ in 'app_id' alone.",
            id="realtime_drf.W012",
        )
