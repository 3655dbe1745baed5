"""A client is let in by the real policies, receives, and can be left out."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from realtime_drf import Event, publish
from realtime_drf.channels import UserChannel
from realtime_drf.exceptions import InvalidEvent
from realtime_drf.testing import RealtimeClient, SubscriptionRefused
from tests.todos.models import TodoList

Connect = Callable[..., RealtimeClient]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("policies")]


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


def names(client: RealtimeClient) -> list[str]:
    return [event.name for event in client.received]


def test_a_policy_decides(realtime_client: Connect, ann: User) -> None:
    mine, other = (TodoList.objects.create(name=name) for name in ("ann", "bob"))
    client = realtime_client(ann)
    assert client.subscribe(f"private-lists.{mine.pk}")["auth"]
    for channel in (f"private-lists.{other.pk}", "private-nobody.knows.it"):
        with pytest.raises(SubscriptionRefused, match=f"{channel} was refused to ann: 403"):
            client.subscribe(channel)
    publish(Event("a", [f"private-lists.{mine.pk}", f"private-lists.{other.pk}"], {"n": 1}))
    [event] = client.received
    assert (event.name, event.channels, event.data) == (
        "a",
        (f"private-lists.{mine.pk}",),
        {"n": 1},
    )
    client.clear()
    client.unsubscribe(f"private-lists.{mine.pk}")
    publish(Event("b", f"private-lists.{mine.pk}"))
    assert names(client) == []
    assert repr(client) == "<RealtimeClient of ann on []>"


def test_nobody_hears_public_channels_alone(realtime_client: Connect) -> None:
    client = realtime_client()
    client.subscribe("news")
    with pytest.raises(SubscriptionRefused):
        client.subscribe("private-lists.1")
    with pytest.raises(InvalidEvent):
        client.subscribe("no channel")
    publish(Event("a", "news"))
    assert names(client) == ["a"]


def test_the_origin_is_left_out(realtime_client: Connect, ann: User) -> None:
    sender, other = realtime_client(ann), realtime_client(ann)
    for client in (sender, other):
        client.subscribe("news")
    assert sender.headers == {"X-Socket-Id": sender.socket_id}
    publish(Event("a", "news", socket_id=sender.socket_id))
    assert (names(sender), names(other)) == ([], ["a"])


def test_a_user_who_signed_in_is_reached(realtime_client: Connect, ann: User) -> None:
    client, nobody = realtime_client(ann), realtime_client()
    with pytest.raises(SubscriptionRefused, match=r"sign_in\(\)"):
        client.subscribe(UserChannel(ann.pk))
    client.sign_in()
    with pytest.raises(SubscriptionRefused, match="signing in was refused"):
        nobody.sign_in()
    publish(Event("a", UserChannel(ann.pk)), Event("b", UserChannel(ann.pk + 1)))
    assert names(client) == ["a"]


def test_other_aliases_have_clients(realtime_client: Connect) -> None:
    client = realtime_client(transport="other")
    client.subscribe("news")
    publish(Event("a", "news"))
    publish(Event("b", "news"), transport="other")
    assert names(client) == ["b"]


def test_it_stays_connected_while_other_settings_change(
    realtime_client: Connect, settings: Any
) -> None:
    client = realtime_client()
    client.subscribe("news")
    settings.REALTIME_CACHE = "another"
    settings.PUSHER_KEY = "key"
    memory = {"TRANSPORT": "realtime_drf.transports.memory.MemoryTransport"}
    settings.REALTIME_TRANSPORTS = {**settings.REALTIME_TRANSPORTS, "third": memory}
    publish(Event("a", "news"))
    assert names(client) == ["a"]


def test_from_a_coroutine(realtime_client: Connect) -> None:
    client = realtime_client()
    asyncio.run(client.asubscribe("news"))
    publish(Event("a", "news"))
    assert names(client) == ["a"]


def test_it_needs_a_transport_in_memory(settings: Any) -> None:
    path = "realtime_drf.transports.console.ConsoleTransport"
    options = {"stream": io.StringIO()}
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": path, "OPTIONS": options}}
    with pytest.raises(TypeError, match="use realtime_outbox"):
        RealtimeClient()
