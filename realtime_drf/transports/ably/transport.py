"""The Ably transport: the service at ably.com, with its SDK.

https://ably.com/docs/api/rest-api
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from django.core.checks import CheckMessage

from realtime_drf.events import Event
from realtime_drf.exceptions import InvalidTransport, TransportUnavailable
from realtime_drf.names import ChannelKind, parse_channel_name
from realtime_drf.tracebacks import opaque
from realtime_drf.transports.ably.auth import MAX_CHANNELS, TokenTransport
from realtime_drf.transports.ably.messages import Encoder, is_encrypted
from realtime_drf.transports.ably.names import Names
from realtime_drf.transports.ably.network import VARIABLES
from realtime_drf.transports.ably.options import (
    Credentials,
    check_options,
    read_endpoint,
    read_master_key,
)
from realtime_drf.transports.ably.packing import MAX_CHANNELS as CHANNELS_A_CALL
from realtime_drf.transports.ably.packing import Packer
from realtime_drf.transports.ably.publishing import Publisher, quote
from realtime_drf.transports.ably.rest import RestClient
from realtime_drf.transports.ably.sender import read_sender
from realtime_drf.transports.ably.webhooks import AblyWebhookReader
from realtime_drf.transports.base import ChannelInfo, Limits
from realtime_drf.transports.environment import check_environment
from realtime_drf.transports.hosts import check_encryption, read_host
from realtime_drf.webhook_events import WebhookEvent

PAYLOAD_LIMIT: Final = 65_536
"""Bytes of a message, its name included: https://ably.com/docs/platform/pricing/limits#message."""


