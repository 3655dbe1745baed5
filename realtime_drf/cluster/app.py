"""One app: what a transport, the nodes of this process, and Pusher's HTTP API share of it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final, Protocol
from weakref import WeakSet

from realtime_drf.cluster.backplane import Backplane, LocalBackplane
from realtime_drf.cluster.layer_backplane import LayerBackplane
from realtime_drf.cluster.memory_state import MemoryStore
from realtime_drf.cluster.options import AppOptions
from realtime_drf.cluster.redis_state import RedisStore
from realtime_drf.cluster.state import PresenceStore
from realtime_drf.cluster.threads import check_threads
from realtime_drf.cluster.webhooks.endpoints import Endpoint, read_endpoints
from realtime_drf.cluster.webhooks.sender import WebhookSender
from realtime_drf.conf import DEFAULT_ALIAS, derive_secrets, nearest
from realtime_drf.exceptions import InvalidTransport
from realtime_drf.pusher_protocol.signatures import Signer
from realtime_drf.tracebacks import opaque

MEMORY: Final = "memory"


class Require(Protocol):
    """A function that imports an optional dependency, such as `BaseTransport.require`."""

    def __call__(self, module: str, *, extra: str) -> Any:
        """Import a module; raise MissingDependency if the extra is not installed."""


class RunningNode(Protocol):
    """A node of this process, as the transport sees it."""

    @property
    def is_ready(self) -> bool:
        """Whether clients can be sent to it."""

    def stats(self) -> Mapping[str, int]:
        """Return figures for monitoring, by name."""


class App:
    """An app of the Pusher protocol: its id, keys, options, and what its processes share.

    Args:
        options: of the app and its nodes.
        require: imports optional dependencies.

    Raises:
        InvalidTransport: an option is wrong, or does not fit the channel layer.
        MissingDependency: a package is needed that is not installed.
    """

    @opaque
    def __init__(self, options: AppOptions, *, require: Require) -> None:
        self.alias = options.alias
        self.app_id = str(options.app_id)
        self.options = options
        self.timeout = options.timeout
        self.serves_http_api = options.http_api
        accepted = (
            [options.secret] if options.secret else derive_secrets(f"{self.alias}:{self.app_id}")
        )
        self.signer = Signer(options.key, accepted[0], options.master_key, fallbacks=accepted[1:])
        self.namespace = _make_namespace(self.app_id, options.namespace or accepted[-1])
        self.endpoints = read_endpoints(options.webhooks, alias=self.alias)
        self.webhooks = _make_sender(self.endpoints, self.signer, require)
        self.backplane = _make_backplane(options, self.namespace, require)
        self.nodes: WeakSet[RunningNode] = WeakSet()
        """The nodes of this process, once it serves browsers."""

    def __repr__(self) -> str:
        return f"<App {self.app_id!r}>"

    @property
    def is_local(self) -> bool:
        """Whether events reach the browsers of this process alone."""
        return isinstance(self.backplane, LocalBackplane)

    def close(self) -> None:
        """Close connections, and send the webhooks that wait."""
        self.backplane.close()
        if self.webhooks is not None:
            self.webhooks.close()


def _make_namespace(app_id: str, scope: str) -> str:
    """Return what names in Redis carry, from the app's id and a secret or what stands in for it.

    Of several secrets it is the oldest, so that a new one changes no name while there are processes
    that know only the old one.
    """
    return hmac.new(scope.encode(), app_id.encode(), hashlib.sha256).hexdigest()[:16]


def _make_sender(
    endpoints: tuple[Endpoint, ...], signer: Signer, require: Require
) -> WebhookSender | None:
    if not endpoints:
        return None
    return WebhookSender(
        endpoints,
        signer,
        tenacity=require("tenacity", extra="webhooks"),
        urllib3=require("urllib3", extra="webhooks"),
    )


def _make_backplane(options: AppOptions, namespace: str, require: Require) -> Backplane:
    layers = require("channels.layers", extra="channels")
    layer = _find_layer(options, layers)
    if layer is None or isinstance(layer, layers.InMemoryChannelLayer):
        return LocalBackplane(
            _make_local_store(options),
            layer,
            namespace=namespace,
            consumer_groups=options.consumer_groups,
        )
    store = _make_shared_store(options, namespace, require)
    backplane = LayerBackplane(
        store,
        layer,
        namespace=namespace,
        send_timeout=options.timeout,
        consumer_groups=options.consumer_groups,
    )
    if isinstance(store, RedisStore):
        store.on_failover = backplane.reconnect
    return backplane


def _find_layer(options: AppOptions, layers: Any) -> Any:
    """Return the channel layer; None if the project has none, which is one in memory."""
    configured = layers.channel_layers
    if not configured.configs and options.layer == DEFAULT_ALIAS and not options.consumer_groups:
        return None
    if options.layer not in configured:
        known = ", ".join(map(repr, configured.configs)) or "none"
        raise InvalidTransport(
            f"'layer' is {options.layer!r}, and CHANNEL_LAYERS has {known}."
            f"{nearest(options.layer, configured.configs)}",
            alias=options.alias,
        )
    try:
        return configured[options.layer]
    except Exception as exc:
        raise InvalidTransport(
            f"the channel layer {options.layer!r} could not be made: {type(exc).__name__}; "
            f"see CHANNEL_LAYERS.",
            alias=options.alias,
        ) from exc


def _make_local_store(options: AppOptions) -> PresenceStore:
    if options.store and options.store != MEMORY:
        raise InvalidTransport(
            "'store' is for a channel layer that reaches other processes, and this one is in "
            "memory. Use channels_redis, or leave 'store' out.",
            alias=options.alias,
        )
    return MemoryStore(vacated_delay=options.vacated_delay)


def _make_shared_store(options: AppOptions, namespace: str, require: Require) -> PresenceStore:
    if options.store is None:
        raise InvalidTransport(
            f"the channel layer {options.layer!r} reaches other processes, and 'store' is "
            f"missing, where they keep who is on which channel: give the URL of a Redis, such "
            f"as 'redis://localhost:6379/1', or {MEMORY!r} if one process alone serves "
            f"browsers.",
            alias=options.alias,
        )
    try:
        check_threads()
    except ValueError as exc:
        raise InvalidTransport(str(exc), alias=options.alias) from None
    if options.store == MEMORY:
        return MemoryStore(vacated_delay=options.vacated_delay)
    require("redis.asyncio", extra="redis")
    try:
        return RedisStore(options.store, namespace=namespace, vacated_delay=options.vacated_delay)
    except Exception:  # noqa: BLE001  redis-py raises whatever it likes
        # Without its cause, which could quote a password.
        raise InvalidTransport(
            f"'store' must be {MEMORY!r} or the URL of a Redis, such as "
            f"'redis://localhost:6379/1'.",
            alias=options.alias,
        ) from None
