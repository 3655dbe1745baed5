"""The Pusher transport, servers of Pusher's protocol and pusher-js, unchanged, work together."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from realtime_drf import Event
from realtime_drf.exceptions import AccessRefused
from tests.services.asgi_server import AsgiServer
from tests.services.process import wait_until
from tests.services.pusher_js import PusherJS
from tests.services.pusher_sdk import PusherApp, pusher_sdk
from tests.transports.conftest import MakePusher

pytest.importorskip("pusher")

pytestmark = pytest.mark.end_to_end

MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
DATA = {"id": 7, "title": 'Öl, "Brot" & \N{PARTY POPPER}', "price": 1.5, "tags": [None, True, []]}

Connect = Callable[..., PusherJS]


@pytest.fixture(scope="module", params=["soketi", "ours"])
def server(request: pytest.FixtureRequest) -> Iterator[PusherApp]:
    """Each server of the protocol: another project's, and the one of this package."""
    if request.param == "soketi":
        yield request.getfixturevalue("soketi")
    else:
        pytest.importorskip("channels")
        with AsgiServer(http_api=True, encryption_master_key_base64=MASTER_KEY) as served:
            yield served


@pytest.fixture
def connect(server: PusherApp, pusher_js: Callable[..., PusherJS]) -> Connect:
    """Return a function that connects a browser, which is let into every channel."""

    def authorize(socket_id: str, channel: str) -> dict[str, Any]:
        member = {"user_id": socket_id} if channel.startswith("presence-") else None
        with pusher_sdk(server, encryption_master_key_base64=MASTER_KEY) as sdk:
            token: dict[str, Any] = sdk.authenticate(channel, socket_id, member)
        if "shared_secret" in token:  # the SDK returns it as bytes
            secret = hashlib.sha256(channel.encode() + base64.b64decode(MASTER_KEY)).digest()
            token["shared_secret"] = base64.b64encode(secret).decode()
        return token

    def start(*channels: str, **options: Any) -> PusherJS:
        client = pusher_js(port=server.port, key=server.key, auth=authorize, **options)
        for channel in channels:
            client.subscribe(channel)
        return client

    return start


def test_data_reaches_the_page_as_it_was(
    server: PusherApp, make_pusher: MakePusher, connect: Connect
) -> None:
    client = connect("private-todos")
    transport = make_pusher(server)
    for data in (DATA, "plain", 1.5, None, [], {}):
        transport.send([Event("saved", "private-todos", data)])
        assert client.expect("saved", "private-todos") == data


def test_batches_arrive_in_order(
    server: PusherApp, make_pusher: MakePusher, connect: Connect
) -> None:
    client = connect("a", "b")
    make_pusher(server).send(
        [Event(f"e{number}", "ab"[number % 2], number) for number in range(25)]
        + [Event("last", ["a", "b"])]
    )
    client.expect("last", "a")
    client.expect("last", "b")
    for channel in "ab":
        assert [event.name for event in client.events if event.channel == channel] == [
            *(f"e{number}" for number in range(25) if "ab"[number % 2] == channel),
            "last",
        ]


def test_one_event_reaches_all_its_channels(
    server: PusherApp, make_pusher: MakePusher, connect: Connect
) -> None:
    channels = ["a", "private-b", "presence-c", "cache-d"]
    client = connect(*channels)
    make_pusher(server).send([Event("saved", channels, DATA)])
    for channel in channels:
        assert client.expect("saved", channel) == DATA


def test_the_sender_does_not_receive_its_own_change(
    server: PusherApp, make_pusher: MakePusher, connect: Connect
) -> None:
    sender, other = connect("a"), connect("a")
    transport = make_pusher(server)
    hidden = Event("hidden", "a", socket_id=sender.socket_id)
    transport.send([hidden])
    transport.send([hidden, Event("stale", "a", socket_id="1.1"), Event("all", "a")])
    for client in (sender, other):
        client.expect("all")
    assert [event.name for event in sender.events] == ["stale", "all"]
    assert [event.name for event in other.events] == ["hidden", "hidden", "stale", "all"]


def test_a_page_decrypts_what_the_service_cannot_read(
    server: PusherApp, make_pusher: MakePusher, connect: Connect
) -> None:
    channel = "private-encrypted-letters"
    client = connect(channel, "a", frames=True)
    transport = make_pusher(server, encryption_master_key_base64=MASTER_KEY)
    transport.send([Event("alone", channel, DATA)])
    assert client.expect("alone", channel) == DATA
    transport.send([Event("together", [channel, "a"], DATA), Event("more", channel, DATA)])
    assert client.expect("together", channel) == client.expect("together", "a") == DATA
    assert client.expect("more", channel) == DATA
    # Off the socket came nothing but a box.
    frame = client.wait_for(lambda report: report.get("event") == "more")
    assert set(frame["data"]) == {"nonce", "ciphertext"}


def test_a_signed_in_user_is_reached_on_all_connections(
    server: PusherApp, make_pusher: MakePusher, connect: Connect
) -> None:
    with pusher_sdk(server) as sdk:

        def sign_in(user_id: str) -> PusherJS:
            client = connect(user_auth=lambda id_: sdk.authenticate_user(id_, {"id": user_id}))
            client.signin()
            return client

        one, two, stranger = sign_in("7"), sign_in("7"), sign_in("8")
        transport = make_pusher(server)
        transport.send([Event("hello", "#server-to-user-7", DATA)])
        transport.send([Event("bye", ["#server-to-user-7", "#server-to-user-8"])])
        for client in (one, two, stranger):
            client.wait_for(lambda report: report.get("name") == "bye")
        for client, names in (
            (one, ["hello", "bye"]),
            (two, ["hello", "bye"]),
            (stranger, ["bye"]),
        ):
            reports = [r for r in client.seen if r.get("name") in ("hello", "bye")]
            assert [report["name"] for report in reports] == names
        [hello] = [r for r in one.seen if r.get("name") == "hello"]
        assert hello["data"] == DATA


def test_who_is_on_a_channel(server: PusherApp, make_pusher: MakePusher, connect: Connect) -> None:
    transport = make_pusher(server, subscription_counting=True)
    assert not transport.channel_info("private-count").occupied
    one = connect("private-count", "presence-count")
    connect("private-count", "presence-count")
    info = transport.channel_info("private-count")
    assert (info.occupied, info.subscription_count) == (True, 2)
    info = transport.channel_info("presence-count")
    assert (info.occupied, info.user_count) == (True, 2)
    assert {"private-count", "presence-count"} <= set(transport.occupied_channels())
    found = transport.occupied_channels("presence-count")
    assert set(found) == {"presence-count"}
    one.unsubscribe("private-count")
    wait_until(lambda: transport.channel_info("private-count").subscription_count == 1)


def test_wrong_credentials_are_refused(server: PusherApp, make_pusher: MakePusher) -> None:
    # It answers 200, and the SDK does not raise.
    with pytest.raises(AccessRefused):
        make_pusher(server, secret="wrong").send([Event("saved", "a")])
