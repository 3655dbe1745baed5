"""The Ably transport keeps the contract, on a stand-in that checks what the service documents."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from realtime_drf.grants import Answer
from realtime_drf.testing import Received, TransportContract
from realtime_drf.transports.ably.names import Names
from realtime_drf.transports.base import BaseTransport
from tests.services import ably_app, faults
from tests.services.ably_app import Refusal, Session
from tests.services.ably_http import AblyService
from tests.services.process import closed_port
from tests.transports import ably_setup

pytest.importorskip("ably")
pytest.importorskip("Crypto")

MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


class AblyContract(TransportContract):
    """The contract of the Ably transport; subclasses give the service."""

    __test__ = False
    service: AblyService
    needs_channels = False  # every token has the public ones

    @pytest.fixture(autouse=True)
    def _closed_port(self) -> Iterator[None]:
        with closed_port() as self.closed_port:
            yield

    @property
    def secrets(self) -> Sequence[str]:  # type: ignore[override]
        return [self.service.key, "test-secret", MASTER_KEY]

    def create_transport(self, **options: Any) -> BaseTransport:
        from realtime_drf.transports.ably import AblyTransport

        encryption = {"encryption_master_key_base64": MASTER_KEY}
        return AblyTransport(**{**ably_setup.options_for(self.service), **encryption, **options})

    def create_unreachable_transport(self) -> BaseTransport:
        return self.create_transport(port=self.closed_port, tls_port=self.closed_port)

    def create_refused_transport(self) -> BaseTransport:
        return self.create_transport(key="app1.key1:another-secret")

    def create_confused_transport(self) -> BaseTransport:
        self.service.fail_next(faults.Html(), times=100)
        return self.create_transport()

    def received(self) -> Sequence[Received]:
        keys = {each.id: key for key, each in self.service.app.connections.items()}
        return [
            Received(
                Names().from_wire(each.channel),
                each.name,
                decrypted(each),
                keys[each.connection_id] if each.connection_id else None,
            )
            for each in self.service.received
        ]

    def create_socket_id(self) -> str:
        # One that holds for the whole test, also where the contract asks twice.
        for key in self.service.app.connections:
            return key
        return self.service.app.connect(Session({})).key

    def disconnected_users(self) -> Sequence[str]:
        return self.service.app.revoked

    def authorization_data(self, channel: str) -> Mapping[str, Any]:
        return {"channel_names": [channel], "format": "jwt"}

    def admits(self, channel: str, answer: Answer) -> bool:
        if answer.status != 200:
            return False
        try:
            session = self.service.app.enter_with_token(str(answer.body))
            session.check(Names().to_wire(channel), "subscribe")
        except Refusal:
            return False
        return True

    def create_webhook(self) -> tuple[Mapping[str, str], bytes]:
        item = {
            "webhookId": "rule-1",
            "source": "channel.lifecycle",
            "serial": "serial:1",
            "timestamp": int(time.time() * 1000),
            "name": "channel.opened",
            "data": {"channelId": "private:room"},
        }
        body = json.dumps({"items": [item]}).encode()
        digest = base64.b64encode(hmac.new(b"test-secret", body, hashlib.sha256).digest())
        headers = {"X-Ably-Key": self.service.app.key_name, "X-Ably-Signature": digest.decode()}
        return headers, body


class TestAbly(AblyContract):
    """With the key over TLS, and msgpack."""

    realtime_contract = "Ably"

    @pytest.fixture(autouse=True)
    def _service(self, ably_tls: AblyService) -> None:
        self.service = ably_tls


class TestAblyWithTokens(AblyContract):
    """With a token that is exchanged for the key, and JSON; batches are answered the older way."""

    realtime_contract = "Ably, JSON"

    @pytest.fixture(autouse=True)
    def _service(self, ably_service: AblyService) -> None:
        self.service = ably_service
        self.service.batch_shape = "docs"

    def create_transport(self, **options: Any) -> BaseTransport:
        return super().create_transport(**{"use_binary_protocol": False, **options})


def decrypted(received: ably_app.Received) -> str:
    """Return the JSON text that a subscriber has who was given the channel's key."""
    encoding = (received.encoding or "").split("/")
    data: Any = received.data
    while encoding[-1] != "json":
        step = encoding.pop()
        if step == "base64":
            data = base64.b64decode(data)
        elif step == "utf-8":
            data = bytes(data).decode()
        else:
            from ably.sync.util.crypto import get_cipher

            name = Names().from_wire(received.channel)
            key = hashlib.sha256(name.encode() + base64.b64decode(MASTER_KEY)).digest()
            data = get_cipher({"key": key}).decrypt(data)
    return str(data)
