"""The options of an app: what its processes share, and what its server allows."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from realtime_drf.cluster.origins import Origins
from realtime_drf.conf import DEFAULT_ALIAS
from realtime_drf.options import EncryptionKey, Options, check_master_key, option
from realtime_drf.pusher_protocol.limits import (
    CLIENT_EVENTS_PER_SECOND,
    MAX_PAYLOAD_BYTES,
    MAX_PRESENCE_MEMBERS,
    MAX_WATCHLIST,
)

DEFAULT_APP_ID: Final = "app"
DEFAULT_KEY: Final = "app-key"


_NAME = re.compile(r"[A-Za-z0-9._-]+")


def _read_name(name: str | int) -> str:
    text = str(name)
    if not _NAME.fullmatch(text):
        raise ValueError(
            "must be text of letters, digits, hyphens, underscores and periods, as it is part of "
            "addresses"
        )
    return text


def _check_secret(secret: str) -> str:
    if not secret:
        raise ValueError("must be text, or left out to have it derived from SECRET_KEY")
    return secret


def _check_namespace(namespace: str) -> str:
    if not namespace:
        raise ValueError("must be text, or left out to have it follow the secret")
    return namespace


def _check_origins(origins: Collection[str]) -> Collection[str]:
    Origins(origins)
    return origins


@dataclass(frozen=True, kw_only=True)
class AppOptions(EncryptionKey, Options):
    """The options of `ChannelsTransport`."""

    app_id: str | int = option(
        DEFAULT_APP_ID,
        "the name of the app; each transport needs its own. Pusher's SDKs, which may use "
        "`http_api`, accept digits only",
        clean=_read_name,
    )
    key: str = option(
        DEFAULT_KEY,
        "the key with which browsers connect; each transport needs its own",
        clean=_read_name,
    )
    secret: str | None = option(
        None,
        "signs the tokens with which browsers subscribe; see [replacing `SECRET_KEY`]"
        "(deploying.md#replacing-the-secret-key)",
        unset="derived from `SECRET_KEY`",
        secret=True,
        clean=_check_secret,
    )
    layer: str = option(DEFAULT_ALIAS, "the alias of the layer in `CHANNEL_LAYERS`")
    store: str | None = option(
        None,
        "where the subscribers of channels are kept, for [several processes]"
        '(deploying.md#several-processes): the URL of a Redis, or `"memory"` if only one process '
        "serves browsers",
        unset="in memory",
        secret=True,
    )
    namespace: str | None = option(
        None,
        "distinguishes the names in Redis from those of other projects: see [several projects on "
        "one Redis](deploying.md#several-projects-on-one-redis)",
        unset="derived from the secret",
        clean=_check_namespace,
    )
    timeout: float = option(5, "seconds to wait for the layer and the store")
    consumer_groups: bool = option(
        False, "events are also sent to [consumers of your own](#consumers-of-your-own)"
    )
    encryption_master_key_base64: str | None = option(
        None, "32 bytes, in base64, for encrypted channels", secret=True, clean=check_master_key
    )
    payload_limit: int | None = option(
        MAX_PAYLOAD_BYTES, "bytes of an event's data, and of a client event's; `None` is no limit"
    )
    http_api: bool = option(
        False,
        "the [HTTP API](pusher-protocol.md#http) is served, for publishers in other languages",
    )
    webhooks: Sequence[Mapping[str, Any]] = option(
        (),
        "where to report what happens on channels: see [webhooks the server sends]"
        "(webhooks.md#webhooks-the-server-sends)",
        secret=True,
    )
    client_events: bool = option(
        False, "browsers may send events to each other on private and presence channels"
    )
    client_events_per_second: int = option(
        CLIENT_EVENTS_PER_SECOND, "client events a second that each connection may send"
    )
    subscription_counting: bool = option(
        False, "subscribers receive the number of subscriptions to their channel"
    )
    allowed_origins: Collection[str] | None = option(
        None,
        "the [origins](#origins) from which browsers may connect",
        unset="any",
        clean=_check_origins,
    )
    activity_timeout: int = option(
        120, "seconds without activity after which a browser is sent a ping"
    )
    pong_timeout: float = option(30, "seconds that the browser has to answer the ping")
    max_connections: int | None = option(
        None,
        "connections of one process; the next one is closed with 4100",
        unset="no limit",
    )
    max_channels: int = option(500, "channels of one connection")
    max_presence_members: int = option(MAX_PRESENCE_MEMBERS, "users on a presence channel")
    max_frame_bytes: int = option(
        65_536,
        "bytes of a message from a browser; the ASGI server has a limit of [its own]"
        "(deploying.md#the-processes)",
    )
    vacated_delay: float = option(
        3,
        "seconds after which a vacated channel, and a member who has left, are reported",
        least=0,
    )

    max_watchlist: ClassVar[int] = MAX_WATCHLIST
