"""The Channels transport keeps the contract: within a process, and on each layer of Redis."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from pytest_django import Settings

pytest.importorskip("channels")
pytest.importorskip("nacl")

from nacl.secret import SecretBox

from realtime_drf.cluster.messages import DisconnectMessage, EventMessage, Message
from realtime_drf.cluster.state import NodeState
from realtime_drf.grants import Answer
from realtime_drf.names import ChannelKind, parse_channel_name
from realtime_drf.pusher_protocol.signatures import Signer
from realtime_drf.testing import Received, TransportContract
from realtime_drf.transports.channels import ChannelsTransport
from tests.services.process import closed_port
from tests.services.redis import Redis

SECRET = "test-secret"
MASTER_KEY = b"k" * 32
OPTIONS = {
    "key": "app-key",
    "secret": SECRET,
    "encryption_master_key_base64": base64.b64encode(MASTER_KEY).decode(),
}
REDIS_LAYERS = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}


class Listener:
    """A node on an event loop in a thread of its own, which keeps what it receives."""

    def __init__(self, transport: ChannelsTransport) -> None:
        self.items: list[Message] = []
        self.signer = Signer(OPTIONS["key"], SECRET, MASTER_KEY)
        self._transport = transport
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(10)

    def deliver(self, items: Sequence[Message]) -> None:
        self.items += items

    def on_ready(self) -> None:
        self._ready.set()

    def on_disconnected(self) -> None:
        pass

    def on_gap(self, lost: int) -> None:
        pass

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)
        self._transport.close()

    def received(self) -> list[Received]:
        return [
            Received(channel, item.name, self._read(channel, item.body), item.socket_id or None)
            for item in list(self.items)
            if isinstance(item, EventMessage)
            for channel in item.channels
        ]

    def _run(self) -> None:
        self._task = self._loop.create_task(self._attend())
        self._loop.run_until_complete(self._task)
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _attend(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await self._transport.app.backplane.attend(self)

    def _read(self, channel: str, body: str) -> str:
        if parse_channel_name(channel).kind is not ChannelKind.ENCRYPTED:
            return body
        box = {name: base64.b64decode(text) for name, text in json.loads(body).items()}
        key = base64.b64decode(self.signer.shared_secret(channel))
        return SecretBox(key).decrypt(box["ciphertext"], box["nonce"]).decode()


class ChannelsContract(TransportContract):
    __test__ = False
    secrets = (SECRET, OPTIONS["encryption_master_key_base64"])
    own: dict[str, Any] = {}  # noqa: RUF012  never changed in place

    def create_transport(self, **options: Any) -> ChannelsTransport:
        return self._share(ChannelsTransport(**{**OPTIONS, **self.own, **options}))

    def received(self) -> Sequence[Received]:
        return self.listener.received()

    def occupy(self, channel: str) -> None:
        states = [NodeState(channel, 1, {})]
        self.shared.app.backplane.ask(self.shared.app.backplane.store.sync("contract", states), 5)

    def disconnected_users(self) -> Sequence[str]:
        items = list(self.listener.items)
        return [item.user_id for item in items if isinstance(item, DisconnectMessage)]

    def admits(self, channel: str, answer: Answer) -> bool:
        """Verify as a node does."""
        parts = [self.create_socket_id(), channel]
        if "channel_data" in answer.body:
            parts.append(answer.body["channel_data"])
        key, _, signature = str(answer.body.get("auth", "")).partition(":")
        signer = self.listener.signer
        return key == signer.key and signer.verify(":".join(parts), signature)

    @pytest.fixture(autouse=True)
    def _listen(self, _layer: None) -> Iterator[None]:
        self.shared = ChannelsTransport(**{**OPTIONS, **self.own})
        self.listener = Listener(self.shared)
        yield
        self.listener.close()

    def _share(self, transport: ChannelsTransport) -> ChannelsTransport:
        """Let a transport reach the listener; a layer does that by itself."""
        return transport


class TestChannels(ChannelsContract):
    realtime_contract = "Channels"
    in_process = True

    @pytest.fixture
    def _layer(self, settings: Settings) -> None:
        settings.CHANNEL_LAYERS = {}

    def _share(self, transport: ChannelsTransport) -> ChannelsTransport:
        transport.app.backplane = self.shared.app.backplane
        return transport


class ChannelsOnRedisContract(ChannelsContract):
    __test__ = False
    patience = 20.0  # it goes through another process and two threads of this one
    layer: str

    @pytest.fixture
    def _layer(self, redis: Redis, settings: Settings) -> None:
        pytest.importorskip("channels_redis")
        self.settings = settings
        self.url = redis.url
        self.own = {"store": redis.url}
        self._use(redis.url)

    def create_unreachable_transport(self) -> ChannelsTransport:
        with closed_port() as port:
            url = f"redis://127.0.0.1:{port}/0"
        self._use(url)
        transport = ChannelsTransport(**OPTIONS, store=url, timeout=2)
        self._use(self.url)
        return transport

    def _use(self, url: str) -> None:
        backend = REDIS_LAYERS[self.layer]
        self.settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": {"hosts": [url]}}}


class TestChannelsOnRedis(ChannelsOnRedisContract):
    realtime_contract = "Channels on Redis"
    layer = "core"


class TestChannelsOnRedisPubSub(ChannelsOnRedisContract):
    realtime_contract = "Channels on Redis pub/sub"
    layer = "pubsub"
