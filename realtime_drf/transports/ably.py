"""The Ably transport: the service at ably.com, with its SDK.

https://ably.com/docs/api/rest-api
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote_plus

from realtime_drf.events import Event
from realtime_drf.exceptions import (
    AccessRefused,
    EventRejected,
    TransportError,
    TransportUnavailable,
)
from realtime_drf.names import ChannelKind, parse_channel_name
from realtime_drf.protocols import WebhookEvent
from realtime_drf.rendering import render
from realtime_drf.transports.ably_auth import TokenTransport
from realtime_drf.transports.ably_names import Names
from realtime_drf.transports.ably_options import Credentials, check_options, read_master_key
from realtime_drf.transports.ably_origin import Origin, read_origin
from realtime_drf.transports.ably_packing import MAX_CHANNELS, Group, Packer
from realtime_drf.transports.ably_rest import RestClient
from realtime_drf.transports.ably_webhooks import AblyWebhookReader
from realtime_drf.transports.base import ChannelInfo, Limits

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
        timeout: seconds to wait for a connection, and for each piece of an answer. No other
            machine is tried after that time.
        use_binary_protocol: msgpack; False is JSON.
        prefix: what all names of channels begin with, such as "blog:".
        payload_limit: bytes of an event's name, data and extras.
        extras: what each message carries besides, as Ably defines it.
        encryption_master_key_base64: 32 bytes, in base64, for channels of the kind encrypted.
        token_ttl: seconds for which a client's token is good.
        webhook_keys: further keys (``appId.keyId``), and their secrets, that may sign webhooks.
    """

    supports_exclusion = True
    supports_idempotency = True
    supports_user_events = True
    supports_presence = True

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
        webhook_keys: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        credentials = Credentials.read(key, token, alias=self.alias)
        texts = {"client_id": client_id, "endpoint": endpoint, "prefix": prefix}
        check_options(
            self.alias,
            texts={name: text for name, text in texts.items() if text is not None},
            numbers={"timeout": timeout, "payload_limit": payload_limit, "token_ttl": token_ttl},
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
        sdk = self.require("ably.sync", extra="ably")
        self._message = self.require("ably.sync.types.message", extra="ably").Message
        self._binary = use_binary_protocol
        self._extras = extras
        self._extras_size = len(render(extras).encode()) if extras else 0
        self._master_key = self._read_master_key(encryption_master_key_base64)
        self.app_id = credentials.app_id
        self.names = Names(prefix)
        self.limits = Limits(payload_bytes=payload_limit, channels_per_event=MAX_CHANNELS)
        self.supports_encryption = self._master_key is not None
        self._packer = Packer(self.wire_size, payload_limit, _is_encrypted)
        self.clock: Callable[[], float] = time.time
        self.set_up_tokens(credentials, ttl=token_ttl)
        self._webhooks = AblyWebhookReader({**(webhook_keys or {}), **credentials.as_keys()}, self)
        self.supports_webhooks = self._webhooks.has_keys
        self.supports_disconnecting_users = credentials.key is not None
        options = {
            "key": credentials.key,
            "token": credentials.token,
            "use_token_auth": True if use_token_auth or credentials.key is None else None,
            "client_id": client_id,
            "endpoint": endpoint,
            "port": port or 0,
            "tls_port": tls_port or 0,
            "tls": tls,
            "fallback_hosts": fallback_hosts,
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

    # Events

    def pack(self, events: Sequence[Event]) -> Iterable[Sequence[Event]]:
        parts = [part for event in events for part in self.split_channels(event)]
        return self._packer.pack(parts)

    def send_batch(self, events: Sequence[Event]) -> None:
        """Publish; what is refused because of the connection to leave out goes without that.

        A key that is stale, or another client's, would otherwise cost the event. What goes to one
        channel together is refused together: then each is tried by itself.
        """
        groups = self._packer.divide(events)
        failed = self._publish(groups)
        failed = self._publish_to_all(groups, failed)
        failures: dict[tuple[str, str], TransportError] = {}
        for group in groups:
            for channel in group.channels:
                if channel in failed:
                    failures |= self._publish_singly(group, channel, failed[channel])
        if failures:
            raise _summary(events, failures)

    def wire_size(self, event: Event) -> int:
        """Return the bytes of name, data and extras: https://ably.com/docs/platform/pricing/limits."""
        size = super().wire_size(event)
        if any(map(_is_encrypted, event.channels)):
            size = 16 + (size // 16 + 1) * 16
            size = size if self._binary else 4 * -(-size // 3)
        return size + len(event.name.encode()) + self._extras_size

    def is_socket_id(self, token: str) -> bool:
        return read_origin(token) is not None

    def to_wire_name(self, channel: str) -> str:
        return self.names.to_wire(channel)

    def from_wire_name(self, name: str) -> str:
        return self.names.from_wire(name)

    def get_extras(self, event: Event) -> Mapping[str, Any] | None:
        """Return what a message carries besides; a subclass may say it for each event.

        What it returns has at most the size of the option ``extras``, if sizes matter.
        """
        return self._extras

    # Who is there

    def members(self, channel: str) -> list[str]:
        """Return the ids of the users on a presence channel, in order and each once."""
        if parse_channel_name(channel).kind is not ChannelKind.PRESENCE:
            raise self._unsupported(f"tell who is on {channel!r}")
        path = f"/channels/{_quote(self.to_wire_name(channel))}/presence?limit=1000"
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
        self.revoke_tokens(user_id)

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> list[WebhookEvent]:
        return self._webhooks.read(headers, body)

    def close(self) -> None:
        self.rest.close()

    # Publishing

    def _publish_to_all(
        self, groups: Sequence[Group], failed: Mapping[str, TransportError]
    ) -> dict[str, TransportError]:
        """Try what was refused with an exclusion again without; return what failed in the end."""
        again = [
            Group(channels, tuple(_to_all(event) for event in group.events))
            for group in groups
            if (channels := tuple(c for c in group.channels if _may_be_exclusion(group, failed, c)))
        ]
        retried = {channel for group in again for channel in group.channels}
        left = {channel: error for channel, error in failed.items() if channel not in retried}
        return left | (self._try(again) if again else {})

    def _publish_singly(
        self, group: Group, channel: str, error: TransportError
    ) -> dict[tuple[str, str], TransportError]:
        """Find out which of several events a channel's publish was refused for."""
        if len(group.events) == 1 or not isinstance(error, EventRejected):
            return {(event.id, channel): error for event in group.events}
        failures: dict[tuple[str, str], TransportError] = {}
        for event in group.events:
            single = Group((channel,), (event,))
            if not isinstance(error, TransportUnavailable):
                failed = self._publish_to_all([single], self._try([single]))
            if channel in failed:
                error = failures[event.id, channel] = failed[channel]
        return failures

    def _try(self, groups: Sequence[Group]) -> dict[str, TransportError]:
        """Publish as a second try, whose failure must not hide what the first has done."""
        try:
            return self._publish(groups)
        except TransportError as exc:
            return dict.fromkeys((channel for group in groups for channel in group.channels), exc)

    def _publish(self, groups: Sequence[Group]) -> dict[str, TransportError]:
        """Make one call; return the channels that failed, and why."""
        if len(groups) == 1 and len(groups[0].channels) == 1:
            (channel,) = groups[0].channels
            path = f"/channels/{_quote(self.to_wire_name(channel))}/messages"
            messages = self._messages(groups[0], channel)
            try:
                self.rest.post(path, messages[0] if len(messages) == 1 else messages)
            except EventRejected as exc:
                if isinstance(exc, AccessRefused):
                    raise
                return {channel: exc}
            return {}
        body = [
            {
                "channels": [self.to_wire_name(channel) for channel in group.channels],
                "messages": self._messages(group, group.channels[0]),
            }
            for group in groups
        ]
        results = _read_results(self.rest.post_batch("/messages", body))
        failed: dict[str, TransportError] = {}
        for group in groups:
            for channel in group.channels:
                result = results.get(self.to_wire_name(channel), {"error": None})
                if "error" in result:
                    failed[channel] = self._make_failure(result["error"])
        return failed

    def _make_failure(self, error: Any) -> TransportError:
        """Make an error of what a batch says of one channel."""
        if not isinstance(error, dict):
            return TransportUnavailable("Ably did not say what became of a channel.")
        made = self.rest.make_error(error, status=400)
        # The others went, so it is not us who are refused.
        return EventRejected(str(made)) if isinstance(made, AccessRefused) else made

    def _messages(self, group: Group, channel: str) -> list[dict[str, Any]]:
        ids = _message_ids(group.events)
        return [
            self._encode(event, message_id, channel)
            for event, message_id in zip(group.events, ids, strict=True)
        ]

    def _encode(self, event: Event, message_id: str, channel: str) -> dict[str, Any]:
        origin = read_origin(event.socket_id) if event.socket_id else None
        key, client_id = origin or Origin("")
        message = self._message(
            name=event.name,
            data=event.body,
            id=message_id,
            encoding="json",
            client_id=client_id,
            connection_key=key or None,
            extras=self.get_extras(event),
        )
        if _is_encrypted(channel):
            message.encrypt(self._crypto.get_cipher({"key": self.channel_key(channel)}))
        body: dict[str, Any] = message.as_dict(binary=self._binary)
        return body

    def _read_master_key(self, text: str | None) -> bytes | None:
        if text is None:
            return None
        self.require("Crypto.Cipher.AES", extra="ably-crypto")
        self._crypto = self.require("ably.sync.util.crypto", extra="ably")
        return read_master_key(text, alias=self.alias)


def _is_encrypted(channel: str) -> bool:
    return parse_channel_name(channel).kind is ChannelKind.ENCRYPTED


def _quote(name: str) -> str:
    return quote_plus(name, safe=":")


def _message_ids(events: Sequence[Event]) -> list[str]:
    """Return an id for each message of one publish; the same events have the same ids again.

    Several of one publish must have a base in common, and their places:
    https://ably.com/docs/pub-sub/advanced#idempotency
    """
    if len(events) == 1:
        return [events[0].id]
    base = hashlib.sha256("".join(event.id for event in events).encode()).hexdigest()[:32]
    return [f"{base}:{place}" for place in range(len(events))]


def _to_all(event: Event) -> Event:
    return event.replace(socket_id=None)


def _may_be_exclusion(group: Group, failed: Mapping[str, TransportError], channel: str) -> bool:
    """Tell whether a channel may have been refused for the connection that was to be left out."""
    return group.events[0].socket_id is not None and type(failed.get(channel)) is EventRejected


def _read_results(answer: Any) -> dict[str, Mapping[str, Any]]:
    """Return what became of each channel.

    A batch is answered with a list of results, of channels or of specifications that hold theirs,
    by the version of the API.
    """
    results = answer if isinstance(answer, list) else [answer]
    flat: list[Any] = []
    for result in results:
        inner = result.get("results") if isinstance(result, dict) else None
        flat += inner if isinstance(inner, list) else [result]
    return {
        result["channel"]: result
        for result in flat
        if isinstance(result, dict) and isinstance(result.get("channel"), str)
    }


def _summary(
    events: Sequence[Event], failures: Mapping[tuple[str, str], TransportError]
) -> TransportError:
    """Return one error for all that failed; one that is worth a retry goes before the others."""
    unsent = [
        event.to(left)
        for event in events
        if (left := [channel for channel in event.channels if (event.id, channel) in failures])
    ]
    first = min(failures.values(), key=lambda error: isinstance(error, EventRejected))
    kind = EventRejected if isinstance(first, AccessRefused) else type(first)
    channels = list(dict.fromkeys(channel for _, channel in failures))
    where = f" ({len(channels)} channels failed: {', '.join(channels[:5])})" if channels[1:] else ""
    error = kind(f"{first}{where}", unsent=unsent)
    if isinstance(error, TransportUnavailable) and isinstance(first, TransportUnavailable):
        error.retry_after = first.retry_after
    error.__cause__ = first
    return error
