"""The Channels transport: browsers connect to the project's own ASGI processes.

They speak the Pusher protocol with `realtime_drf.server.RealtimeServer`, which any process of the
project reaches through a channel layer of Django Channels.
"""

from __future__ import annotations

import base64
import itertools
import json
import logging
import secrets
from collections.abc import Collection, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from realtime_drf.cluster import messages
from realtime_drf.cluster.app import App
from realtime_drf.cluster.checks import check_app, check_app_for_production
from realtime_drf.cluster.options import DEFAULT_APP_ID, DEFAULT_KEY, AppOptions, ServerOptions
from realtime_drf.cluster.state import ChannelState
from realtime_drf.conf import (
    DEFAULT_ALIAS,
    configs,
    get_aliases,
    get_asgi_application,
    is_runserver_without_sockets,
)
from realtime_drf.events import Event
from realtime_drf.exceptions import InvalidTransport, TransportUnavailable
from realtime_drf.names import ChannelKind, build_channel_name, parse_channel_name
from realtime_drf.tracebacks import opaque
from realtime_drf.transports.base import ChannelInfo, Limits
from realtime_drf.transports.handler import transports
from realtime_drf.transports.signing import SigningTransport

logger = logging.getLogger("realtime_drf")

T = TypeVar("T")

MASTER_KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24


