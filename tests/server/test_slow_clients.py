"""A client that does not read, or vanishes: in order, within bounds, alone."""

from __future__ import annotations

import json
import logging
import tracemalloc

import pytest

from realtime_drf.server import connection as connection_module
from realtime_drf.server.writer import MAX_BACKLOG_BYTES
from tests.server.harness import Client, Site

BIG = "x" * 10_000
ENOUGH = MAX_BACKLOG_BYTES // len(BIG) + 10
"""Events of that size that are more than a send buffer holds."""


def numbers(client: Client) -> list[int]:
    return [data for name, _, data in client.events() if name == "told"]


def pair(site: Site) -> tuple[Client, Client]:
    slow, quick = site.connect(), site.connect()
    for client in (slow, quick):
        client.join("presence-room", "slow" if client is slow else "quick")
        client.subscribe("news")
    for client in (slow, quick):
        client.take()
    return slow, quick


@pytest.mark.usefixtures("silence")
def test_what_waited_comes_in_order_once_it_is_read() -> None:
    with Site() as site:
        slow, quick = pair(site)
        site.publish("told", "news", 0)
        slow.is_stuck = True
        for number in range(1, 50):
            site.publish("told", "news", number)
        assert numbers(quick) == list(range(50))
        assert numbers(slow) == [0]
        slow.read_on()
        assert numbers(slow) == list(range(1, 50))
        site.publish("told", "news", 50)
        assert numbers(slow) == [50]


@pytest.mark.usefixtures("silence")
def test_reading_a_little_at_a_time_keeps_the_order() -> None:
    with Site() as site:
        slow, _ = pair(site)
        received: list[int] = []
        for number in range(40):
            slow.is_stuck = number % 3 == 0
            site.publish("told", "news", number)
            if number % 7 == 0:
                slow.read_on()
                received += numbers(slow)
        slow.read_on()
        assert received + numbers(slow) == list(range(40))


@pytest.mark.usefixtures("silence")
def test_a_client_that_waits_to_be_written_to_is_not_listened_to() -> None:
    with Site() as site:
        slow, _ = pair(site)
        slow.is_stuck = True
        for _ in range(1_000):
            slow.say({"event": "pusher:ping"})
        assert slow._inbox.qsize() == 999, "its server does not read on either"
        slow.read_on()
        assert slow.events() == [("pusher:pong", "", {})] * 1_000


@pytest.mark.usefixtures("silence")
def test_a_client_for_which_something_always_waits_is_listened_to() -> None:
    with Site(activity_timeout=10, pong_timeout=9) as site:
        slow = site.connect()
        slow.subscribe("news")
        slow.is_stuck = True
        for number in range(3):
            site.publish("told", "news", number)
        slow.say({"event": "pusher:ping"})
        slow.take()
        for number in range(3, 60):
            site.publish("told", "news", number)
            slow.read_one()
            if ("pusher:ping", "", {}) in slow.events():
                slow.say({"event": "pusher:pong"})
            site.advance(1)
        assert slow.close_code is None
        assert slow.sends_under_way == 1, "it never had read all"
        slow.read_on()


def test_a_client_that_does_not_read_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    with Site() as site:
        slow, quick = pair(site)
        slow.is_stuck = True
        tracemalloc.start()
        try:
            for number in range(10 * ENOUGH):
                site.publish("told", "news", [number, BIG])
                quick.forget()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 * MAX_BACKLOG_BYTES
        assert site.node.dropped == 1
        assert slow.is_served, "the close waits to be read"
        assert site.transport.channel_info("presence-room").user_count == 1
        slow.read_on()
        assert slow.close_code == 4100
        told = numbers(slow)
        assert [number for number, _ in told] == list(range(len(told))), "up to the end, no gap"
        slow.disconnect()
        assert not slow.is_served
    assert ["send buffer is full" in each.getMessage() for each in caplog.records] == [True]


def test_others_see_the_member_leave(caplog: pytest.LogCaptureFixture) -> None:
    with Site() as site:
        slow, quick = pair(site)
        slow.is_stuck = True
        for _ in range(ENOUGH):
            site.publish("told", "news", BIG)
        left = [data for name, _, data in quick.events() if name.endswith("member_removed")]
        assert left == [{"user_id": "slow"}]
        slow.disconnect()
        slow.read_on()
    assert caplog.records


def test_a_close_that_nobody_reads_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT", 0.01)
    with Site() as site:
        slow, _ = pair(site)
        slow.is_stuck = True
        for _ in range(ENOUGH):
            site.publish("told", "news", BIG)
        site.wait_for(lambda: not slow.is_served)
        assert slow.close_code is None
    assert caplog.records


@pytest.mark.usefixtures("silence")
def test_a_client_that_vanishes_is_removed() -> None:
    with Site() as site:
        gone, other = pair(site)
        gone.breaks_after = 0
        site.publish("told", "news", 1)
        assert numbers(other) == [1]
        assert site.transport.channel_info("presence-room").user_count == 1
        assert gone.socket_id not in site.node.connections
        site.publish("told", "news", 2)
        assert numbers(other) == [2]
        gone.disconnect()
        assert not gone.is_served


@pytest.mark.usefixtures("silence")
def test_a_client_that_vanishes_while_something_waits_is_removed() -> None:
    with Site() as site:
        gone, other = pair(site)
        gone.is_stuck = True
        for number in range(3):
            site.publish("told", "news", number)
        gone.breaks_after = 0
        gone.read_on()
        site.publish("told", "news", 3)
        assert numbers(other) == [0, 1, 2, 3]
        assert gone.socket_id not in site.node.connections
        gone.disconnect()


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("is_stuck", [False, True])
def test_a_close_is_sent_once_and_nothing_after_it(is_stuck: bool) -> None:
    # The client itself looks: it fails on a message after the close.
    with Site() as site:
        client, _ = pair(site)
        client.sign_in("ann")
        client.is_stuck = is_stuck
        if is_stuck:
            for number in range(3):
                site.publish("told", "news", number)
        site.transport.disconnect_user("ann")
        site.settle()
        client.say({"event": "pusher:ping"})
        site.publish("told", "news", 3)
        client.read_on()
        assert client.close_code == 4009
        assert [each["type"] for each in client.sent].count("websocket.close") == 1
        client.disconnect()
        assert not client.is_served


@pytest.mark.usefixtures("silence")
def test_a_close_that_waits_itself_is_sent_once() -> None:
    with Site() as site:
        client, _ = pair(site)
        client.sign_in("ann")
        client.is_stuck = True
        site.transport.disconnect_user("ann")
        site.settle()
        client.read_on()
        assert client.close_code == 4009
        assert client.sends == client.sent, "none was refused either"


def test_the_log_names_no_more_than_the_socket(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Site() as site:
        slow, _ = pair(site)
        slow.is_stuck = True
        for _ in range(ENOUGH):
            site.publish("told", "news", BIG)
        slow.disconnect()
        slow.read_on()
    text = json.dumps([each.getMessage() for each in caplog.records])
    assert "xxx" not in text
    assert "news" not in text
