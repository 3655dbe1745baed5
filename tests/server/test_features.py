"""What pusher-js can do on Pusher it can do here: the features besides plain channels."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("nacl")

from realtime_drf.pusher_protocol.signatures import Signer
from tests.server.tokens import MASTER_KEY, channel_tokens, user_tokens
from tests.services.asgi_server import AsgiServer
from tests.services.pusher_js import PusherJS, Refused

pytestmark = pytest.mark.end_to_end

Serve = Callable[..., AsgiServer]
Browser = Callable[..., PusherJS]


@pytest.fixture(scope="module")
def server() -> Iterator[AsgiServer]:
    """One for all: each test has users and channels of its own."""
    pytest.importorskip("channels")
    with AsgiServer(client_events=True, subscription_counting=True) as served:
        yield served


@pytest.fixture
def browser(server: AsgiServer, pusher_js: Browser) -> Callable[..., PusherJS]:
    """Return a function that opens the browser of a user."""

    def start(user: str = "ann", watchlist: tuple[str, ...] = (), **options: Any) -> PusherJS:
        return pusher_js(
            port=server.port,
            key=server.key,
            auth=channel_tokens(server, user, {"name": user}),
            user_auth=user_tokens(server, user, watchlist),
            frames=True,
            **options,
        )

    return start


def wait_for_frame(client: PusherJS, event: str, data: Any = ..., *, after: int = 0) -> Any:
    """Return the data of a frame of that name, and with that data if any is given."""

    def wanted(report: dict[str, Any]) -> bool:
        return (
            report["type"] == "frame"
            and report["event"] == event
            and (data is ... or report["data"] == data)
        )

    return client.wait_for(wanted, after=after)["data"]


def online(*users: str) -> dict[str, Any]:
    return {"events": [{"name": "online", "user_ids": list(users)}]}


def offline(*users: str) -> dict[str, Any]:
    return {"events": [{"name": "offline", "user_ids": list(users)}]}


def test_a_user_is_reached_on_all_of_their_connections(
    server: AsgiServer, browser: Browser
) -> None:
    clients = [browser("ann"), browser("ann"), browser("bob")]
    for client in clients:
        client.signin()
        wait_for_frame(client, "pusher_internal:subscription_succeeded")
    server.publish(
        {"name": "badge", "channels": ["#server-to-user-ann"], "data": 3},
        {"name": "last", "channels": ["#server-to-user-bob"]},
    )
    assert [client.expect_for_user("badge") for client in clients[:2]] == [3, 3]
    clients[2].expect_for_user("last")
    assert not [seen for seen in clients[2].seen if seen.get("name") == "badge"]


def test_nobody_signs_in_with_a_token_of_another_connection(
    server: AsgiServer, browser: Browser, pusher_js: Browser
) -> None:
    token = user_tokens(server, "ann")(browser().socket_id)
    thief = pusher_js(port=server.port, key=server.key, user_auth=lambda socket_id: token)
    with pytest.raises(Refused, match="4009"):
        thief.signin()


def test_a_users_connections_are_ended(server: AsgiServer, browser: Browser) -> None:
    ann, bob = browser("gus"), browser("hal")
    for client in (ann, bob):
        client.signin()
    server.disconnect_user("gus")
    ann.wait_for(lambda report: report["type"] == "error" and "4009" in str(report["error"]))
    server.publish({"name": "last", "channels": ["#server-to-user-hal"]})
    bob.expect_for_user("last")


def test_watchers_are_notified_who_is_online(browser: Browser) -> None:
    dan = browser("dan")
    dan.signin()
    ann = browser("fay", watchlist=("dan", "eve"))
    ann.signin()
    wait_for_frame(ann, "pusher_internal:watchlist_events", online("dan"))
    eve = browser("eve")
    eve.signin()
    wait_for_frame(ann, "pusher_internal:watchlist_events", online("eve"))
    second = browser("dan")
    second.signin()
    dan.close()  # and is online still
    eve.close()
    wait_for_frame(ann, "pusher_internal:watchlist_events", offline("eve"))
    second.close()
    wait_for_frame(ann, "pusher_internal:watchlist_events", offline("dan"))
    told = [seen["data"] for seen in ann.seen if seen.get("event", "").endswith("watchlist_events")]
    assert told == [online("dan"), online("eve"), offline("eve"), offline("dan")]


def test_a_watchlist_has_a_limit(browser: Browser) -> None:
    client = browser("ann", watchlist=tuple(f"user-{number}" for number in range(101)))
    client.signin()
    client.wait_for(lambda report: report["type"] == "error" and "4302" in str(report["error"]))


@pytest.mark.parametrize("channel", ["cache-price", "private-cache-price", "presence-cache-price"])
def test_a_cache_channel_gives_its_last_event(
    server: AsgiServer, browser: Browser, channel: str
) -> None:
    early = browser("ann")
    early.subscribe(channel)
    early.expect("pusher:cache_miss", channel)
    server.publish(*({"name": "price", "channels": [channel], "data": n} for n in (1, 2)))
    assert (early.expect("price"), early.expect("price")) == (1, 2)
    # Clients' events are not kept: what is kept is what the project says.
    if channel.startswith("private"):
        early.trigger(channel, "client-bid", {"n": 3})
    late = browser("bob")
    late.subscribe(channel)
    assert late.expect("price", channel) == 2
    server.publish({"name": "price", "channels": [channel], "data": 4})
    assert (late.expect("price"), early.expect("price")) == (4, 4)
    assert [seen.data for seen in late.events if seen.name == "price"] == [2, 4]


def test_an_encrypted_cache_channel_gives_its_last_event_encrypted(
    serve: Serve, pusher_js: Browser
) -> None:
    server = serve(encryption_master_key_base64=b64encode(MASTER_KEY).decode())
    channel = "private-encrypted-cache-price"
    server.publish({"name": "price", "channels": [channel], "data": "geheim"})
    client = pusher_js(port=server.port, key=server.key, auth=channel_tokens(server), frames=True)
    client.subscribe(channel)
    assert client.expect("price", channel) == "geheim"
    assert "geheim" not in str([seen for seen in client.seen if seen["type"] == "frame"])


def test_subscribers_receive_how_many_they_are(browser: Browser) -> None:
    ann, bob = browser("ann"), browser("bob")
    name = "pusher_internal:subscription_count"
    ann.subscribe("news")
    wait_for_frame(ann, name, {"subscription_count": 1})
    bob.subscribe("news")
    for client in (ann, bob):
        wait_for_frame(client, name, {"subscription_count": 2})
    before = len(ann.seen)
    bob.unsubscribe("news")
    wait_for_frame(ann, name, {"subscription_count": 1}, after=before)
    ann.subscribe("presence-room")
    assert not [
        seen for seen in ann.seen if seen.get("event") == name and "room" in seen["channel"]
    ]


def test_a_presence_channel_takes_who_has_signed_in(server: AsgiServer, pusher_js: Browser) -> None:
    """The token of such a channel may leave out who it is for."""
    own = Signer(server.key, server.secret)

    def sign(socket_id: str, channel: str) -> dict[str, str]:
        return {"auth": f"{server.key}:{own.sign(f'{socket_id}:{channel}')}"}

    client = pusher_js(
        port=server.port,
        key=server.key,
        auth=sign,
        user_auth=user_tokens(server, "ann", name="Ann"),
    )
    client.signin()
    assert client.subscribe("presence-room")["members"] == {"ann": {"name": "Ann"}}


def test_data_may_be_signed_on_a_private_channel(server: AsgiServer, pusher_js: Browser) -> None:
    own = Signer(server.key, server.secret)
    data = json.dumps({"user_id": "ann"})

    def sign(socket_id: str, channel: str) -> dict[str, str]:
        return {
            "auth": f"{server.key}:{own.sign(f'{socket_id}:{channel}:{data}')}",
            "channel_data": data,
        }

    pusher_js(port=server.port, key=server.key, auth=sign).subscribe("private-list")
