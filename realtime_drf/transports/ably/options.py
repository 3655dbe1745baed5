"""The options of the Ably transport."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from realtime_drf.exceptions import InvalidEvent
from realtime_drf.options import EncryptionKey, Options, check_master_key, option
from realtime_drf.rendering import render
from realtime_drf.transports.ably.auth import MAX_CHANNELS
from realtime_drf.transports.ably.credentials import VARIABLE, Credentials
from realtime_drf.transports.hosts import read_host

PAYLOAD_LIMIT: Final = 65_536
"""Bytes of a message, its name included: https://ably.com/docs/platform/pricing/limits#message."""

MAX_TTL: Final = 86_400
"""Seconds; the service refuses tokens that are valid for longer."""

_PREFIX = re.compile(r"(?:[A-Za-z0-9_\-=@,.;]+:)+")

_POLICY = re.compile(r"(nonprod:)?[A-Za-z0-9-]+")
"""https://ably.com/docs/platform/account/enterprise-customization"""


def _check_client_id(client_id: str) -> str:
    if client_id == "*":
        raise ValueError("must be the id of one client")
    return client_id


def _read_endpoint(endpoint: str) -> str:
    return endpoint if _POLICY.fullmatch(endpoint) else read_host(endpoint)


def _read_hosts(hosts: Sequence[str]) -> list[str]:
    return [read_host(host) for host in hosts]


def _check_prefix(prefix: str) -> str:
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ValueError("must be words that each end in a colon, such as 'blog:'")
    return prefix


def _check_extras(extras: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        render(extras)
    except InvalidEvent as exc:
        raise ValueError(f"must be JSON ({exc})") from None
    return extras


@dataclass(frozen=True, kw_only=True)
class AblyOptions(EncryptionKey, Options):
    """The options of the Ably transport."""

    key: str | None = option(
        None,
        "`appId.keyId:secret`",
        unset=f"environment variable `{VARIABLE}`",
        secret=True,
    )
    token: str | None = option(
        None,
        "a token in place of the key. It is not renewed, and no client can be authorized with it",
        secret=True,
    )
    use_token_auth: bool = option(False, "exchange the key for a token, which is renewed")
    client_id: str | None = option(
        None, "the client id with which events are published", clean=_check_client_id
    )
    endpoint: str | None = option(
        None, "a routing policy, or the name of a machine", unset='`"main"`', clean=_read_endpoint
    )
    port: int | None = option(None, "the endpoint's port without TLS", unset="80", most=65_535)
    tls_port: int | None = option(None, "the endpoint's port with TLS", unset="443", most=65_535)
    tls: bool = option(True, "whether TLS is used. The key itself is sent over TLS only")
    fallback_hosts: Sequence[str] | None = option(
        None,
        "machines to try where the endpoint fails",
        unset="those of Ably",
        clean=_read_hosts,
    )
    timeout: float = option(
        5, "seconds for a call, including all addresses and machines that are tried"
    )
    use_binary_protocol: bool = option(True, "msgpack; `False` is JSON")
    prefix: str = option(
        "", 'what all names of channels begin with, such as `"blog:"`', clean=_check_prefix
    )
    payload_limit: int = option(
        PAYLOAD_LIMIT, "bytes of an event's name, data and extras; 16,384 for free accounts"
    )
    extras: Mapping[str, Any] | None = option(
        None,
        "what each message carries besides: headers, push notifications",
        clean=_check_extras,
    )
    encryption_master_key_base64: str | None = option(
        None,
        "32 bytes, in base64, for [encrypted channels](#encrypted-channels)",
        secret=True,
        clean=check_master_key,
    )
    token_ttl: int = option(
        3600, "seconds for which a client's token is valid, 86,400 at most", most=MAX_TTL
    )
    max_channels: int = option(
        MAX_CHANNELS,
        "channels that one client may have. Set it to what your account allows a connection",
    )
    webhook_keys: Mapping[str, str] | None = option(
        None,
        "further keys (`appId.keyId`), and their secrets, that may sign [webhooks](#webhooks)",
        secret=True,
    )

    def read_credentials(self) -> Credentials:
        """Return the credentials; raise InvalidTransport if they are missing or wrong."""
        credentials = Credentials.read(self.key, self.token, alias=self.alias)
        if credentials.key and not (self.tls or self.use_token_auth):
            raise self.error(
                "a key goes over TLS only: leave 'tls' as it is, or have 'use_token_auth' exchange "
                "the key for a token."
            )
        return credentials

    def for_client(self, credentials: Credentials) -> dict[str, Any]:
        """Return the arguments of the SDK's client."""
        arguments = {
            "key": credentials.key,
            "token": credentials.token,
            "use_token_auth": True if self.use_token_auth or credentials.key is None else None,
            "client_id": self.client_id,
            "endpoint": self.endpoint,
            "port": self.port or 0,
            "tls_port": self.tls_port or 0,
            "tls": self.tls,
            "fallback_hosts": self.fallback_hosts,
            "use_binary_protocol": self.use_binary_protocol,
            "http_open_timeout": self.timeout,
            "http_request_timeout": self.timeout,
            "http_max_retry_duration": self.timeout,
        }
        return {name: value for name, value in arguments.items() if value is not None}
