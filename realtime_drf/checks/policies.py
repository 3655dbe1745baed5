"""Checks of channel classes: patterns, permissions, and what transports can serve."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from rest_framework.permissions import DjangoModelPermissions

from realtime_drf.channel_objects import check_queryset
from realtime_drf.channels import Channel, EncryptedChannel, PrivateChannel, UserChannel
from realtime_drf.channels import registry as channel_registry
from realtime_drf.conf import DEFAULT_ALIAS
from realtime_drf.exceptions import InvalidEvent
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
"""The attributes of a channel class that decide on subscriptions."""


def check_channels(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check every channel class: its pattern, its policy, and whether others match its names."""
    messages = [message for cls in channel_registry for message in _check_channel(cls)]
    if not messages:  # the other checks need valid patterns
        messages = [*_check_overlaps(), *_check_abilities()]
    return [*messages, *_check_heirs(), *_check_user_channels()]


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
            hint="Until it has one, all subscriptions are denied.",
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
            f"{cls.__qualname__}: permission_classes is not a list: {cls.permission_classes!r}.",
            hint="Put square brackets around it: as it is, all subscriptions are denied.",
            obj=cls,
            id=f"{TAG}.E009",
        )
        return
    for permission in cls.permission_classes:
        if problem := _find_problem(permission):
            yield checks.Error(
                f"{cls.__qualname__}: {problem}",
                hint="Permissions decide whether the request's user may subscribe.",
                obj=cls,
                id=f"{TAG}.E009",
            )


def _find_problem(permission: Any) -> str | None:
    if not callable(permission):
        return f"{permission!r} is not a permission class."
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
                hint="A channel of two classes is always denied: begin one with another word.",
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
            f"{heir.__qualname__} is not used: it inherits the pattern of {parent.__qualname__}.",
            hint=f"State the pattern again, to replace {parent.__qualname__}; with "
            f"another kind or cache, both are used.",
            obj=heir,
            id=f"{TAG}.E013",
        )


def _find_heirs(cls: type[Channel], parent: type[Channel]) -> Iterator[type[PrivateChannel]]:
    """Yield subclasses that decide differently from the parent whose pattern they have."""
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
    """Compare the channel classes with what the default transport supports."""
    try:
        transport = transports[DEFAULT_ALIAS]
    except ImproperlyConfigured:
        return  # check_transports reports it
    if not isinstance(transport, BaseTransport):
        return
    for cls in (*channel_registry, *channel_registry.user_channels):
        if inability := _find_inability(transport, cls):
            consequence = "nobody can subscribe to this channel"
        elif cls.cache and not transport.supports_cache:
            inability = "keep the last event"
            consequence = "clients that subscribe to this channel do not get its last event"
        else:
            continue
        yield checks.Warning(
            f"{cls.__qualname__}: {type(transport).__name__} cannot {inability}.",
            hint=f"With this REALTIME_TRANSPORTS['default'], {consequence}.",
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