class AblyTransport(TokenTransport):
    """Send events through Ably's REST API with the synchronous client of its Python SDK.

    One client a process keeps its connections open; threads share it and a forked child makes its
    own. A message has an id made from that of its event, so that the service knows a repeated one
    again for two minutes.

    Options:
        key: ``appId.keyId:secret``. With neither key nor token, the environment variable
            ``ABLY_API_KEY`` is read.
        token: a token in place of the key; nobody can be authorized with it.
        use_token_auth: exchange the key for a token, which is renewed.
        client_id: as whom events are published.
        endpoint: a routing policy or the name of a machine; by default "main".
        port, tls_port, tls: of the endpoint; the key is only sent over TLS.
        fallback_hosts: machines to try where the endpoint fails; by default those of Ably.
        timeout: seconds for a call, with all addresses and machines that are tried.
        use_binary_protocol: msgpack; False is JSON.
        prefix: what all names of channels begin with, such as "blog:".
        payload_limit: bytes of an event's name, data and extras.
        extras: what each message carries besides, as Ably defines it.
        encryption_master_key_base64: 32 bytes, in base64, for channels of the kind encrypted.
        token_ttl: seconds for which a client's token is good.
        max_channels: channels that one client may have, as far as the account allows.
        webhook_keys: further keys (``appId.keyId``), and their secrets, that may sign webhooks.
    """

    supports_exclusion = True
    supports_idempotency = True
    supports_user_events = True
    supports_presence = True

    @opaque
    def __init__(
        self,
        *,
        key: str | None = None,
        token: str | None = None,
        use_token_auth: bool = False,
        client_id: str | None = None,
        endpoint: str | None = None,
        port: int | None = None,
        tls_port: int | None = None,
        tls: bool = True,
        fallback_hosts: Sequence[str] | None = None,
        timeout: float = 5,
        use_binary_protocol: bool = True,
        prefix: str = "",
        payload_limit: int = PAYLOAD_LIMIT,
        extras: Mapping[str, Any] | None = None,
        encryption_master_key_base64: str | None = None,
        token_ttl: int = 3600,
        max_channels: int = MAX_CHANNELS,
        webhook_keys: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        credentials = Credentials.read(key, token, alias=self.alias)
        texts = {"client_id": client_id, "endpoint": endpoint, "prefix": prefix}
        check_options(
            self.alias,
            texts={name: text for name, text in texts.items() if text is not None},
            numbers={
                "timeout": timeout,
                "payload_limit": payload_limit,
                "token_ttl": token_ttl,
                "max_channels": max_channels,
            },
            ports={"port": port, "tls_port": tls_port},
            flags={
                "tls": tls,
                "use_token_auth": use_token_auth,
                "use_binary_protocol": use_binary_protocol,
            },
            webhook_keys=webhook_keys,
            extras=extras,
            fallback_hosts=fallback_hosts,
        )
        if credentials.key and not (tls or use_token_auth):
            raise InvalidTransport(
                "a key goes over TLS only: leave 'tls' as it is, or have 'use_token_auth' exchange "
                "the key for a token.",
                alias=self.alias,
            )
        sdk = self.require("ably.sync", extra="ably")
        self._endpoint, self._is_encrypted = endpoint, tls
        self._extras = extras
        self._master_key = self._read_master_key(encryption_master_key_base64)
        self._encoder = Encoder(
            self.require("ably.sync.types.message", extra="ably").Message,
            self.require("ably.sync.util.crypto", extra="ably"),
            binary=use_binary_protocol,
            get_key=self.channel_key,
            get_extras=self.get_extras,
        )
        self.app_id = credentials.app_id
        self.names = Names(prefix)
        self.limits = Limits(payload_bytes=payload_limit, channels_per_event=CHANNELS_A_CALL)
        self.supports_encryption = self._master_key is not None
        self._packer = Packer(self.wire_size, payload_limit, is_encrypted)
        self.clock: Callable[[], float] = time.time
        self.set_up_tokens(credentials, ttl=token_ttl, max_channels=max_channels)
        self._webhooks = AblyWebhookReader({**(webhook_keys or {}), **credentials.as_keys()}, self)
        self.supports_webhooks = self._webhooks.has_keys
        # The service ends connections for whoever has the key, and for no bearer of a token.
        self.supports_disconnecting_users = credentials.key is not None and not use_token_auth
        options = {
            "key": credentials.key,
            "token": credentials.token,
            "use_token_auth": True if use_token_auth or credentials.key is None else None,
            "client_id": client_id,
            "endpoint": read_endpoint(endpoint, alias=self.alias),
            "port": port or 0,
            "tls_port": tls_port or 0,
            "tls": tls,
            "fallback_hosts": fallback_hosts
            and [read_host("fallback_hosts", each, alias=self.alias) for each in fallback_hosts],
            "use_binary_protocol": use_binary_protocol,
            "http_open_timeout": timeout,
            "http_request_timeout": timeout,
            "http_max_retry_duration": timeout,
        }
        secrets = [*credentials.secrets(), encryption_master_key_base64 or ""]
        self.rest = RestClient(
            sdk,
            {name: value for name, value in options.items() if value is not None},
            secrets=[secret for secret in secrets if secret],
            timeout=timeout,
        )
        self._publisher = Publisher(self.rest, self._encoder, self.to_wire_name)

    # Events

    def pack(self, events: Sequence[Event]) -> Iterable[Sequence[Event]]:
        parts = [part for event in events for part in self.split_channels(event)]
        return self._packer.pack(parts)

    def send_batch(self, events: Sequence[Event]) -> None:
        self._publisher.publish(events, self._packer.divide(events))

    def wire_size(self, event: Event) -> int:
        """Return the bytes of name, data and extras: https://ably.com/docs/platform/pricing/limits."""
        return self._encoder.wire_size(event)

    def is_socket_id(self, token: str) -> bool:
        return read_sender(token) is not None

    def to_wire_name(self, channel: str) -> str:
        return self.names.to_wire(channel)

    def from_wire_name(self, name: str) -> str:
        return self.names.from_wire(name)

    def get_extras(self, event: Event) -> Mapping[str, Any] | None:
        """Return what a message carries besides; a subclass may say it for each event."""
        return self._extras

    # Who is there

    def members(self, channel: str) -> list[str]:
        """Return the ids of the users on a presence channel, in order and each once."""
        if parse_channel_name(channel).kind is not ChannelKind.PRESENCE:
            raise self._unsupported(f"tell who is on {channel!r}")
        path = f"/channels/{quote(self.to_wire_name(channel))}/presence?limit=1000"
        found = self.rest.get(path)
        if not isinstance(found, list):
            raise TransportUnavailable("Ably answered 200, but not with a list of members.")
        ids = [each.get("clientId") for each in found if isinstance(each, dict)]
        return sorted({user_id for user_id in ids if isinstance(user_id, str)})

    def channel_info(self, channel: str) -> ChannelInfo:
        """Say how many users are on a presence channel.

        Of others nothing is asked: the question alone would open a channel.
        """
        members = self.members(channel)
        return ChannelInfo(name=channel, occupied=bool(members), user_count=len(members))

    def disconnect_user(self, user_id: str) -> None:
        """Revoke the tokens of a user, which ends the connections that use them."""
        if not self.supports_disconnecting_users:
            raise self._unsupported("disconnect a user, for which it needs the key itself")
        self.revoke_tokens(user_id)

    @opaque
    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> list[WebhookEvent]:
        return self._webhooks.read(headers, body)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return check_environment(self.rest.read_environment, VARIABLES, alias=self.alias)

    def check_deployment(self, **kwargs: Any) -> list[CheckMessage]:
        return check_encryption(
            self._endpoint or "", is_encrypted=self._is_encrypted, option="tls", alias=self.alias
        )

    def close(self) -> None:
        self.rest.close()

    def _read_master_key(self, text: str | None) -> bytes | None:
        if text is None:
            return None
        self.require("Crypto.Cipher.AES", extra="ably-crypto")
        return read_master_key(text, alias=self.alias)
