"""The services themselves, where the environment has an account; elsewhere nothing is asked.

``ABLY_API_KEY`` names an app of Ably's, ``PUSHER_URL`` one of Pusher's. Names of channels are new
each time.
"""

from __future__ import annotations

import os
import secrets
from typing import Any

import pytest

from realtime_drf import Event


def require(variable: str) -> None:
    """Skip a test for which there is no account; that is no missing service, and no failure."""
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set: the service itself is not asked")


def make_events(token: str | None = None) -> list[Event]:
    name = f"live-{secrets.token_hex(8)}"
    return [
        Event("one", name, {"text": "Käse 🧀"}, socket_id=token),
        Event("two", [name, f"private-{name}", f"presence-{name}"], ["x", 1, None]),
        Event("three", f"private-{name}", "text"),
    ]


def make_ably(**options: Any) -> Any:
    pytest.importorskip("ably")
    from realtime_drf.transports.ably import AblyTransport

    return AblyTransport(**options)


@pytest.mark.parametrize("binary", [True, False], ids=["msgpack", "json"])
def test_ably_takes_each_event_once_and_in_order(binary: bool) -> None:
    require("ABLY_API_KEY")
    transport = make_ably(use_binary_protocol=binary)
    events = make_events()
    transport.send(events)
    transport.send(events)  # known again
    channel = transport.rest.client.channels.get(transport.to_wire_name(events[0].channels[0]))
    history = channel.history(direction="forwards").items
    assert [(message.name, message.data) for message in history] == [
        ("one", {"text": "Käse 🧀"}),
        ("two", ["x", 1, None]),
    ]
    assert transport.members(events[1].channels[2]) == []
    transport.close()


def test_ably_takes_an_event_without_a_stale_connection() -> None:
    require("ABLY_API_KEY")
    transport = make_ably()
    transport.send(make_events("e02789NEQA86c7!JKQDyDFiXjEwZpUd-3xxxxxxxxxxxxxxxxxxxx"))
    transport.close()


@pytest.mark.parametrize("form", ["request", "jwt"])
def test_ably_takes_our_tokens(form: str) -> None:
    require("ABLY_API_KEY")
    from realtime_drf.grants import Grant

    transport = make_ably()
    channel = f"private-live-{secrets.token_hex(8)}"
    asked = transport.read_authorization({"channel_names": [channel], "format": form})
    answer = transport.answer_authorization(asked, [Grant(channel=channel, may_publish=True)])
    token = answer.body
    if form == "request":
        path = f"/keys/{answer.body['keyName']}/requestToken"
        token = transport.rest.post(path, answer.body)["token"]
    client = make_ably(token=token)
    client.send([Event("mine", channel)])
    for each in (client, transport):
        each.close()


def test_pusher_takes_events_and_tells_who_listens() -> None:
    require("PUSHER_URL")
    pytest.importorskip("pusher")
    from realtime_drf.transports.pusher import PusherTransport

    transport = PusherTransport()
    events = make_events("1234.5678")
    transport.send(events)
    assert not transport.channel_info(events[0].channels[0]).occupied
    assert transport.occupied_channels("private-live-") == {}
    transport.close()
