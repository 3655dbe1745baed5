"""What an app's server allows, and how long it waits."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from realtime_drf.cluster.origins import Origins
from realtime_drf.conf import DEFAULT_ALIAS
from realtime_drf.pusher_protocol.limits import (
    CLIENT_EVENTS_PER_SECOND,
    MAX_PAYLOAD_BYTES,
    MAX_PRESENCE_MEMBERS,
    MAX_WATCHLIST,
)

DEFAULT_APP_ID: Final = "app"
DEFAULT_KEY: Final = "app-key"


_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, kw_only=True)
class AppOptions:
    """The options of `ChannelsTransport` that concern what the processes of an app share."""

    alias: str = DEFAULT_ALIAS
    app_id: str = DEFAULT_APP_ID
    key: str = DEFAULT_KEY
    secret: str | None = field(default=None, repr=False)
    """None is one that is derived from SECRET_KEY."""
    layer: str = DEFAULT_ALIAS
    """Alias of the channel layer."""
    store: str | None = field(default=None, repr=False)
    """The URL of a Redis, or "memory"; None is for a channel layer in memory."""
    namespace: str | None = None
    """What sets the app apart from others on the same Redis; None is its secret."""
    timeout: float = 5.0
    """Seconds to wait for the layer."""
    consumer_groups: bool = False
    """Events are also sent to a group for each channel."""
    http_api: bool = False
    """Pusher's HTTP API is served."""
    vacated_delay: float = 3.0
    """Seconds after which an empty channel, and a member's leaving, is reported."""
    webhooks: Sequence[Mapping[str, Any]] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Raise ValueError, with a sentence that says the mend, for a value that cannot work."""
        check_credentials(app_id=self.app_id, key=self.key, secret=self.secret)
        check_namespace(self.namespace)
        check_number("timeout", self.timeout)
        check_number("vacated_delay", self.vacated_delay, may_be_0=True)
        check_switch("consumer_groups", self.consumer_groups)
        check_switch("http_api", self.http_api)


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Hold the options of `ChannelsTransport` that concern the server."""

    subscription_counting: bool = False
    """Subscribers are told how many subscriptions their channel has."""
    client_events: bool = False
    """Clients may send events to private and presence channels."""
    allowed_origins: Collection[str] | None = None
    """Which values of the header Origin a browser may connect with; None is any. See `Origins`."""
    activity_timeout: int = 120
    """Seconds of silence after which a connection is asked whether it is there."""
    pong_timeout: float = 30.0
    """Seconds that it has for its answer."""
    max_connections: int | None = None
    """Connections of one process; None is as many as the system allows."""
    max_channels: int = 500
    """Channels that one connection may be on."""
    max_frame_bytes: int = 65_536
    """Bytes of a frame that a client sends."""
    max_presence_members: int = MAX_PRESENCE_MEMBERS
    max_watchlist: int = MAX_WATCHLIST
    client_events_per_second: int = CLIENT_EVENTS_PER_SECOND
    payload_limit: int | None = MAX_PAYLOAD_BYTES
    """Bytes of a client event's data."""

    def __post_init__(self) -> None:
        """Raise ValueError, with a sentence that says the mend, for a value that cannot work."""
        for name in ("subscription_counting", "client_events"):
            check_switch(name, getattr(self, name))
        for name in (
            "activity_timeout",
            "max_channels",
            "max_frame_bytes",
            "max_presence_members",
            "client_events_per_second",
        ):
            check_number(name, getattr(self, name), int)
        check_number("pong_timeout", self.pong_timeout)
        for name in ("max_connections", "payload_limit"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), int)
        if self.allowed_origins is not None:
            Origins(self.allowed_origins)


def check_switch(name: str, value: Any) -> None:
    """Raise ValueError unless an option is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name!r} must be True or False, not {value!r}.")


def check_number(name: str, value: Any, kind: Any = int | float, *, may_be_0: bool = False) -> None:
    """Raise ValueError unless an option is a number of that kind above 0, or perhaps 0."""
    is_number = isinstance(value, kind) and not isinstance(value, bool)
    if not (is_number and (0 < value < float("inf") or (may_be_0 and value == 0))):
        what = "a whole number" if kind is int else "a number"
        least = "of 0 or more" if may_be_0 else "above 0"
        raise ValueError(f"{name!r} must be {what} {least}, not {value!r}.")


def check_credentials(*, app_id: str, key: Any, secret: Any) -> None:
    """Raise ValueError, without the secret in its text, unless they can be those of an app."""
    for name, value in (("app_id", app_id), ("key", key)):
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise ValueError(
                f"{name!r} must be text of letters, digits, hyphens, underscores and periods, as "
                f"it is part of addresses."
            )
    if secret is not None and not (isinstance(secret, str) and secret):
        raise ValueError("'secret' must be text, or left out to have it derived from SECRET_KEY.")


def check_namespace(namespace: Any) -> None:
    """Raise ValueError unless it can set an app apart."""
    if namespace is not None and not (isinstance(namespace, str) and namespace):
        raise ValueError("'namespace' must be text, or left out to have it follow the secret.")
