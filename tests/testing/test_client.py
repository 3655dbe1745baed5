"""A client subscribes by the real policies, receives events, and can be excluded."""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import given
from hypothesis import strategies as st

from realtime_drf import Event, publish
from realtime_drf.channels import UserChannel
from realtime_drf.exceptions import InvalidEvent, UnsupportedFeature
from realtime_drf.grants import Grant
from realtime_drf.testing import RealtimeClient, SubscriptionRefused
from realtime_drf.transports import transports
from realtime_drf.transports.memory import Member, MemoryTransport
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
        with pytest.raises(SubscriptionRefused, match=f"{channel} was denied to ann: 403"):
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
    with pytest.raises(SubscriptionRefused, match="signing in was denied"):
        nobody.sign_in()
    publish(Event("a", UserChannel(ann.pk)), Event("b", UserChannel(ann.pk + 1)))
    assert names(client) == ["a"]


BOARD = "presence-boards.a"


def test_presence_tells_who_is_there_who_came_and_who_left(
    realtime_client: Connect, ann: User
) -> None:
    bob = User.objects.create_user("bob")
    first = realtime_client(ann)
    first.subscribe(BOARD)
    info = {"name": "Zoë", "board": "a"}
    assert first.members(BOARD) == {str(ann.pk): info}
    second = realtime_client(bob)
    second.subscribe(BOARD)
    came = Member(BOARD, str(bob.pk), info)
    assert (first.member_added, second.member_added) == ([came], [])
    assert first.members(BOARD) == second.members(BOARD) == {str(ann.pk): info, str(bob.pk): info}
    assert transports["default"].members(BOARD) == sorted([str(ann.pk), str(bob.pk)])
    second.unsubscribe(BOARD)
    assert (first.member_removed, second.member_removed) == ([came], [])
    assert list(first.members(BOARD)) == [str(ann.pk)]
    assert first.received == []
    first.clear()
    assert (first.member_added, first.member_removed) == ([], [])


def test_a_user_with_two_connections_comes_once_and_leaves_with_the_last(
    realtime_client: Connect, ann: User
) -> None:
    watching = realtime_client(User.objects.create_user("bob"))
    watching.subscribe(BOARD)
    tabs = [realtime_client(ann), realtime_client(ann)]
    for tab in [*tabs, tabs[0]]:
        tab.subscribe(BOARD)
    assert [member.user_id for member in watching.member_added] == [str(ann.pk)]
    assert tabs[0].member_added == []
    tabs[0].unsubscribe(BOARD)
    assert watching.member_removed == []
    tabs[1].unsubscribe(BOARD)
    tabs[1].unsubscribe(BOARD)
    assert [member.user_id for member in watching.member_removed] == [str(ann.pk)]


def test_only_those_on_a_presence_channel_know_who_is_there(
    realtime_client: Connect, ann: User
) -> None:
    client = realtime_client(ann)
    client.subscribe("news")
    for channel in ("news", BOARD):
        with pytest.raises(ValueError, match=f"Subscribe to {channel} first"):
            client.members(channel)
    with pytest.raises(UnsupportedFeature, match="'news'"):
        transports["default"].members("news")
    with pytest.raises(InvalidEvent):
        transports["default"].members("no channel")
    with pytest.raises(SubscriptionRefused):
        realtime_client().subscribe(BOARD)  # the policy lets anybody in, and nobody has no id
    assert transports["default"].members(BOARD) == []


def test_an_info_that_the_policy_does_not_give_is_none(realtime_client: Connect, ann: User) -> None:
    client = realtime_client(ann)
    client.subscribe("presence-boards.bare")
    assert client.members("presence-boards.bare") == {str(ann.pk): None}


@given(
    steps=st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=20),
)
def test_whoever_counts_comings_and_goings_knows_who_is_there(
    steps: list[tuple[int, bool]],
) -> None:
    memory = MemoryTransport()
    tabs = [memory.connect() for _ in range(5)]
    known: dict[int, Counter[str]] = {}
    for number, joins in steps:
        tab, user = tabs[number], str(number // 2)  # two tabs are one user's, the last has its own
        if joins:
            grant = Grant(channel=BOARD, user_id=user)
            tab.subscribe(BOARD, memory.signer.channel_token(tab.socket_id, grant))
            known.setdefault(number, Counter(tab.members(BOARD).keys()))
        else:
            tab.unsubscribe(BOARD)
            known.pop(number, None)
            tab.member_added.clear()
            tab.member_removed.clear()
        present = {str(n // 2) for n in known}
        assert memory.members(BOARD) == sorted(present)
        assert memory.channel_info(BOARD).user_count == len(present)
        for n, at_first in known.items():
            came, left = tabs[n].member_added, tabs[n].member_removed
            counted = at_first + Counter(each.user_id for each in came)
            counted.subtract(each.user_id for each in left)
            assert +counted == Counter(present)


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
