"""The Ably transport: the service at ably.com, with its SDK.

https://ably.com/docs/api/rest-api
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.core.checks import CheckMessage

from realtime_drf.events import Event
from realtime_drf.exceptions import TransportUnavailable
from realtime_drf.names import ChannelKind, parse_channel_name
from realtime_drf.options import takes_options
from realtime_drf.tracebacks import opaque
from realtime_drf.transports.ably.auth import TokenTransport
from realtime_drf.transports.ably.messages import Encoder, is_encrypted
from realtime_drf.transports.ably.names import Names
from realtime_drf.transports.ably.network import VARIABLES
from realtime_drf.transports.ably.options import AblyOptions
from realtime_drf.transports.ably.packing import MAX_CHANNELS as CHANNELS_A_CALL
from realtime_drf.transports.ably.packing import Packer
from realtime_drf.transports.ably.publishing import Publisher, quote
from realtime_drf.transports.ably.rest import RestClient
from realtime_drf.transports.ably.sender import read_sender
from realtime_drf.transports.ably.webhooks import AblyWebhookReader
from realtime_drf.transports.base import ChannelInfo, Limits
from realtime_drf.transports.environment import check_environment
from realtime_drf.transports.hosts import check_encryption
from realtime_drf.webhook_events import WebhookEvent


class AblyTransport(TokenTransport):
    """The transport that sends events through Ably's REST API.

    It uses the synchronous client of Ably's Python SDK: one a process, whose connections stay open
    and which threads share; a forked child makes its own. The id of a message is made from that of
    its event, by which the service recognizes repeated messages for two minutes. Its options are
    those of `AblyOptions`.
    """

    supports_exclusion = True
    supports_idempotency = True
    supports_user_events = True
    supports_presence = True

    @takes_options(AblyOptions)
    def __init__(self, options: AblyOptions) -> None:
        super().__init__(alias=options.alias)
        credentials = options.read_credentials()
        sdk = self.require("ably.sync", extra="ably")
        self._endpoint, self._is_encrypted = options.endpoint, options.tls
        self._extras = options.extras
        self._master_key = options.master_key
        self._encoder = self._make_encoder(binary=options.use_binary_protocol)
        self.app_id = credentials.app_id
        self.names = Names(options.prefix)
        limit = options.payload_limit
        self.limits = Limits(payload_bytes=limit, channels_per_event=CHANNELS_A_CALL)
        self.supports_encryption = self._master_key is not None
        self._packer = Packer(self.wire_size, limit, is_encrypted)
        self.clock: Callable[[], float] = time.time
        self.set_up_tokens(credentials, ttl=options.token_ttl, max_channels=options.max_channels)
        keys = {**(options.webhook_keys or {}), **credentials.as_keys()}
        self._webhooks = AblyWebhookReader(keys, self)
        self.supports_webhooks = self._webhooks.has_keys
        # The service disconnects users for a key, and not for a token.
        self.supports_disconnecting_users = not (credentials.key is None or options.use_token_auth)
        self.rest = RestClient(
            sdk,
            options.for_client(credentials),
            secrets=[*options.secrets(), *credentials.secrets()],
            timeout=options.timeout,
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

    def is_socket_id(self, socket_id: str) -> bool:
        return read_sender(socket_id) is not None

    def to_wire_name(self, channel: str) -> str:
        return self.names.to_wire(channel)

    def from_wire_name(self, name: str) -> str:
        return self.names.from_wire(name)

    def get_extras(self, event: Event) -> Mapping[str, Any] | None:
        """Return the extras of a message; a subclass may return others for each event."""
        return self._extras

    # Presence

    def members(self, channel: str) -> list[str]:
        """Return the ids of the users on a presence channel, in order and each once."""
        if parse_channel_name(channel).kind is not ChannelKind.PRESENCE:
            raise self._unsupported(f"list the members of {channel!r}")
        path = f"/channels/{quote(self.to_wire_name(channel))}/presence?limit=1000"
        found = self.rest.get(path)
        if not isinstance(found, list):
            raise TransportUnavailable("Ably answered 200, but not with a list of members.")
        ids = [each.get("clientId") for each in found if isinstance(each, dict)]
        return sorted({user_id for user_id in ids if isinstance(user_id, str)})

    def channel_info(self, channel: str) -> ChannelInfo:
        """Return how many users are on a presence channel.

        Other channels are not supported: a request for their status would open them.
        """
        members = self.members(channel)
        return ChannelInfo(name=channel, occupied=bool(members), user_count=len(members))

    def disconnect_user(self, user_id: str) -> None:
        """Revoke the tokens of a user, which closes the connections that use them."""
        if not self.supports_disconnecting_users:
            raise self._unsupported("disconnect a user without using the key itself")
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

    def _make_encoder(self, *, binary: bool) -> Encoder:
        if self._master_key is not None:
            self.require("Crypto.Cipher.AES", extra="ably-crypto")
        return Encoder(
            self.require("ably.sync.types.message", extra="ably").Message,
            self.require("ably.sync.util.crypto", extra="ably"),
            binary=binary,
            get_key=self.channel_key,
            get_extras=self.get_extras,
        )
