"""What happens on channels, as it reaches the project: signals, and the cache of occupancy."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core.cache import cache

from realtime_drf import Event, signals
from realtime_drf.occupancy import occupancies
from realtime_drf.server import reporter as reports_module
from tests.server.harness import Site

ROOM = "presence-room"
OCCUPIED, VACATED = "channel_occupied", "channel_vacated"


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("nodes", [1, 2])
def test_the_first_and_the_last_subscriber_are_reported(nodes: int) -> None:
    with Site(nodes=nodes) as site:
        one, other = site.connect(), site.connect(nodes - 1)
        one.subscribe("news")
        assert site.take_reports() == [(OCCUPIED, "news", "")]
        other.subscribe("news")
        one.disconnect()
        site.advance(10)
        assert site.take_reports() == []
        other.leave("news")
        assert site.take_reports() == [], "they may still come back"
        site.advance(2.9)
        assert site.take_reports() == []
        site.advance(0.1)
        assert site.take_reports() == [(VACATED, "news", "")]
        site.advance(60)
        assert site.take_reports() == []


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("nodes", [1, 2])
def test_members_are_reported_once_for_all_their_connections(nodes: int) -> None:
    with Site(nodes=nodes) as site:
        ann, again, bob = site.connect(), site.connect(nodes - 1), site.connect()
        for client, user in ((ann, "ann"), (again, "ann"), (bob, "bob")):
            client.join(ROOM, user)
        assert site.take_reports() == [
            (OCCUPIED, ROOM, ""),
            ("member_added", ROOM, "ann"),
            ("member_added", ROOM, "bob"),
        ]
        ann.disconnect()
        site.advance(10)
        assert site.take_reports() == []
        again.disconnect()
        site.advance(3)
        assert site.take_reports() == [("member_removed", ROOM, "ann")]


@pytest.mark.usefixtures("silence")
def test_a_page_that_is_reloaded_is_no_news() -> None:
    with Site() as site:
        client = site.connect()
        client.join(ROOM, "ann")
        site.take_reports()
        for _ in range(5):
            client.disconnect()
            site.advance(2)
            client = site.connect()
            client.join(ROOM, "ann")
            site.advance(2)
        assert site.take_reports() == []
        client.disconnect()
        site.advance(3)
        assert sorted(site.take_reports()) == [(VACATED, ROOM, ""), ("member_removed", ROOM, "ann")]


@pytest.mark.usefixtures("silence")
def test_the_delay_is_an_option() -> None:
    with Site(vacated_delay=0) as site:
        client = site.connect()
        client.subscribe("news")
        client.leave("news")
        site.advance(0)
        assert site.take_reports() == [(OCCUPIED, "news", ""), (VACATED, "news", "")]


@pytest.mark.usefixtures("silence")
def test_users_who_sign_in_are_no_channel_of_the_project() -> None:
    with Site() as site:
        client = site.connect()
        client.sign_in("ann", watchlist=["bob"])
        client.disconnect()
        site.advance(10)
        assert site.take_reports() == []


def test_a_receiver_that_raises_or_dawdles_holds_up_no_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    go_on = threading.Event()
    threads = set()

    def dawdle(**kwargs: Any) -> None:
        threads.add(threading.current_thread())
        assert go_on.wait(10)
        raise ValueError("a receiver's own mistake")

    with Site() as site:
        signals.channel_occupied.connect(dawdle)
        try:
            client = site.connect()
            client.subscribe("a")
            client.subscribe("b")
            site.publish("told", "a")
            assert [name for name, *_ in client.events()][-1] == "told"
            go_on.set()
            assert site.take_reports() == [(OCCUPIED, "a", ""), (OCCUPIED, "b", "")]
        finally:
            signals.channel_occupied.disconnect(dawdle)
    assert threading.current_thread() not in threads
    assert len(threads) == 1
    assert {each.name for each in caplog.records if each.levelname == "ERROR"} <= {
        "django.dispatch"
    }


@pytest.mark.usefixtures("silence")
def test_the_cache_of_occupied_channels_is_fed() -> None:
    cache.clear()
    entries = {
        "default": {
            "TRANSPORT": "realtime_drf.transports.channels.ChannelsTransport",
            "OPTIONS": {"app_id": "1", "key": "app-key", "secret": "test-secret"},
            "SKIP_VACANT": "all",
        }
    }
    with Site(transports=entries) as site:
        occupancies["default"]._clock = site.clock
        event = Event("told", "news")

        def skips() -> bool:
            return occupancies["default"].filter([event]) == []

        client = site.connect()
        client.subscribe("news")
        site.take_reports()
        assert not skips()
        site.advance(10)
        client.leave("news")
        site.take_reports()
        assert not skips()
        site.advance(3)
        site.take_reports()
        assert skips()
        client.subscribe("news")
        site.take_reports()
        assert not skips()


def test_receivers_that_take_too_long_lose_reports_and_take_up_no_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reports_module, "MAX_WAITING", 3)
    goes_on = threading.Event()

    def receiver(**kwargs: Any) -> None:
        goes_on.wait(5)

    signals.channel_occupied.connect(receiver)
    try:
        with Site() as site:
            client = site.connect()
            for number in range(6):
                client.subscribe(f"news-{number}")
            goes_on.set()
            site.wait_for(lambda: not site.node._reporter._waiting)
            assert [name for _, name, _ in site.take_reports()] == ["news-0", "news-1", "news-2"]
            client.subscribe("again")
            assert site.take_reports() == [(OCCUPIED, "again", "")]
    finally:
        signals.channel_occupied.disconnect(receiver)
    assert [each.getMessage().split(":")[0] for each in caplog.records] == [
        "Receivers of signals are too slow"
    ]
