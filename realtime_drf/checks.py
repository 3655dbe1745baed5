"""Every error of configuration as a system check, so that none waits for the first request.

========  ======================================================================================
E001      an entry of REALTIME_TRANSPORTS, its class, options or delivery is wrong
E002      no transport is configured as "default"
E003      a transport that is for development is enabled (``check --deploy`` only)
E004      REALTIME_BACKENDS_MODULE is not the name of a module
E005      REALTIME_CACHE is not the alias of a cache
E006      a channel's pattern is malformed, or makes names that no transport could carry
E007      the patterns of two channel classes overlap
E008      a private channel does not say who may subscribe
E009      a permission class that cannot work on a channel
E010      several classes want to decide on signing in
E011      SKIP_VACANT is on, and the transport cannot tell which channels are vacant
E012      two Channels transports have the same key or app_id
E013      a policy is not asked, since it inherits its pattern
E019      a channel's queryset cannot be looked up by the values of its pattern
W001      REALTIME_BACKENDS_MODULE is set, and no installed app has such a module
W002      a backend has no serializer, so that the view's, for who asks, makes everyone's payload
W003      a channel that the default transport cannot serve
W004      SKIP_VACANT is on, and the cache is one of each process
W005      a channel layer that reaches one process only (``check --deploy`` only)
W006      a channel is not public, and no URL leads to the view that authorizes
W007      a module of backends is not imported, and nothing is registered
W008      a setting has nearly the name of one of ours
W010      the HTTP API of a Channels transport is on, and its app_id is not a number
W012      a transport whose layer is shared has the default app_id or key (``check --deploy`` only)
W014      the default transport serves browsers, and ASGI_APPLICATION names no RealtimeServer
W015      the HTTP API is on, with a secret derived from SECRET_KEY (``check --deploy`` only)
W016      any origin may connect, and there are private channels (``check --deploy`` only)
W017      webhooks are in use, and the cache is one of each process (``check --deploy`` only)
W018      a backend, channel or view has an attribute with nearly the name of a hook
W024      events go to a service over http:// (``check --deploy`` only)
========  ======================================================================================
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import module_has_submodule
from rest_framework.permissions import DjangoModelPermissions

from realtime_drf.backends import RealtimeBackend, registry
from realtime_drf.channel_objects import check_queryset
from realtime_drf.channels import Channel, EncryptedChannel, PrivateChannel, UserChannel
from realtime_drf.channels import registry as channel_registry
from realtime_drf.conf import (
    DEFAULT_ALIAS,
    configs,
    get_aliases,
    get_cache_alias,
    get_chosen_backends_module,
    nearest,
)
from realtime_drf.delivery import deliveries
from realtime_drf.deployment_checks import check_asgi_application, check_exposure, find_local_cache
from realtime_drf.exceptions import InvalidEvent
from realtime_drf.setup_checks import (
    check_hooks,
    check_modules,
    check_setting_names,
    check_urls,
)
from realtime_drf.transports import transports
from realtime_drf.transports.base import BaseTransport

TAG = "realtime_drf"

_POLICY = (
    "authorize",
    "authorize_many",
    "authorize_publish",
    "get_user_info",
    "permission_classes",
    "queryset",
    "kind",
    "cache",
)
"""What of a channel class is asked when a client subscribes."""


def register() -> None:
    """Make the checks known to Django."""
    for check in (check_transports, check_backends, check_channels, check_occupancy):
        checks.register(check, TAG)
    for check in (check_urls, check_modules, check_setting_names, check_hooks):
        checks.register(check, TAG)
    checks.register(check_asgi_application, TAG)
    for check in (check_deployment, check_exposure):
        checks.register(check, TAG, deploy=True)


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
                hint="To begin with, use realtime_drf.transports.console.ConsoleTransport.",
                id=f"{TAG}.E002",
            )
        )
    return messages


def check_backends(**kwargs: Any) -> list[checks.CheckMessage]:
    """Look for a module of backends that nobody has, and for backends without a payload."""
    return [*_check_backends_module(), *_check_serializers()]


def check_channels(**kwargs: Any) -> list[checks.CheckMessage]:
    """Look at every channel class: its pattern, its policy, and whether others claim its names."""
    messages = [message for cls in channel_registry for message in _check_channel(cls)]
    if not messages:  # what follows needs patterns that can be read
        messages = [*_check_overlaps(), *_check_abilities()]
    return [*messages, *_check_heirs(), *_check_user_channels()]


def check_occupancy(**kwargs: Any) -> list[checks.CheckMessage]:
    """Look for a cache, and for transports, with which vacant channels cannot be known."""
    try:
        aliases = [alias for alias in get_aliases() if _skips_vacant(alias)]
    except ImproperlyConfigured:
        return []  # check_transports says so
    return [*_check_cache(aliases), *(m for alias in aliases for m in _check_reports(alias))]


def check_deployment(**kwargs: Any) -> list[checks.CheckMessage]:
    """Refuse transports that are for development, and ask each what it says of production."""
    try:
        found = {alias: transports[alias] for alias in get_aliases() if configs[alias].enabled}
    except ImproperlyConfigured:
        return []  # check_transports says so
    messages = [
        message
        for transport in found.values()
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
        for alias, transport in found.items()
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
        return False  # check_transports says so


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
            hint="What a webhook tells one process, the others must know: use Redis or Memcached.",
            id=f"{TAG}.W004",
        )


def _check_reports(alias: str) -> Iterator[checks.CheckMessage]:
    try:
        transport = transports[alias]
    except ImproperlyConfigured:
        return  # check_transports says so
    if not any(
        getattr(transport, ability, False)
        for ability in ("supports_webhooks", "supports_channel_info")
    ):
        yield checks.Error(
            f"REALTIME_TRANSPORTS[{alias!r}]: 'SKIP_VACANT' is on, and {type(transport).__name__} "
            f"has neither webhooks nor a listing of occupied channels.",
            hint="Leave it off: nothing would ever be skipped.",
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
    elif not any(_has_module(config.module, module) for config in apps.get_app_configs()):
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
                f"whatever serializer the view picks for who makes the request, and everyone on "
                f"the channel gets it.",
                hint="Give it a serializer_class. Without one, a change made outside a view cannot "
                "be published.",
                obj=type(backend),
                id=f"{TAG}.W002",
            )


def _check_channel(cls: type[Channel]) -> Iterator[checks.CheckMessage]:
    try:
        cls.check_pattern()
    except (ImproperlyConfigured, InvalidEvent) as exc:
        yield checks.Error(f"{cls.__qualname__}: {exc}", obj=cls, id=f"{TAG}.E006")
    else:
        yield from _check_queryset(cls)
    if issubclass(cls, PrivateChannel) and not cls.has_policy():
        has_queryset = cls.queryset is not None
        looks = ", and no permission with has_object_permission()" if has_queryset else ""
        yield checks.Error(
            f"{cls.__qualname__} has no authorize(){looks}.",
            hint="Nobody may subscribe until it says who may.",
            obj=cls,
            id=f"{TAG}.E008",
        )
    yield from _check_permissions(cls)


def _check_queryset(cls: type[Channel]) -> Iterator[checks.CheckMessage]:
    if not issubclass(cls, PrivateChannel) or cls.queryset is None:
        return
    try:
        check_queryset(cls.queryset, cls.get_pattern().parameters)
    except ImproperlyConfigured as exc:
        yield checks.Error(
            f"{cls.__qualname__}: {exc}",
            hint="Name the values in the pattern as you would in queryset.filter().",
            obj=cls,
            id=f"{TAG}.E019",
        )


def _check_permissions(cls: type[Channel]) -> Iterator[checks.CheckMessage]:
    if not isinstance(cls.permission_classes, list | tuple):
        yield checks.Error(
            f"{cls.__qualname__}: permission_classes is no list: {cls.permission_classes!r}.",
            hint="Put square brackets around it: else nobody may subscribe.",
            obj=cls,
            id=f"{TAG}.E009",
        )
        return
    for permission in cls.permission_classes:
        if problem := _find_problem(permission):
            yield checks.Error(
                f"{cls.__qualname__}: {problem}",
                hint="Permissions are asked whether the request's user may subscribe.",
                obj=cls,
                id=f"{TAG}.E009",
            )


def _find_problem(permission: Any) -> str | None:
    if not callable(permission):
        return f"{permission!r} is no permission class."
    for operand in ("op1_class", "op2_class"):  # of A & B, A | B and ~A
        if hasattr(permission, operand) and (
            problem := _find_problem(getattr(permission, operand))
        ):
            return problem
    if isinstance(permission, type) and issubclass(permission, DjangoModelPermissions):
        return f"{permission.__name__} would ask for the right to add rows: the request is a POST."
    for method in ("has_permission", "has_object_permission"):
        if inspect.iscoroutinefunction(getattr(permission, method, None)):
            return f"{permission.__name__}.{method}() is async, and DRF's are not."
    return None


def _check_overlaps() -> Iterator[checks.CheckMessage]:
    for one, other in itertools.combinations(channel_registry, 2):
        same_prefix = (one.kind, one.cache) == (other.kind, other.cache)
        if same_prefix and one.get_pattern().overlaps(other.get_pattern()):
            yield checks.Error(
                f"A name can match both {one.__qualname__} ({one.pattern}) and "
                f"{other.__qualname__} ({other.pattern}).",
                hint="Nobody gets a channel that two classes claim: begin one with another word.",
                obj=one,
                id=f"{TAG}.E007",
            )


def _check_heirs() -> Iterator[checks.CheckMessage]:
    """Look for classes that change the policy of a pattern which is still their parent's."""
    # A class that was replaced is a parent too.
    stating = {base for cls in channel_registry for base in cls.__mro__ if _states_pattern(base)}
    heirs = {heir: parent for parent in stating for heir in _find_heirs(parent, parent)}
    for heir, parent in sorted(heirs.items(), key=lambda pair: pair[0].__qualname__):
        yield checks.Error(
            f"{heir.__qualname__} is not asked: it inherits the pattern of {parent.__qualname__}.",
            hint=f"State the pattern again, to take the place of {parent.__qualname__}; with "
            f"another kind or cache, both are asked.",
            obj=heir,
            id=f"{TAG}.E013",
        )