class ChannelsTransport(SigningTransport):
    """Send events through a channel layer to the processes that serve the project's browsers.

    With the in-memory layer, or none, these are the nodes of this process alone.

    Options:
        app_id, key, secret: name and sign for the app, as with Pusher; the key is what clients
            connect with. The secret is derived from SECRET_KEY if it is not given.
        layer: alias of the channel layer in CHANNEL_LAYERS.
        store: where it is kept who is on which channel, if the layer reaches other processes: the
            URL of a Redis, or "memory" if no more than one process serves browsers.
        namespace: sets the app apart from those of other projects on the same Redis, instead of its
            secret; the processes of one app must agree on it.
        timeout: seconds to wait for the layer.
        consumer_groups: events are also sent to a group for each channel, for consumers of one's
            own; see `realtime_drf.server.consumer_group`.
        encryption_master_key_base64: 32 bytes, in base64, for channels of the kind encrypted.
        payload_limit: bytes of an event's data, those of clients included; None is no limit.
        http_api: Pusher's HTTP API is served, for whoever has the secret.
        client_events: clients may send events to private and presence channels.
        client_events_per_second: how many of them a connection may send.
        subscription_counting: subscribers are told how many subscriptions their channel has.
        allowed_origins: origins from which browsers may connect, as in CSRF_TRUSTED_ORIGINS and
            ALLOWED_HOSTS; any if not given.
        activity_timeout, pong_timeout: seconds of silence after which a connection is asked whether
            it is there, and seconds that it has to answer.
        max_connections: connections of one process; as many as the system allows if not given.
        max_channels: channels that one connection may be on.
        max_presence_members: users that a presence channel may have.
        max_frame_bytes: length of what a client may send at once.
        vacated_delay: seconds after which an empty channel, and a member's leaving, is reported.
        webhooks: to whom what happens on channels is reported, a dict for each: ``url``, and if not
            all is wanted ``events``, ``channel_name_starts_with`` and ``channel_name_ends_with``;
            ``headers`` are sent along. See `realtime_drf.cluster.webhooks.endpoints`.
    """

    supports_user_events = True
    supports_channel_info = True
    supports_presence = True
    supports_cache = True
    supports_disconnecting_users = True

    @opaque
    def __init__(
        self,
        *,
        app_id: str | int = DEFAULT_APP_ID,
        key: str = DEFAULT_KEY,
        secret: str | None = None,
        layer: str = DEFAULT_ALIAS,
        store: str | None = None,
        namespace: str | None = None,
        timeout: float = 5,
        consumer_groups: bool = False,
        encryption_master_key_base64: str | None = None,
        payload_limit: int | None = 10_240,
        http_api: bool = False,
        client_events: bool = False,
        client_events_per_second: int = 10,
        subscription_counting: bool = False,
        allowed_origins: Collection[str] | None = None,
        activity_timeout: int = 120,
        pong_timeout: float = 30,
        max_connections: int | None = None,
        max_channels: int = 500,
        max_presence_members: int = 100,
        max_frame_bytes: int = 65_536,
        vacated_delay: float = 3,
        webhooks: Sequence[Mapping[str, Any]] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        try:
            options = AppOptions(
                alias=self.alias,
                app_id=str(app_id),
                key=key,
                secret=secret,
                layer=layer,
                store=store,
                namespace=namespace,
                timeout=timeout,
                consumer_groups=consumer_groups,
                http_api=http_api,
                vacated_delay=vacated_delay,
                webhooks=webhooks,
            )
            server_options = ServerOptions(
                client_events=client_events,
                client_events_per_second=client_events_per_second,
                subscription_counting=subscription_counting,
                allowed_origins=allowed_origins,
                activity_timeout=activity_timeout,
                pong_timeout=pong_timeout,
                max_connections=max_connections,
                max_channels=max_channels,
                max_presence_members=max_presence_members,
                max_frame_bytes=max_frame_bytes,
                payload_limit=payload_limit,
            )
        except ValueError as exc:
            raise InvalidTransport(str(exc), alias=self.alias) from None
        self.limits = Limits(payload_bytes=payload_limit)
        self._layer_alias = layer
        self.require("channels.layers", extra="channels")
        master_key = self._read_master_key(encryption_master_key_base64)
        self.supports_encryption = master_key is not None
        self._nacl: Any = self.require("nacl.secret", extra="channels") if master_key else None
        self.app = App(options, server_options, master_key=master_key, require=self.require)
        self.signer = self.app.signer
        self._has_warned = False

    def send_batch(self, events: Sequence[Event]) -> None:
        self._publish([item for event in events for item in self._items(event)])

    def channel_info(self, channel: str) -> ChannelInfo:
        parse_channel_name(channel)
        (view,) = self._ask(self.app.backplane.store.read([channel]))
        return _channel_info(view)

    def occupied_channels(self, prefix: str = "") -> dict[str, ChannelInfo]:
        views = self._ask(self.app.backplane.store.find(prefix))
        return {
            view.channel: _channel_info(view) for view in views if not view.channel.startswith("#")
        }

    def members(self, channel: str) -> list[str]:
        """Return the ids of the users on a presence channel."""
        if parse_channel_name(channel).kind is not ChannelKind.PRESENCE:
            raise self._unsupported(f"tell who is on {channel!r}")
        (view,) = self._ask(self.app.backplane.store.read([channel]))
        return sorted(view.members)

    def disconnect_user(self, user_id: str) -> None:
        """End the connections on which the user has signed in."""
        build_channel_name(ChannelKind.USER, user_id)  # refuses what is no user id
        self._publish([messages.DisconnectMessage(user_id)])

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        return check_app(self.app, self._find_earlier_apps())

    def check_deployment(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Warn of what is all right on a developer's machine, and not in production."""
        return check_app_for_production(self.app)

    def _find_earlier_apps(self) -> Iterator[App]:
        """Yield the apps of the transports that come before this one in the settings."""
        for alias in itertools.takewhile(lambda alias: alias != self.alias, get_aliases()):
            try:
                other = transports[alias] if configs[alias].enabled else None
            except ImproperlyConfigured:
                continue  # its own check says so
            if isinstance(other, ChannelsTransport):
                yield other.app

    def health(self) -> bool:
        """Return whether all nodes of this process are ready; True if it serves no browsers."""
        return all(node.is_ready for node in self.app.nodes)

    def stats(self) -> dict[str, Any]:
        """Return ``{"nodes": [{"connections": 12, …}, …]}``, the figures of each node."""
        return {"nodes": [dict(node.stats()) for node in self.app.nodes]}

    def close(self) -> None:
        self.app.close()

    # Within

    @opaque
    def _publish(self, items: Sequence[messages.Message]) -> None:
        if not self.app.backplane.reaches_nodes:
            self._warn_of_no_node()
            return
        try:
            self.app.backplane.publish(items, self.app.timeout)
        except Exception as exc:  # any layer, any error
            raise TransportUnavailable(
                f"The channel layer {self._layer_alias!r} failed: {type(exc).__name__}."
            ) from exc

    @opaque
    def _ask(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            return self.app.backplane.ask(coroutine, self.app.timeout)
        except Exception as exc:  # any store, any error
            raise TransportUnavailable(
                f"The store of the server failed: {type(exc).__name__}."
            ) from exc

    def _items(self, event: Event) -> Iterator[messages.EventMessage]:
        """Yield what goes to the nodes: one item, and one for each encrypted channel."""
        plain = []
        for channel in event.channels:
            if parse_channel_name(channel).kind is ChannelKind.ENCRYPTED:
                body = self._encrypt(channel, event.body)
                yield self._item(event, [channel], body)
            else:
                plain.append(channel)
        if plain:
            yield self._item(event, plain, event.body)

    def _item(self, event: Event, channels: Sequence[str], body: str) -> messages.EventMessage:
        return messages.EventMessage(event.name, channels, body, event.socket_id or "", event.id)

    def _encrypt(self, channel: str, text: str) -> str:
        key = base64.b64decode(self.signer.shared_secret(channel))
        nonce = secrets.token_bytes(NONCE_BYTES)
        box = self._nacl.SecretBox(key).encrypt(text.encode(), nonce)
        parts = {"nonce": nonce, "ciphertext": box.ciphertext}
        return json.dumps({name: base64.b64encode(part).decode() for name, part in parts.items()})

    def _warn_of_no_node(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            mend = "Use channels_redis to publish from another process."
            if is_runserver_without_sockets():
                app = get_asgi_application() or "mysite.asgi.application"
                mend = "runserver serves no WebSockets: run uvicorn {}:{} instead.".format(
                    *app.rpartition(".")[::2]
                )
            logger.warning(
                "%r: this process serves no browsers, and its channel layer is in memory: what it "
                "publishes reaches nobody. %s",
                self,
                mend,
            )

    # Settings

    def _read_master_key(self, text: str | None) -> bytes | None:
        if text is None:
            return None
        try:
            key = base64.b64decode(text, validate=True)
        except (ValueError, TypeError):
            key = b""
        if len(key) != MASTER_KEY_BYTES:
            # Without its cause, which could quote the key.
            raise InvalidTransport(
                f"'encryption_master_key_base64' must be {MASTER_KEY_BYTES} bytes in base64.",
                alias=self.alias,
            ) from None
        return key


def _channel_info(view: ChannelState) -> ChannelInfo:
    is_presence = parse_channel_name(view.channel).kind is ChannelKind.PRESENCE
    return ChannelInfo(
        name=view.channel,
        occupied=view.subscriptions > 0,
        subscription_count=view.subscriptions,
        user_count=len(view.members) if is_presence else None,
    )
