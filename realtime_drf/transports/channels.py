"""The Channels transport: browsers connect to the project's own ASGI processes.

They speak the Pusher protocol to `realtime_drf.server.RealtimeServer`, which every process of the
project reaches through a channel layer of Django Channels.
"""

from __future__ import annotations

import base64
import itertools
import json
import logging
import secrets
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final, TypeVar

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from realtime_drf.cluster import messages
from realtime_drf.cluster.app import App
from realtime_drf.cluster.checks import check_app, check_app_for_production
from realtime_drf.cluster.options import AppOptions
from realtime_drf.cluster.state import ChannelState
from realtime_drf.conf import (
    configs,
    get_aliases,
    get_asgi_application,
    is_runserver_without_sockets,
)
from realtime_drf.events import Event
from realtime_drf.exceptions import TransportUnavailable
from realtime_drf.logs import Once
from realtime_drf.names import ChannelKind, build_channel_name, parse_channel_name
from realtime_drf.options import takes_options
from realtime_drf.tracebacks import opaque
from realtime_drf.transports.base import ChannelInfo, Limits
from realtime_drf.transports.handler import transports
from realtime_drf.transports.signing import SigningTransport

__all__ = ["ChannelsTransport"]

T = TypeVar("T")

NONCE_BYTES: Final = 24


class ChannelsTransport(SigningTransport):
    """A transport through a channel layer to the processes that serve the project's browsers.

    With the in-memory layer, or none, it reaches this process alone.

    Its options are those of `AppOptions`.
    """

    supports_user_events = True
    supports_channel_info = True
    supports_presence = True
    supports_cache = True
    supports_disconnecting_users = True

    @takes_options(AppOptions)
    def __init__(self, options: AppOptions) -> None:
        super().__init__(alias=options.alias)
        self.limits = Limits(payload_bytes=options.payload_limit)
        self._layer_alias = options.layer
        self.require("channels.layers", extra="channels")
        self.supports_encryption = options.master_key is not None
        if self.supports_encryption:
            self._nacl: Any = self.require("nacl.secret", extra="channels")
        self.app = App(options, require=self.require)
        self.app_id = self.app.app_id
        self.signer = self.app.signer
        self._no_node = Once(
            logging.WARNING,
            "%r: this process serves no browsers, and its channel layer is in memory: what it "
            "publishes reaches nobody. %s",
        )

    def send_batch(self, events: Sequence[Event]) -> None:
        self._publish([message for event in events for message in self._make_messages(event)])

    def channel_info(self, channel: str) -> ChannelInfo:
        parse_channel_name(channel)
        (state,) = self._ask(self.app.backplane.store.read([channel]))
        return _channel_info(state)

    def occupied_channels(self, prefix: str = "") -> dict[str, ChannelInfo]:
        states = self._ask(self.app.backplane.store.find(prefix))
        return {
            state.channel: _channel_info(state)
            for state in states
            if not state.channel.startswith("#")
        }

    def members(self, channel: str) -> list[str]:
        """Return the ids of the users on a presence channel."""
        if parse_channel_name(channel).kind is not ChannelKind.PRESENCE:
            raise self._unsupported(f"list the members of {channel!r}")
        (state,) = self._ask(self.app.backplane.store.read([channel]))
        return sorted(state.members)

    def disconnect_user(self, user_id: str) -> None:
        """Close the connections on which the user has signed in."""
        build_channel_name(ChannelKind.USER, user_id)  # refuses what is not a user id
        self._publish([messages.DisconnectMessage(user_id)])

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        return check_app(self.app, self._find_earlier_apps())

    def check_deployment(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Warn of what is fine on a developer's machine, and not in production."""
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
    def _publish(self, batch: Sequence[messages.Message]) -> None:
        if not self.app.backplane.reaches_nodes:
            self._warn_of_no_node()
            return
        try:
            self.app.backplane.publish(batch, self.app.timeout)
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

    def _make_messages(self, event: Event) -> Iterator[messages.EventMessage]:
        """Yield the messages of an event: one, and one for each encrypted channel."""
        plain = []
        for channel in event.channels:
            if parse_channel_name(channel).kind is ChannelKind.ENCRYPTED:
                body = self._encrypt(channel, event.body)
                yield self._make_message(event, [channel], body)
            else:
                plain.append(channel)
        if plain:
            yield self._make_message(event, plain, event.body)

    def _make_message(
        self, event: Event, channels: Sequence[str], body: str
    ) -> messages.EventMessage:
        return messages.EventMessage(event.name, channels, body, event.socket_id or "", event.id)

    def _encrypt(self, channel: str, text: str) -> str:
        key = base64.b64decode(self.signer.shared_secret(channel))
        nonce = secrets.token_bytes(NONCE_BYTES)
        box = self._nacl.SecretBox(key).encrypt(text.encode(), nonce)
        parts = {"nonce": nonce, "ciphertext": box.ciphertext}
        return json.dumps({name: base64.b64encode(part).decode() for name, part in parts.items()})

    def _warn_of_no_node(self) -> None:
        mend = "Use channels_redis to publish from another process."
        if is_runserver_without_sockets():
            app = get_asgi_application() or "mysite.asgi.application"
            mend = "runserver serves no WebSockets: run uvicorn {}:{} instead.".format(
                *app.rpartition(".")[::2]
            )
        self._no_node.log(self, mend)


def _channel_info(state: ChannelState) -> ChannelInfo:
    is_presence = parse_channel_name(state.channel).kind is ChannelKind.PRESENCE
    return ChannelInfo(
        name=state.channel,
        occupied=state.subscriptions > 0,
        subscription_count=state.subscriptions,
        user_count=len(state.members) if is_presence else None,
    )
