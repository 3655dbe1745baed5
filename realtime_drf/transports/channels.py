"""The Channels transport: browsers connect to the project's own ASGI processes.

They speak the Pusher protocol with `realtime_drf.server.RealtimeServer`, which any process of the
project reaches through a channel layer of Django Channels.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import logging
import secrets
from collections.abc import Collection, Coroutine, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from realtime_drf.cluster import messages
from realtime_drf.cluster.backplane import Backplane, LayerBackplane, LocalBackplane
from realtime_drf.cluster.memory_state import MemoryStore
from realtime_drf.cluster.options import (
    ServerOptions,
    check_credentials,
    check_namespace,
    check_number,
    check_switch,
)
from realtime_drf.cluster.redis_state import RedisStore
from realtime_drf.cluster.state import ChannelState, PresenceStore
from realtime_drf.cluster.threads import check_threads
from realtime_drf.cluster.webhooks.endpoints import (
    check_endpoints,
    check_endpoints_for_production,
    read_endpoints,
)
from realtime_drf.cluster.webhooks.sender import WebhookSender
from realtime_drf.conf import (
    DEFAULT_ALIAS,
    configs,
    derive_secrets,
    get_aliases,
    get_asgi_application,
    is_runserver_without_sockets,
    nearest,
)
from realtime_drf.events import Event
from realtime_drf.exceptions import InvalidTransport, TransportUnavailable
from realtime_drf.names import ChannelKind, build_channel_name, parse_channel_name
from realtime_drf.pusher_protocol.signatures import Signer
from realtime_drf.tracebacks import opaque
from realtime_drf.transports.base import ChannelInfo, Limits
from realtime_drf.transports.handler import transports
from realtime_drf.transports.signing import SigningTransport

if TYPE_CHECKING:
    from realtime_drf.server.node import Node

__all__ = ["ChannelsTransport"]

logger = logging.getLogger("realtime_drf")

T = TypeVar("T")

DEFAULT_APP_ID: Final = "app"
DEFAULT_KEY: Final = "app-key"
MEMORY: Final = "memory"

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
        self.app_id = str(app_id)
        try:
            check_credentials(app_id=str(app_id), key=key, secret=secret)
            check_namespace(namespace)
            check_number("timeout", timeout)
            check_number("vacated_delay", vacated_delay, may_be_0=True)
            check_switch("consumer_groups", consumer_groups)
            check_switch("http_api", http_api)
            self.server_options = ServerOptions(
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
        self._layers = self.require("channels.layers", extra="channels")
        self._layer_alias = layer
        self.timeout = timeout
        self.serves_http_api = http_api
        self._consumer_groups = consumer_groups
        self._vacated_delay = vacated_delay
        master_key = self._read_master_key(encryption_master_key_base64)
        self.supports_encryption = master_key is not None
        self._nacl: Any = self.require("nacl.secret", extra="channels") if master_key else None
        accepted = [secret] if secret else derive_secrets(f"{self.alias}:{app_id}")
        self.signer = Signer(key, accepted[0], master_key, fallbacks=accepted[1:])
        self.namespace = _make_namespace(self.app_id, namespace or accepted[-1])
        self.limits = Limits(payload_bytes=payload_limit)
        self._endpoints = read_endpoints(webhooks, alias=self.alias)
        self.webhooks = self._make_sender() if webhooks else None
        self.nodes: WeakSet[Node] = WeakSet()
        """The nodes of this process, once it serves browsers."""
        self._has_warned = False
        self.backplane = self._make_backplane(store)

    @property
    def is_local(self) -> bool:
        """Whether events reach the browsers of this process alone."""
        return isinstance(self.backplane, LocalBackplane)

    def send_batch(self, events: Sequence[Event]) -> None:
        self._publish([item for event in events for item in self._items(event)])

    def channel_info(self, channel: str) -> ChannelInfo:
        parse_channel_name(channel)
        (view,) = self._ask(self.backplane.store.read([channel]))
        return _channel_info(view)

    def occupied_channels(self, prefix: str = "") -> dict[str, ChannelInfo]:
        views = self._ask(self.backplane.store.find(prefix))
        return {
            view.channel: _channel_info(view) for view in views if not view.channel.startswith("#")
        }

    def members(self, channel: str) -> list[str]:
        """Return the ids of the users on a presence channel."""
        if parse_channel_name(channel).kind is not ChannelKind.PRESENCE:
            raise self._unsupported(f"tell who is on {channel!r}")
        (view,) = self._ask(self.backplane.store.read([channel]))
        return sorted(view.members)

    def disconnect_user(self, user_id: str) -> None:
        """End the connections on which the user has signed in."""
        build_channel_name(ChannelKind.USER, user_id)  # refuses what is no user id
        self._publish([messages.DisconnectMessage(user_id)])

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        return [
            *check_endpoints(self._endpoints, self.server_options, alias=self.alias),
            *self._check_apps(),
            *self._check_app_id(),
        ]

    def check_deployment(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Warn of what is all right on one's own machine, and not in production."""
        return [
            *self._check_layer(),
            *self._check_names(),
            *check_endpoints_for_production(self._endpoints, alias=self.alias),
        ]

    def _check_apps(self) -> Iterator[checks.CheckMessage]:
        """Refuse the key or app_id of a transport that stands before this one."""
        for alias in itertools.takewhile(lambda alias: alias != self.alias, get_aliases()):
            try:
                other = transports[alias] if configs[alias].enabled else None
            except ImproperlyConfigured:
                continue  # its own check says so
            if not isinstance(other, ChannelsTransport):
                continue
            pairs = {
                "key": (self.signer.key, other.signer.key),
                "app_id": (self.app_id, other.app_id),
            }
            for name in [name for name, (own, theirs) in pairs.items() if own == theirs]:
                yield checks.Error(
                    f"REALTIME_TRANSPORTS[{self.alias!r}]: {name!r} is the same as that of "
                    f"{alias!r}.",
                    hint="They are apps of their own, and one would hide the other: name them "
                    "differently.",
                    id="realtime_drf.E012",
                )

    def _check_app_id(self) -> Iterator[checks.CheckMessage]:
        """Warn of an app that the SDKs for which its HTTP API is meant cannot ask."""
        if self.serves_http_api and not (self.app_id.isascii() and self.app_id.isdigit()):
            yield checks.Warning(
                f"REALTIME_TRANSPORTS[{self.alias!r}]: 'http_api' is on, and 'app_id' is not a "
                f"number.",
                hint="Pusher's SDKs refuse it, or ask at another path: give it digits, such as "
                "'4711'.",
                id="realtime_drf.W010",
            )

    def _check_layer(self) -> list[checks.CheckMessage]:
        if not self.is_local:
            return []
        return [
            checks.Warning(
                f"REALTIME_TRANSPORTS[{self.alias!r}]: the channel layer is in memory, so what "
                f"other processes than the one that serves browsers publish reaches nobody.",
                hint="One process without workers or commands is well served; else use "
                "channels_redis.",
                id="realtime_drf.W005",
            )
        ]

    def _check_names(self) -> Iterator[checks.CheckMessage]:
        """Warn of an app that has everybody's names, where others may be on the same Redis."""
        defaults = {"app_id": (self.app_id, DEFAULT_APP_ID), "key": (self.signer.key, DEFAULT_KEY)}
        names = [repr(name) for name, (own, default) in defaults.items() if own == default]
        if names and not self.is_local:
            yield checks.Warning(
                f"REALTIME_TRANSPORTS[{self.alias!r}]: the default is used for "
                f"{' and '.join(names)}, and the channel layer reaches other processes.",
                hint="Give the app an id and a key of its own: projects with the same secret on "
                "one Redis are told apart by 'app_id' alone.",
                id="realtime_drf.W012",
            )

    def close(self) -> None:
        self.backplane.close()
        if self.webhooks is not None:
            self.webhooks.close()

    # Within

    @opaque
    def _publish(self, items: Sequence[messages.Message]) -> None:
        if not self.backplane.reaches_nodes:
            self._warn_of_no_node()
            return
        try:
            self.backplane.publish(items, self.timeout)
        except Exception as exc:  # any layer, any error
            raise TransportUnavailable(
                f"The channel layer {self._layer_alias!r} failed: {type(exc).__name__}."
            ) from exc

    @opaque
    def _ask(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            return self.backplane.ask(coroutine, self.timeout)
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

    def _make_sender(self) -> WebhookSender:
        return WebhookSender(
            self._endpoints,
            self.signer,
            tenacity=self.require("tenacity", extra="webhooks"),
            urllib3=self.require("urllib3", extra="webhooks"),
        )

    def _make_backplane(self, store: str | None) -> Backplane:
        layer = self._find_layer()
        if layer is None or isinstance(layer, self._layers.InMemoryChannelLayer):
            return LocalBackplane(
                self._make_store(store or MEMORY, shared=False),
                layer,
                namespace=self.namespace,
                consumer_groups=self._consumer_groups,
            )
        if store is None:
            raise InvalidTransport(
                f"the channel layer {self._layer_alias!r} reaches other processes, and 'store' is "
                f"missing, where they keep who is on which channel: give the URL of a Redis, such "
                f"as 'redis://localhost:6379/1', or {MEMORY!r} if one process alone serves "
                f"browsers.",
                alias=self.alias,
            )
        try:
            check_threads()
        except ValueError as exc:
            raise InvalidTransport(str(exc), alias=self.alias) from None
        kept = self._make_store(store, shared=True)
        backplane = LayerBackplane(
            kept,
            layer,
            namespace=self.namespace,
            send_timeout=self.timeout,
            consumer_groups=self._consumer_groups,
        )
        if isinstance(kept, RedisStore):
            kept.on_failover = backplane.reconnect
        return backplane

    def _make_store(self, store: str, *, shared: bool) -> PresenceStore:
        if store == MEMORY:
            return MemoryStore(vacated_delay=self._vacated_delay)
        if not shared:
            raise InvalidTransport(
                "'store' is for a channel layer that reaches other processes, and this one is in "
                "memory. Use channels_redis, or leave 'store' out.",
                alias=self.alias,
            )
        self.require("redis.asyncio", extra="redis")
        try:
            return RedisStore(store, namespace=self.namespace, vacated_delay=self._vacated_delay)
        except Exception:  # noqa: BLE001  redis-py raises whatever it likes
            # Without its cause, which could quote a password.
            raise InvalidTransport(
                f"'store' must be {MEMORY!r} or the URL of a Redis, such as "
                f"'redis://localhost:6379/1'.",
                alias=self.alias,
            ) from None

    def _find_layer(self) -> Any:
        """Return the channel layer; None if the project has none, which is one in memory."""
        layers = self._layers.channel_layers
        if not layers.configs and self._layer_alias == DEFAULT_ALIAS and not self._consumer_groups:
            return None
        if self._layer_alias not in layers:
            known = ", ".join(map(repr, layers.configs)) or "none"
            raise InvalidTransport(
                f"'layer' is {self._layer_alias!r}, and CHANNEL_LAYERS has {known}."
                f"{nearest(self._layer_alias, layers.configs)}",
                alias=self.alias,
            )
        try:
            return layers[self._layer_alias]
        except Exception as exc:
            raise InvalidTransport(
                f"the channel layer {self._layer_alias!r} could not be made: {type(exc).__name__}; "
                f"see CHANNEL_LAYERS.",
                alias=self.alias,
            ) from exc


def _make_namespace(app_id: str, scope: str) -> str:
    """Return what names in Redis carry, from the app's id and a secret or what stands in for it.

    Of several secrets it is the oldest, so that a new one changes no name while there are processes
    that know only the old one.
    """
    return hmac.new(scope.encode(), app_id.encode(), hashlib.sha256).hexdigest()[:16]


def _channel_info(view: ChannelState) -> ChannelInfo:
    is_presence = parse_channel_name(view.channel).kind is ChannelKind.PRESENCE
    return ChannelInfo(
        name=view.channel,
        occupied=view.subscriptions > 0,
        subscription_count=view.subscriptions,
        user_count=len(view.members) if is_presence else None,
    )
