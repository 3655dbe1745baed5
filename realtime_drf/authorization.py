"""Decisions of policies: who may subscribe to which channels, and who signs in as which user.

It fails closed: without a policy there is no access, and a policy that raises denies it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework.exceptions import APIException

from realtime_drf.channel_objects import fetch_objects
from realtime_drf.channels import (
    Channel,
    PresenceChannel,
    PrivateChannel,
    UserChannel,
    registry,
)
from realtime_drf.conf import configs
from realtime_drf.exceptions import InvalidEvent
from realtime_drf.grants import Denial, Grant, Identity
from realtime_drf.names import MAX_CHANNEL_LENGTH, USER_PREFIX
from realtime_drf.permissions import StrictPermission
from realtime_drf.transports import transports

__all__ = ["disconnect_user"]

logger = logging.getLogger("realtime_drf")

Decision = Grant | Denial

_REFUSALS = (PermissionDenied, Http404, APIException)
"""What a policy may raise to deny access."""


def decide(
    request: Any, names: Sequence[str], *, with_user_channels: bool = False
) -> list[Decision]:
    """Return a grant or a denial for each channel name, in order.

    The channels of a class are decided together, so that a policy can decide on many with one query
    (`PrivateChannel.authorize_many`). The channel of a user is granted only `with_user_channels`,
    and only if the request may sign in as that user.
    """
    by_class: dict[type[PrivateChannel], list[PrivateChannel]] = {}
    unmatched = []
    for name in dict.fromkeys(names):
        channel = _find(name)
        if channel is None and not name.startswith(USER_PREFIX):
            unmatched.append(name)
        if channel is not None and _has_permission(request, channel):
            by_class.setdefault(type(channel), []).append(channel)
    _report_unmatched(unmatched)
    granted: dict[str, Grant] = {}
    for cls, channels in by_class.items():
        if cls.queryset is not None:
            channels = _with_objects(request, cls, channels)
        # If each is decided by itself, an error of one must not affect the others.
        groups = [[channel] for channel in channels] if cls.asks_each() else [channels]
        for group in groups:
            granted |= {grant.channel: grant for grant in _grant_many(request, cls, group)}
    if with_user_channels and any(name.startswith(USER_PREFIX) for name in names):
        granted |= _grant_user_channel(request)
    return [granted.get(name) or Denial(channel=name) for name in names]


def identify(request: Any) -> Identity | None:
    """Return the identity with which a request signs in, or None if it may not.

    The id is always that of the request's user, never one that the client sends.
    """
    user_id = get_user_id(request)
    if user_id is None:
        return None
    try:
        channel = registry.get_user_channel()(user_id)
        if not _has_permission(request, channel):
            return None
        return Identity(
            user_id=user_id,
            user_info=channel.get_user_info(request),
            watchlist=tuple(str(user_id) for user_id in _list(channel.get_watchlist(request))),
        )
    except Exception as exc:  # noqa: BLE001  whatever goes wrong, access is denied
        _report(exc, "signing in")
        return None


def disconnect_user(user: Any, *, transport: str = "default") -> None:
    """Disconnect a user, given by instance or id: close all connections signed in as that user.

    Policies are not asked again on an open connection, so call this when a user loses a permission.
    A client that reconnects is authorized again.

    Raises:
        UnsupportedFeature: the transport cannot do this.
        TransportError: the service failed.
    """
    (user_id,) = UserChannel(user).kwargs.values()
    if configs[transport].enabled:
        transports[transport].disconnect_user(user_id)


def get_user_id(request: Any) -> str | None:
    """Return the id of a request's user, or None if it has none."""
    pk = getattr(request.user, "pk", None)
    return None if pk is None else str(pk)


def _list(ids: Iterable[Any] | str) -> Iterable[Any]:
    return [ids] if isinstance(ids, str) else ids


def _find(name: str) -> PrivateChannel | None:
    """Return the channel of a name that needs authorization, if a class matches it."""
    try:
        channel = registry.match(name)
    except InvalidEvent:
        return None
    return channel if isinstance(channel, PrivateChannel) else None


def _has_permission(request: Any, channel: Channel) -> bool:
    return _all_permit(channel, lambda each: each.has_permission(request, channel))


def _with_objects(
    request: Any, cls: type[PrivateChannel], channels: Sequence[PrivateChannel]
) -> list[PrivateChannel]:
    """Return the channels whose object exists and is permitted, each with its object."""
    try:
        found = list(fetch_objects(cls.queryset, [channel.kwargs for channel in channels]))
    except Exception as exc:  # noqa: BLE001  whatever goes wrong, access is denied
        _report(exc, f"{cls.__qualname__} ({len(channels)})")
        return []
    for position, obj in found:
        channels[position].object = obj
    return [
        each
        for each in channels
        if each.object is not None and _has_object_permission(request, each)
    ]


def _has_object_permission(request: Any, channel: PrivateChannel) -> bool:
    return _all_permit(
        channel, lambda each: each.has_object_permission(request, channel, channel.object)
    )


def _all_permit(channel: Channel, ask: Callable[[StrictPermission], bool]) -> bool:
    try:
        return all(ask(StrictPermission(permission())) for permission in channel.permission_classes)
    except Exception as exc:  # noqa: BLE001  whatever goes wrong, access is denied
        _report(exc, repr(channel))
        return False


def _grant_many(
    request: Any, cls: type[PrivateChannel], channels: Sequence[PrivateChannel]
) -> Iterable[Grant]:
    try:
        allowed = {channel.name for channel in cls.authorize_many(request, channels)}
    except Exception as exc:  # noqa: BLE001  whatever goes wrong, access is denied
        what = repr(channels[0]) if len(channels) == 1 else f"{cls.__qualname__} ({len(channels)})"
        _report(exc, what)
        return
    for channel in channels:
        if channel.name in allowed and (grant := _grant(request, channel)):
            yield grant


def _grant(request: Any, channel: PrivateChannel) -> Grant | None:
    try:
        may_publish = channel.may_publish(request)
    except Exception as exc:  # noqa: BLE001  whatever goes wrong, access is denied
        _report(exc, repr(channel))
        return None
    if not isinstance(channel, PresenceChannel):
        return Grant(channel=channel.name, may_publish=may_publish)
    user_id = get_user_id(request)
    if user_id is None:
        logger.error("Denied %r: a presence channel needs a user with an id.", channel)
        return None
    try:
        info = channel.get_user_info(request, **channel.kwargs)
    except Exception as exc:  # noqa: BLE001  whatever goes wrong, access is denied
        _report(exc, repr(channel))
        return None
    return Grant(channel=channel.name, user_id=user_id, user_info=info, may_publish=may_publish)


def _grant_user_channel(request: Any) -> dict[str, Grant]:
    identity = identify(request)
    if identity is None:
        return {}
    name = UserChannel(identity.user_id).name
    return {name: Grant(channel=name, user_id=identity.user_id)}


def _report_unmatched(names: Sequence[str]) -> None:
    """Log names in one line, and only the first ones, since a client may make them up."""
    if names:
        some = ", ".join(repr(name[:MAX_CHANNEL_LENGTH]) for name in names[:10])
        logger.warning(
            "Denied %d channel(s) that no policy matches, or more than one: %s%s",
            len(names),
            some,
            ", ..." if len(names) > 10 else "",
        )


def _report(exc: Exception, what: str) -> None:
    """Log the failure of a policy; a denial is not a failure."""
    if not isinstance(exc, _REFUSALS):
        logger.error("Denied %s, since its policy failed.", what, exc_info=exc)
