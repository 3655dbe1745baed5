"""The Pusher transport keeps the contract, on a stand-in that checks all and on a real server."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import strategies as st

from realtime_drf.grants import Answer
from realtime_drf.names import ChannelKind
from realtime_drf.testing import Received, TransportContract
from realtime_drf.testing.strategies import texts
from realtime_drf.transports.base import BaseTransport
from tests.services import faults
from tests.services import pusher_js as pusher_js_service
from tests.services.asgi_server import AsgiServer
from tests.services.policy import require
from tests.services.process import closed_port
from tests.services.pusher_http import PusherService
from tests.services.pusher_js import PusherJS, Refused
from tests.services.pusher_sdk import PusherApp, pusher_sdk
from tests.services.reporter import Report
from tests.services.soketi import Soketi
from tests.transports.conftest import options_for
from tests.webhooks import make_body, sign

pytest.importorskip("pusher")

MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


class PusherContract(TransportContract):
    """The contract of the Pusher transport; subclasses give the service."""

    __test__ = False

    @pytest.fixture(autouse=True)
    def _closed_port(self) -> Iterator[None]:
        with closed_port() as self.closed_port:
            yield

    @property
    def app(self) -> PusherApp:
        raise NotImplementedError

    @property
    def secrets(self) -> Sequence[str]:  # type: ignore[override]
        return [self.app.secret, MASTER_KEY]

    def create_transport(self, **options: Any) -> BaseTransport:
        from realtime_drf.transports.pusher import PusherTransport

        encryption = {"encryption_master_key_base64": MASTER_KEY}
        return PusherTransport(**{**options_for(self.app), **encryption, **options})

    def create_unreachable_transport(self) -> BaseTransport:
        return self.create_transport(port=self.closed_port)

    def create_refused_transport(self) -> BaseTransport:
        return self.create_transport(secret="another-secret")


class TestPusher(PusherContract):
    realtime_contract = "Pusher"

    @pytest.fixture(autouse=True)
    def _service(self, pusher_service: PusherService) -> None:
        self.service = pusher_service

    @property
    def app(self) -> PusherApp:
        return self.service

    def received(self) -> Sequence[Received]:
        return [
            Received(each.channel, each.name, decrypted(each.channel, each.data), each.socket_id)
            for each in self.service.received
        ]

    def create_confused_transport(self) -> BaseTransport:
        self.service.fail_next(faults.Html(), times=100)
        return self.create_transport()

    def occupy(self, channel: str) -> None:
        self.service.occupied[channel] = {}

    def disconnected_users(self) -> Sequence[str]:
        return self.service.terminated

    def admits(self, channel: str, answer: Answer) -> bool:
        with pusher_sdk(self.service) as sdk:
            wanted = sdk.authenticate(channel, self.create_socket_id())["auth"]
        return bool(answer.body.get("auth") == wanted)

    def create_webhook(self) -> tuple[Mapping[str, str], bytes]:
        body = make_body("channel_occupied")
        return sign(body, key=self.service.key, secret=self.service.secret), body


class Browsers:
    """Two unchanged browsers of one server: what one misses, it was excluded from."""

    def __init__(self, server: PusherApp, stack: ExitStack) -> None:
        self.server = server
        self.channels: set[str] = set()
        self.shown: Mapping[str, Any] | None = None
        """What they show the server in place of a token of their own."""
        self.observer, self.sender = (
            stack.enter_context(PusherJS(port=server.port, key=server.key, auth=self._authorize))
            for _ in range(2)
        )
        self.begin()

    def begin(self) -> None:
        """Forget what arrived before."""
        self.before = {browser: len(browser.seen) for browser in (self.observer, self.sender)}

    def _authorize(self, socket_id: str, channel: str) -> Mapping[str, Any]:
        if self.shown is not None:
            return self.shown
        member = {"user_id": socket_id} if channel.startswith("presence-") else None
        with pusher_sdk(self.server, encryption_master_key_base64=MASTER_KEY) as sdk:
            token: dict[str, Any] = sdk.authenticate(channel, socket_id, member)
        if "shared_secret" in token:  # the SDK returns it as bytes
            token["shared_secret"] = base64.b64encode(shared_secret(channel)).decode()
        return token

    def watch(self, channels: Sequence[str]) -> None:
        for channel in set(channels) - self.channels:
            for browser in (self.observer, self.sender):
                browser.subscribe(channel)
            self.channels.add(channel)

    def received(self) -> Iterator[Received]:
        """Yield what the observer got, as far as it is known whether the sender got it too."""
        arrived: dict[str, deque[Report]] = {}
        for event in self._events(self.sender):
            arrived.setdefault(event["channel"], deque()).append(event)
        for event in self._events(self.observer):
            others = arrived.get(event["channel"])
            if not others:
                continue
            excluded: str | None = self.sender.socket_id
            if others[0] == event:
                others.popleft()
                excluded = None
            yield Received(event["channel"], event["name"], json.dumps(event["data"]), excluded)

    def _events(self, browser: PusherJS) -> Iterator[Report]:
        for report in browser.seen[self.before[browser] :]:
            if report["type"] == "event" and not report["name"].startswith("pusher:"):
                yield report


@pytest.fixture(scope="module")
def soketi_browsers(soketi: Soketi) -> Iterator[Browsers]:
    require("pusher-js", pusher_js_service.unavailable())
    with ExitStack() as stack:
        yield Browsers(soketi, stack)


@pytest.fixture(scope="module")
def own_browsers() -> Iterator[Browsers]:
    pytest.importorskip("channels")
    require("pusher-js", pusher_js_service.unavailable())
    # The browsers stay on the channels of all tests.
    with AsgiServer(http_api=True, max_channels=100_000) as server, ExitStack() as stack:
        yield Browsers(server, stack)


class PusherOnServerContract(PusherContract):
    """The contract, against a server of the protocol with browsers that receive its events."""

    __test__ = False

    browsers: Browsers
    max_examples = 10
    # A browser hands data on as JavaScript has read it, whose numbers are others.
    keeps_text = False
    data = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**50), 2**50) | texts(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(), inner, max_size=4),
        max_leaves=10,
    )
    channel_kinds = (
        ChannelKind.PUBLIC,
        ChannelKind.PRIVATE,
        ChannelKind.PRESENCE,
        ChannelKind.ENCRYPTED,
    )

    @property
    def app(self) -> PusherApp:
        return self.browsers.server

    def watch(self, channels: Sequence[str]) -> None:
        self.browsers.watch(channels)

    def received(self) -> Sequence[Received]:
        return list(self.browsers.received())

    def create_socket_id(self) -> str:
        return self.browsers.sender.socket_id

    def occupy(self, channel: str) -> None:
        self.browsers.watch([channel])

    def admits(self, channel: str, answer: Answer) -> bool:
        if answer.status != 200:
            return False  # pusher-js asks for no more
        self.browsers.shown = answer.body
        try:
            self.browsers.sender.subscribe(channel)
        except Refused:
            return False
        finally:
            self.browsers.shown = None
        return True


class TestPusherOnSoketi(PusherOnServerContract):
    realtime_contract = "Pusher, soketi"

    @pytest.fixture(autouse=True)
    def _server(self, soketi_browsers: Browsers) -> None:
        self.browsers = soketi_browsers
        self.browsers.begin()


class TestPusherOnThisServer(PusherOnServerContract):
    """The HTTP API and the WebSockets of this package are service enough."""

    realtime_contract = None  # type: ignore[assignment]  # the page compares transports, not servers

    @pytest.fixture(autouse=True)
    def _server(self, own_browsers: Browsers) -> None:
        self.browsers = own_browsers
        self.browsers.begin()


def decrypted(channel: str, data: str) -> str:
    """Open what is encrypted as a subscriber does, who was given the channel's shared secret."""
    if not channel.startswith("private-encrypted-"):
        return data
    from nacl.secret import SecretBox

    box = json.loads(data)
    opened: bytes = SecretBox(shared_secret(channel)).decrypt(
        base64.b64decode(box["ciphertext"]), base64.b64decode(box["nonce"])
    )
    return opened.decode()


def shared_secret(channel: str) -> bytes:
    return hashlib.sha256(channel.encode() + base64.b64decode(MASTER_KEY)).digest()