def _find_heirs(cls: type[Channel], parent: type[Channel]) -> Iterator[type[PrivateChannel]]:
    """Yield those below a class that decide otherwise than the parent whose pattern they have."""
    for heir in cls.__subclasses__():
        if "pattern" in vars(heir):
            continue
        if issubclass(heir, PrivateChannel) and _decides_otherwise(heir, parent):
            yield heir
        else:
            yield from _find_heirs(heir, parent)


def _decides_otherwise(heir: type[Channel], parent: type[Channel]) -> bool:
    return any(
        inspect.getattr_static(heir, name, None) is not inspect.getattr_static(parent, name, None)
        for name in _POLICY
    )


def _states_pattern(cls: type) -> bool:
    return vars(cls).get("pattern") is not None


def _check_user_channels() -> Iterator[checks.CheckMessage]:
    for cls in channel_registry.user_channels:
        yield from _check_permissions(cls)
    if len(channel_registry.user_channels) > 1:
        names = ", ".join(cls.__qualname__ for cls in channel_registry.user_channels)
        yield checks.Error(
            f"Several subclasses of UserChannel: {names}.",
            hint="Only one can decide on signing in.",
            id=f"{TAG}.E010",
        )


def _check_abilities() -> Iterator[checks.CheckMessage]:
    """Compare the channels that there are with what the default transport can do."""
    try:
        transport = transports[DEFAULT_ALIAS]
    except ImproperlyConfigured:
        return  # check_transports says so
    if not isinstance(transport, BaseTransport):
        return
    for cls in (*channel_registry, *channel_registry.user_channels):
        if inability := _find_inability(transport, cls):
            consequence = "nobody hears this channel"
        elif cls.cache and not transport.supports_cache:
            inability = "keep the last event"
            consequence = "this channel is heard, and who subscribes later gets nothing at first"
        else:
            continue
        yield checks.Warning(
            f"{cls.__qualname__}: {type(transport).__name__} cannot {inability}.",
            hint=f"As REALTIME_TRANSPORTS['default'] is now, {consequence}.",
            obj=cls,
            id=f"{TAG}.W003",
        )


def _find_inability(transport: BaseTransport, cls: type[Channel]) -> str | None:
    if issubclass(cls, UserChannel) and not transport.supports_user_authentication:
        return "sign users in"
    if issubclass(cls, UserChannel) and not transport.supports_user_events:
        return "reach a user"
    if issubclass(cls, PrivateChannel) and not transport.supports_authorization:
        return "authorize subscriptions"
    if issubclass(cls, EncryptedChannel) and not transport.supports_encryption:
        return "encrypt"
    return None


_has_module: Callable[[Any, str], bool] = module_has_submodule


def _is_overridden(backend: RealtimeBackend[Any]) -> bool:
    return any(
        getattr(type(backend), hook) is not getattr(RealtimeBackend, hook)
        for hook in ("get_data", "get_serializer_class")
    )
