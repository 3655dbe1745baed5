"""Checks of the settings: transports, deliveries, backends, the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import module_has_submodule

from realtime_drf.backends import RealtimeBackend, registry
from realtime_drf.checks.deployment import find_local_cache, get_enabled
from realtime_drf.conf import (
    DEFAULT_ALIAS,
    configs,
    get_aliases,
    get_cache_alias,
    get_chosen_backends_module,
    nearest,
)
from realtime_drf.delivery import deliveries
from realtime_drf.transports import transports
from realtime_drf.transports.base import BaseTransport

TAG = "realtime_drf"


def check_transports(**kwargs: Any) -> list[checks.CheckMessage]:
    """Read every entry, make every transport, and ask each for its own checks."""
    try:
        aliases = get_aliases()
    except ImproperlyConfigured as exc:
        return [checks.Error(str(exc), id=f"{TAG}.E001")]
    messages = [message for alias in aliases for message in _check_alias(alias, **kwargs)]
    if DEFAULT_ALIAS not in aliases:
        messages.append(
            checks.Error(
                f"REALTIME_TRANSPORTS has no 'default'.{nearest(DEFAULT_ALIAS, aliases)}",
                hint="In development, use realtime_drf.transports.console.ConsoleTransport.",
                id=f"{TAG}.E002",
            )
        )
    return messages


def check_backends(**kwargs: Any) -> list[checks.CheckMessage]:
    """Look for a module of backends that no app has, and for backends without a serializer."""
    return [*_check_backends_module(), *_check_serializers()]


def check_occupancy(**kwargs: Any) -> list[checks.CheckMessage]:
    """Look for a cache, and for transports, with which vacant channels cannot be known."""
    try:
        aliases = [alias for alias in get_aliases() if _skips_vacant(alias)]
    except ImproperlyConfigured:
        return []  # check_transports reports it
    return [*_check_cache(aliases), *(m for alias in aliases for m in _check_reports(alias))]


def check_deployment(**kwargs: Any) -> list[checks.CheckMessage]:
    """Report transports that are for development, and what each reports for production."""
    enabled = get_enabled()
    messages = [
        message
        for _, transport in enabled
        if isinstance(transport, BaseTransport)
        for message in transport.check_deployment(**kwargs)
    ]
    return messages + [
        checks.Error(
            f"REALTIME_TRANSPORTS[{alias!r}]: {type(transport).__name__} is for development.",
            hint="In production it reaches no browser. Set 'ENABLED' to False where it is not "
            "needed.",
            id=f"{TAG}.E003",
        )
        for alias, transport in enabled
        if isinstance(transport, BaseTransport) and transport.development_only
    ]


def _check_alias(alias: str, **kwargs: Any) -> list[checks.CheckMessage]:
    try:
        if not configs[alias].enabled:
            return []
        transport = transports[alias]
        deliveries[alias]
    except ImproperlyConfigured as exc:
        return [checks.Error(str(exc), id=f"{TAG}.E001")]
    return transport.check(**kwargs)


def _skips_vacant(alias: str) -> bool:
    try:
        return configs[alias].enabled and bool(configs[alias].skip_vacant)
    except ImproperlyConfigured:
        return False  # check_transports reports it


def _check_cache(aliases: Sequence[str]) -> Iterator[checks.CheckMessage]:
    cache = get_cache_alias()
    if cache not in caches.settings:
        yield checks.Error(
            f"REALTIME_CACHE is {cache!r}, and CACHES has no such alias.",
            hint="The default is 'default'.",
            id=f"{TAG}.E005",
        )
        return
    if aliases and (backend := find_local_cache()):
        yield checks.Warning(
            f"REALTIME_TRANSPORTS[{aliases[0]!r}]: 'SKIP_VACANT' is on, and the cache {cache!r} is "
            f"a {backend}, of which each process has one of its own.",
            hint="All processes must know what a webhook has reported: use Redis or Memcached.",
            id=f"{TAG}.W004",
        )


def _check_reports(alias: str) -> Iterator[checks.CheckMessage]:
    try:
        transport = transports[alias]
    except ImproperlyConfigured:
        return  # check_transports reports it
    if not any(
        getattr(transport, ability, False)
        for ability in ("supports_webhooks", "supports_channel_info")
    ):
        yield checks.Error(
            f"REALTIME_TRANSPORTS[{alias!r}]: 'SKIP_VACANT' is on, and {type(transport).__name__} "
            f"has neither webhooks nor a listing of occupied channels.",
            hint="Turn it off: nothing would ever be skipped.",
            id=f"{TAG}.E011",
        )


def _check_backends_module() -> Iterator[checks.CheckMessage]:
    module = get_chosen_backends_module()
    if module is None:
        return
    if not (isinstance(module, str) and all(map(str.isidentifier, module.split(".")))):
        yield checks.Error(
            f"REALTIME_BACKENDS_MODULE must be the name of a module in an app, not {module!r}.",
            hint="The default is 'realtime': todos/realtime.py.",
            id=f"{TAG}.E004",
        )
    elif not any(module_has_submodule(config.module, module) for config in apps.get_app_configs()):
        yield checks.Warning(
            f"REALTIME_BACKENDS_MODULE is {module!r}, and no installed app has such a module.",
            hint="Without backends nothing is published.",
            id=f"{TAG}.W001",
        )


def _check_serializers() -> Iterator[checks.CheckMessage]:
    for backend in registry:
        if backend.serializer_class is None and not _is_overridden(backend):
            yield checks.Warning(
                f"{type(backend).__qualname__} has no serializer_class: the payload is made by "
                f"the serializer that the view picks for its request's user, and everyone on the "
                f"channel gets it.",
                hint="Give it a serializer_class. Without one, a change made outside a view cannot "
                "be published.",
                obj=type(backend),
                id=f"{TAG}.W002",
            )


def _is_overridden(backend: RealtimeBackend[Any]) -> bool:
    return any(
        getattr(type(backend), hook) is not getattr(RealtimeBackend, hook)
        for hook in ("get_data", "get_serializer_class")
    )
