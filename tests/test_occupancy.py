"""Occupancy: what nobody listens to is not sent, and what is not known is."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.cache import caches
from django.core.checks import run_checks
from django.test import Client
from pytest_django import Settings

from realtime_drf import Event, publish
from realtime_drf.deadlines import call_within
from realtime_drf.delivery import deliveries, send
from realtime_drf.exceptions import TransportUnavailable
from realtime_drf.grants import Denial, Grant
from realtime_drf.occupancy import occupancies
from realtime_drf.occupancy.knowledge import COOLDOWN, LISTING_TIMEOUT, MAX_LISTED
from realtime_drf.occupancy.prefixes import get_prefix
from realtime_drf.occupancy.recent import RecentlyOccupied
from realtime_drf.occupancy.vacancy import BELIEVED_FOR, GRACE, LISTED_FOR, SKEW, VACATED_FOR
from realtime_drf.signals import event_published
from realtime_drf.transports import transports
from realtime_drf.webhook_events import WebhookEvent
from tests.occupancy_site import PRIVATE, PUBLIC, CountingCache, Service, Site
from tests.recording import PATH
from tests.webhooks import OPTIONS, PUSHER, make_body, sign


@pytest.fixture
def site() -> Site:
    return Site()


def vacate(site: Site, channel: str) -> None:
    """Let a channel be occupied for a while and then vacated; nobody was asked."""
    site.report("occupied", channel)
    site.now += GRACE + 1
    site.report("vacated", channel)
    assert site.sends(channel) == []
    assert site.service.asked == []


@pytest.mark.parametrize("channel", [PUBLIC, PRIVATE, "presence-room", "private-encrypted-room"])
def test_a_vacated_channel_is_skipped_until_that_is_no_longer_fresh(
    site: Site, channel: str
) -> None:
    site.service.occupied = {channel}
    vacate(site, channel)
    assert site.sends(channel, worker=site.two) == []
    site.now += VACATED_FOR
    assert site.sends(channel) == [channel]


@pytest.mark.parametrize("channel", [PUBLIC, PRIVATE])
def test_an_occupied_channel_is_not_asked_about(site: Site, channel: str) -> None:
    site.report("occupied", channel)
    site.now += 600
    assert site.sends(channel) == [channel]
    assert site.service.asked == []


def test_ten_events_to_an_empty_channel_cost_one_listing(site: Site) -> None:
    assert [site.sends(PUBLIC, worker=w) for w in (site.one, site.two) * 5] == [[]] * 10
    assert site.service.asked == ["news."]
    assert site.sends("news.2", "news.3") == ["news.2", "news.3"]  # seen for the first time
    site.now += LISTED_FOR
    site.cache.delete(site.one._key("asked", "news."))  # LocMem's clock is not ours
    assert site.sends("news.2", "news.3") == []
    assert site.service.asked == ["news.", "news."]


def test_an_empty_private_channel_is_skipped_once_no_grant_can_be_unknown(site: Site) -> None:
    assert [site.sends(PRIVATE) for _ in range(10)] == [[PRIVATE]] * 10
    assert len(site.service.asked) == 1
    site.now += GRACE
    site.cache.delete(site.one._key("asked", "private-lists."))
    assert [site.sends(PRIVATE) for _ in range(10)] == [[]] * 10
    assert len(site.service.asked) == 2


def test_a_grant_marks_its_channel_occupied_before_anybody_is_there(site: Site) -> None:
    vacate(site, PRIVATE)
    site.two.mark_occupied([PRIVATE])
    assert site.sends(PRIVATE) == [PRIVATE]
    site.report("vacated", PRIVATE)  # of those before
    site.now += GRACE - SKEW
    assert site.sends(PRIVATE) == [PRIVATE]


@pytest.mark.parametrize("by", ["webhook", "listing"])
def test_for_a_while_after_a_grant_nobody_is_believed(site: Site, by: str) -> None:
    site.report("occupied", PRIVATE)
    site.now += 60
    site.one.mark_occupied([PRIVATE])
    site.now += SKEW + 1
    site.report("vacated", PRIVATE)  # of another, while the one with the grant is on the way
    assert site.sends(PRIVATE) == [PRIVATE]
    assert site.sends(PRIVATE, worker=site.two) == [PRIVATE]
    assert site.service.asked == ["private-lists."]


def test_late_webhooks_say_nothing_against_what_the_cache_has_lost(site: Site) -> None:
    site.now += 100
    site.report("occupied", PUBLIC)
    site.cache.clear()
    site.report("occupied", PUBLIC, age=40)
    site.report("vacated", PUBLIC, age=20)
    assert site.sends(PUBLIC) == [PUBLIC]


def test_a_word_is_as_new_as_its_coming_and_the_service_may_be_behind(site: Site) -> None:
    vacate(site, PUBLIC)
    site.report("vacated", PUBLIC, age=-4)  # by its clock, which is ahead
    site.now += 1
    site.report("occupied", PUBLIC)
    site.report("vacated", PUBLIC, age=-4)
    assert site.sends(PUBLIC) == [PUBLIC]


def test_a_channel_once_occupied_is_not_listed_away_at_once(site: Site) -> None:
    site.sends(PUBLIC)
    site.cache.delete(site.one._key("observed", PUBLIC))
    site.report("occupied", PUBLIC)
    assert site.sends(PUBLIC) == [PUBLIC]


@pytest.mark.parametrize("order", [("occupied", "vacated"), ("vacated", "occupied")])
def test_late_webhooks_are_resolved_by_their_time(site: Site, order: tuple[str, str]) -> None:
    vacate(site, PUBLIC)
    site.now += 20
    ages = {"vacated": 19.0, "occupied": 18.0}
    for kind in order:
        site.report(kind, PUBLIC, age=ages[kind])
    assert site.sends(PUBLIC) == [PUBLIC]


def test_a_late_vacated_is_believed_if_nothing_is_newer(site: Site) -> None:
    site.report("occupied", PUBLIC)
    site.now += 60
    site.report("vacated", PUBLIC, age=30)
    assert site.sends(PUBLIC) == []


def test_a_vacated_that_is_not_believed_is_asked_about(site: Site) -> None:
    site.report("occupied", PUBLIC)
    site.now += 1
    site.report("vacated", PUBLIC)
    assert site.sends(PUBLIC) == [PUBLIC]
    site.now += SKEW + LISTED_FOR
    site.cache.delete(site.one._key("asked", "news."))
    assert site.sends(PUBLIC) == []


def test_a_clock_ahead_of_ours_does_not_make_a_vacated_newer_than_what_follows(site: Site) -> None:
    site.report("occupied", PUBLIC)
    site.now += 60
    site.report("vacated", PUBLIC, age=-59)
    site.now += 1
    site.report("occupied", PUBLIC, age=-59)
    assert site.sends(PUBLIC) == [PUBLIC]


def test_a_clock_ahead_of_ours_does_not_make_a_vacated_newer_than_a_grant(site: Site) -> None:
    site.report("occupied", PRIVATE)
    site.now += 60
    site.report("vacated", PRIVATE, age=-59)
    site.now += 1
    site.two.mark_occupied([PRIVATE])
    site.service.supports_channel_info = False
    for _ in range(int(VACATED_FOR)):
        assert site.sends(PRIVATE) == [PRIVATE]
        site.now += 1


def test_what_is_reported_while_a_listing_runs_is_newer(site: Site) -> None:
    def listing(prefix: str) -> dict[str, None]:
        site.now += 0.5
        site.report("occupied", PUBLIC)
        return {}

    site.service.occupied_channels = listing  # type: ignore[method-assign]
    site.sends(PUBLIC)  # was published before
    assert site.sends(PUBLIC, worker=site.two) == [PUBLIC]


@pytest.mark.parametrize("what", ["observed", "vacated"])
def test_what_the_cache_has_forgotten_is_sent(site: Site, what: str) -> None:
    site.service.occupied = {PUBLIC}
    vacate(site, PUBLIC)
    site.cache.delete(site.one._key(what, PUBLIC))
    assert site.sends(PUBLIC) == [PUBLIC]


def test_a_cache_that_is_down_means_send_and_is_logged_once(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    vacate(site, PUBLIC)
    site.cache.error = ConnectionError("redis://:password@cache")
    assert [site.sends(PUBLIC) for _ in range(3)] == [[PUBLIC]] * 3
    site.now += COOLDOWN
    assert site.sends(PUBLIC) == [PUBLIC]
    assert len(caplog.records) == 1
    assert "password" not in caplog.text
    site.cache.error = None
    assert site.sends(PUBLIC) == [PUBLIC]
    site.now += COOLDOWN
    assert site.sends(PUBLIC) == []
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_cache_that_fails_is_not_asked_for_each_event(site: Site) -> None:
    site.cache.error = ConnectionError()
    site.cache.calls = ()
    for _ in range(10):
        site.sends(PUBLIC)
    assert len(site.cache.calls) == 1


@pytest.mark.parametrize("refuses", [False, True])
def test_while_a_yes_is_pending_nothing_is_skipped(
    site: Site, monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    vacate(site, PUBLIC)

    def fail(data: Any, *args: Any, **kwargs: Any) -> Any:  # as a read-only replica does
        if refuses:
            return list(data)
        raise ConnectionError

    set_many = site.cache.set_many
    monkeypatch.setattr(site.cache, "set_many", fail)
    site.one.mark_occupied([PRIVATE])
    site.service.supports_channel_info = False
    site.now += COOLDOWN
    assert site.sends(PUBLIC, worker=site.two) == [], "it can be read"
    assert site.sends(PUBLIC) == [PUBLIC]
    monkeypatch.setattr(site.cache, "set_many", set_many)
    site.now += COOLDOWN
    site.report("vacated", "news.3")
    assert site.cache.get(site.one._key("observed", PRIVATE))[2]
    assert site.one._pending == {}


def test_a_cache_that_takes_nothing_is_not_asked_for_each_event(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def fail(*args: Any, **kwargs: Any) -> None:
        calls.append(args)
        raise ConnectionError

    monkeypatch.setattr(site.cache, "set_many", fail)
    site.one.mark_occupied([PRIVATE])
    for _ in range(10):
        site.sends(PUBLIC)
    assert len(calls) == 1
    assert "get_many" not in site.cache.calls


def test_a_slow_cache_means_send(site: Site) -> None:
    vacate(site, PUBLIC)
    look_up = site.cache.get_many

    def slow(*args: Any) -> Any:
        site.now += 1
        return look_up(*args)

    site.cache.get_many = slow  # type: ignore[method-assign]
    assert site.sends(PUBLIC) == [PUBLIC]


@pytest.mark.parametrize("how", ["error", "refuses"])
def test_a_grant_that_could_not_be_written_is_pending(site: Site, how: str) -> None:
    vacate(site, PRIVATE)
    setattr(site.cache, how, ConnectionError() if how == "error" else True)
    site.one.mark_occupied([PRIVATE])
    setattr(site.cache, how, None)
    site.now += COOLDOWN
    assert site.sends(PRIVATE) == [PRIVATE]
    assert site.sends(PRIVATE, worker=site.two) == [PRIVATE]


def test_a_cache_that_answers_nothing_has_taken_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As django-redis does, where Django's own return the keys that have failed.
    set_many = site.cache.set_many

    def set_many_silently(*args: Any, **kwargs: Any) -> None:
        set_many(*args, **kwargs)

    monkeypatch.setattr(site.cache, "set_many", set_many_silently)
    vacate(site, PRIVATE)
    site.one.mark_occupied([PRIVATE])
    assert site.one._pending == {}
    assert site.sends(PRIVATE, worker=site.two) == [PRIVATE]


def test_what_is_pending_is_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_drf.occupancy.knowledge.MAX_PENDING", 5)
    site.service.occupied = {PUBLIC}
    vacate(site, PUBLIC)
    site.cache.error = ConnectionError()
    site.one.mark_occupied([PUBLIC, *(f"a.{n}" for n in range(5))])
    assert site.one._pending == {}
    site.cache.error = None
    site.now += COOLDOWN
    assert site.sends(PUBLIC) == [PUBLIC]


def test_what_can_never_be_written_does_not_stop_a_process_from_skipping_for_good(
    site: Site,
) -> None:
    site.cache.refuses = True
    site.one.mark_occupied([PRIVATE])
    site.now += BELIEVED_FOR - 1
    site.cache.set(site.one._key("observed", PUBLIC), (site.now - 60, 0.0, True))
    site.cache.set(site.one._key("vacated", PUBLIC), site.now)
    assert site.sends(PUBLIC) == [PUBLIC]
    site.now += 1
    assert site.sends(PUBLIC) == []


# A cache that goes back


@contextmanager
def going_back(site: Site) -> Iterator[None]:
    """Let the cache lose what is written within the block, as a failover to an older copy does."""
    before = dict(site.cache._cache)
    yield
    site.cache._cache.clear()
    site.cache._cache.update(before)


@pytest.mark.parametrize("how", ["granted", "observed", "listed"])
@pytest.mark.parametrize("channel", [PUBLIC, PRIVATE])
def test_a_process_that_knew_of_a_subscriber_sends_although_the_cache_has_lost_it(
    site: Site, how: str, channel: str
) -> None:
    vacate(site, channel)
    with going_back(site):
        if how == "granted":
            site.one.mark_occupied([channel])
        elif how == "observed":
            site.report("occupied", channel)
        else:
            site.one._remember({channel: site.now})
    site.service.supports_channel_info = False  # nobody else says so
    for _ in range(int(VACATED_FOR + GRACE)):
        site.now += 1
        assert site.sends(channel) == [channel]


def test_another_process_learns_of_it_from_a_listing(site: Site) -> None:
    vacate(site, PRIVATE)
    with going_back(site):
        site.one.mark_occupied([PRIVATE])
    site.service.occupied = {PRIVATE}
    site.now += 1
    assert site.sends(PRIVATE, worker=site.two) == []  # what remains
    assert site.sends(PRIVATE) == [PRIVATE]
    assert site.sends(PRIVATE, worker=site.two) == [PRIVATE]


def test_two_caches_after_a_deploy_are_two_copies_of_one(site: Site) -> None:
    vacate(site, PRIVATE)
    old, site.cache = site.cache, CountingCache(f"new-{id(site)}", {})
    site.report("vacated", PRIVATE)
    site.cache = old
    site.one.mark_occupied([PRIVATE])
    site.cache = CountingCache(f"new-{id(site)}", {})
    site.cache.set(site.one._key("observed", PRIVATE), (site.now - 60, 0.0, True))
    site.now += 1
    assert site.sends(PRIVATE) == [PRIVATE]


def test_a_process_that_saw_the_cache_fail_believes_nothing_that_it_said_before(
    site: Site,
) -> None:
    site.service.occupied = {PRIVATE}
    vacate(site, PRIVATE)
    with going_back(site):
        site.one.mark_occupied([PRIVATE])
    site.cache.error = ConnectionError()
    site.sends(PUBLIC, worker=site.two)
    site.cache.error = None
    site.now += COOLDOWN
    site.service.supports_channel_info = False
    assert site.sends(PRIVATE, worker=site.two) == [PRIVATE]
    site.now += GRACE
    site.report("vacated", PRIVATE)
    assert site.sends(PRIVATE, worker=site.two) == []


def test_what_a_process_remembers_for_itself_is_bounded(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_drf.occupancy.knowledge.MAX_RECENT", 10)
    worker = site.worker()
    vacate(site, PRIVATE)
    with going_back(site):
        worker.mark_occupied([PRIVATE])
        worker.mark_occupied(f"private-a.{number}" for number in range(10))
    assert sum(map(len, worker._recent._generations.values())) == 0
    site.service.supports_channel_info = False
    site.now += VACATED_FOR / 2
    assert site.sends(PRIVATE, worker=worker) == [PRIVATE]


def test_what_is_old_is_forgotten() -> None:
    now = 1000.0
    recent = RecentlyOccupied(10, 100, lambda: now)
    for _ in range(50):
        now += 5
        recent.add([f"a.{now:g}", "b"])
    assert sum(map(len, recent._generations.values())) <= 2 * (10 + 10) / 5
    assert (recent.latest("b"), recent.latest("a.1005")) == (now, 0.0)
    assert recent.latest(f"a.{now - 10:g}") == now - 10


def test_a_clock_that_is_set_back_makes_nothing_forgotten() -> None:
    now = 1000.5
    recent = RecentlyOccupied(10, 100, lambda: now)
    recent.add(["a"])
    now = 999.5
    recent.add(["b"])
    assert recent.latest("a") == 1000.5


def test_a_forked_child_knows_what_its_parent_knew(site: Site) -> None:
    vacate(site, PRIVATE)
    with going_back(site):
        site.one.mark_occupied([PRIVATE])
    site.service.supports_channel_info = False
    pid = os.fork()
    if not pid:
        os._exit(0 if site.sends(PRIVATE) == [PRIVATE] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_threads_lose_no_word_while_another_forgets_all() -> None:
    recent = RecentlyOccupied(1000, 50, time.time)
    lost: list[float] = []

    def note(thread: int) -> None:
        for number in range(300):
            started = time.time()
            recent.add([f"{thread}.{number}"])
            if recent.latest(f"{thread}.{number}") < started:
                lost.append(started)

    threads = [threading.Thread(target=note, args=[thread]) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []


def test_a_listing_that_fails_means_send_and_is_not_repeated_at_once(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.service.error = TransportUnavailable("down")
    assert [site.sends(PUBLIC) for _ in range(5)] == [[PUBLIC]] * 5
    assert site.service.asked == ["news."]
    assert len(caplog.records) == 1


def test_the_listing_is_by_the_prefix_of_most(site: Site) -> None:
    channels = ["todos", "private-lists.1", "private-lists.2", "presence-a.b.1"]
    site.sends(*channels)
    assert site.service.asked == ["private-lists."]


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("private-lists.5", "private-lists."),
        ("private-lists.my-list", "private-lists."),
        ("private-shop.orders.5", "private-shop.orders."),
        ("private-tenants.5.todos", "private-tenants."),
        ("private-v2.lists.af31bc9e-8d2f-4f0e-9a55-0b6f9a1ce7b1", "private-v2.lists."),
        ("private-boards.af31bc9e-8d2f-4f0e-9a55-0b6f9a1ce7b1.cards", "private-boards."),
        ("private-room-5", "private-room-"),
        ("private-room-af31bc9e-8d2f-4f0e-9a55-0b6f9a1ce7b1", "private-room-"),
        ("presence-room_5", "presence-room_"),
        ("room-5", "room-"),
        ("private-encrypted-room-5", "private-encrypted-room-"),
        ("private-5.todos", "private-5.todos"),
        ("private-5-todos", "private-5-todos"),
        ("private-dashboard", "private-dashboard"),
        ("todos", "todos"),
        ("-", "-"),
        (".", "."),
    ],
)
def test_what_is_listed_along_with_a_channel(name: str, prefix: str) -> None:
    assert get_prefix(name) == prefix


@pytest.mark.parametrize("pattern", ["private-room-{}", "private-tenants.{}.todos", "private-{}x"])
def test_no_listing_is_asked_for_each_channel(site: Site, pattern: str) -> None:
    names = [pattern.format(number) for number in range(30)]
    for name in names:
        site.sends(name)
    assert len(site.service.asked) == 1
    site.now += GRACE + 1
    site.cache.delete(site.one._key("asked", ""))
    site.cache.delete(site.one._key("asked", get_prefix(names[0])))
    sent = [name for name in names if site.sends(name)]
    assert len(site.service.asked) == 2
    # Those that share nothing take turns, and are sent until then.
    assert len(sent) == (29 if get_prefix(names[0]) == names[0] else 0)


def test_a_listing_that_is_too_long_is_not_kept(site: Site) -> None:
    site.service.occupied = {f"news.{n}" for n in range(2, MAX_LISTED + 3)}
    assert site.sends(PUBLIC) == []
    assert site.sends(PUBLIC) == [PUBLIC]


def test_a_transport_without_a_listing_is_not_asked(site: Site) -> None:
    site.service.supports_channel_info = False
    assert site.sends(PUBLIC) == [PUBLIC]
    assert site.service.asked == []
    vacate(site, PUBLIC)


def test_only_what_is_vacant_is_left_out_and_the_event_stays_the_same(site: Site) -> None:
    vacate(site, PUBLIC)
    site.report("occupied", "todos")
    event = Event("e", ["todos", PUBLIC], {"a": 1}, socket_id="1.1")
    other = Event("f", PUBLIC)
    (left,) = site.one.filter([event, other])
    assert (left.id, left.channels, left.body, left.socket_id) == (
        event.id,
        ("todos",),
        event.body,
        "1.1",
    )


@pytest.mark.parametrize(
    "channel",
    ["cache-a", "private-cache-a", "private-encrypted-cache-a", "#server-to-user-7"],
)
def test_what_is_kept_for_later_or_not_reported_is_never_skipped(site: Site, channel: str) -> None:
    site.report("vacated", channel)
    assert site.sends(channel) == [channel]
    assert site.cache.calls == ()


def test_one_round_trip_when_warm(site: Site) -> None:
    channels = [f"news.{n}" for n in range(100)]
    for channel in channels:
        site.report("occupied", channel)
    site.cache.calls = ()
    site.one.filter([Event("e", channels[:50]), Event("f", channels[50:])])
    assert site.cache.calls == ["get_many"]


@pytest.mark.parametrize("service", [Service("other", "1"), Service("default", "2")])
def test_aliases_and_apps_share_nothing(site: Site, service: Service) -> None:
    vacate(site, PUBLIC)
    service.occupied = {PUBLIC}
    assert site.sends(PUBLIC, worker=site.worker(service)) == [PUBLIC]


@pytest.mark.parametrize("what", ["observed", "vacated", "listing"])
@pytest.mark.parametrize("value", ["text", 7, (1, 2, 3, 4), ("a", "b", "c"), [1.0, None], {}])
def test_what_another_version_has_written_is_not_known(
    site: Site, what: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    vacate(site, PUBLIC)
    site.cache.set(site.one._key(what, "news." if what == "listing" else PUBLIC), value)
    site.service.occupied = {PUBLIC}
    assert site.sends(PUBLIC) == ([] if what == "listing" else [PUBLIC])
    site.report("occupied", "news.2")
    site.now += SKEW + 1
    site.report("vacated", "news.2")
    assert site.sends("news.2") == [], "the cache is asked on"
    assert caplog.records == []


def test_a_request_waits_for_a_listing_no_longer_than_its_timeout() -> None:
    over = threading.Event()
    started = time.monotonic()
    with pytest.raises(TransportUnavailable):
        call_within(lambda: over.wait(10), 0.05)
    assert time.monotonic() - started < LISTING_TIMEOUT
    over.set()
    assert call_within(lambda: 7, 5) == 7
    with pytest.raises(KeyError):
        call_within(lambda: {}["x"], 5)


# In a project


@pytest.fixture
def entry(settings: Settings) -> Iterator[dict[str, Any]]:
    caches["default"].clear()
    entry: dict[str, Any] = {"TRANSPORT": PATH, "SKIP_VACANT": "all"}
    settings.REALTIME_TRANSPORTS = {"default": entry}
    yield entry
    caches["default"].clear()


@pytest.mark.django_db(transaction=True)
def test_publish_skips_what_is_vacant(entry: dict[str, Any]) -> None:
    transport: Any = transports["default"]
    transport.subscribe("room.1")
    publish(Event("e", ["room.1", "room.2"]), Event("f", "room.2"))
    assert [(event.name, event.channels) for event in transport.outbox] == [("e", ("room.1",))]
    publish(Event("f", "room.2"))
    assert len(transport.batches) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "channel", ["room.1", "private-room.1", "presence-room.1", "private-encrypted-room.1"]
)
@pytest.mark.parametrize("skip_vacant", [False, True, "all"])
def test_the_setting_says_for_which_channels(
    entry: dict[str, Any], settings: Settings, skip_vacant: Any, channel: str
) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {**entry, "SKIP_VACANT": skip_vacant}}
    transport: Any = transports["default"]
    occupancy = occupancies["default"]
    now = time.time()
    for seconds, kind in ((-60, "channel_occupied"), (0, "channel_vacated")):
        occupancy._clock = lambda at=now + seconds: at
        event = WebhookEvent(kind=kind, channel=channel, time_ms=int((now + seconds) * 1000))
        occupancy.learn([event])
    transport.occupied_channels = None  # it is not asked
    publish(Event("e", channel))
    skipped = skip_vacant if "-" in channel else skip_vacant == "all"
    assert len(transport.outbox) == (not skipped)


class Delayed:
    """A delivery that sends on demand."""

    def __init__(self) -> None:
        self.batches: list[tuple[Any, Any]] = []

    def deliver(self, transport: Any, events: Any) -> None:
        self.batches.append((transport, events))

    def send(self) -> None:
        for transport, events in self.batches:
            send(transport, events)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_vacant", ["when it is published", "when it is sent"])
def test_a_delayed_delivery_skips_by_what_is_known_when_it_sends(
    entry: dict[str, Any], settings: Settings, is_vacant: str
) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {**entry, "DELIVERY": f"{__name__}.Delayed"}}
    transport: Any = transports["default"]
    transport.occupied_channels = None  # it is not asked
    delivery, occupancy = deliveries["default"], occupancies["default"]
    assert isinstance(delivery, Delayed)
    now = time.time()

    def learn(kind: str, at: float) -> None:
        occupancy._clock = lambda: at
        occupancy.learn([WebhookEvent(kind=kind, channel="a", time_ms=int(at * 1000))])

    learn("channel_occupied", now - 60)
    if is_vacant == "when it is published":
        learn("channel_vacated", now)
    publish(Event("e", "a"), Event("f", "cache-a"))
    learn("channel_vacated" if is_vacant == "when it is sent" else "channel_occupied", now + 1)
    sent = []

    def receiver(event: Event, **kwargs: Any) -> None:
        sent.append(event.name)

    event_published.connect(receiver)
    try:
        delivery.send()
    finally:
        event_published.disconnect(receiver)
    expected = ["f"] if is_vacant == "when it is sent" else ["e", "f"]
    assert [event.name for event in transport.outbox] == sent == expected


@pytest.mark.django_db(transaction=True)
def test_it_is_off_by_default(recording: Any) -> None:
    publish(Event("e", "a"))
    assert [event.name for event in recording.outbox] == ["e"]


@pytest.mark.django_db(transaction=True)
def test_webhooks_feed_it(settings: Settings) -> None:
    pytest.importorskip("pusher")
    settings.ROOT_URLCONF = "realtime_drf.urls"
    settings.REALTIME_TRANSPORTS = {
        "default": {"TRANSPORT": PUSHER, "OPTIONS": OPTIONS, "SKIP_VACANT": "all"}
    }
    occupancy = occupancies["default"]
    now = time.time()
    occupancy._clock = lambda: now - 60
    body = make_body("channel_occupied")
    assert Client().post("/webhooks/", body, "application/json", headers=sign(body)).status_code
    occupancy._clock = lambda: now + 1
    body = make_body("channel_vacated")
    assert Client().post("/webhooks/", body, "application/json", headers=sign(body)).status_code
    assert occupancy.filter([Event("e", "room")]) == []


def test_the_seeds_setting_turns_it_on_for_public_channels_too(settings: Settings) -> None:
    from realtime_drf.conf import read_config

    del settings.REALTIME_TRANSPORTS
    settings.PUSHER_KEY = "key"
    assert not read_config("default").skip_vacant
    settings.DRF_MODEL_PUSHER_WEBHOOK_OPTIMISATION_ENABLED = True
    assert read_config("default").skip_vacant == "all"


@pytest.mark.django_db(transaction=True)
def test_the_authorization_view_marks_what_it_grants(
    settings: Settings, entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    decisions = [Grant(channel="private-a"), Denial(channel="private-b")]
    monkeypatch.setattr("realtime_drf.views.decide", lambda request, names, **how: decisions)
    settings.ROOT_URLCONF = "realtime_drf.urls"
    form = {"socket_id": "1.1", "channel_names": ["private-a", "private-b"]}
    assert Client().post("/auth/", form).status_code == 200
    cache, occupancy = caches["default"], occupancies["default"]
    assert cache.get(occupancy._key("observed", "private-a"))[2]
    assert cache.get(occupancy._key("observed", "private-b")) is None


MEMORY = "realtime_drf.transports.memory.MemoryTransport"
SHARED = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "x"}}


def checked() -> list[str]:
    return [str(message.id) for message in run_checks(tags=["realtime_drf"])]


def test_checks(settings: Settings) -> None:
    entry: dict[str, Any] = {"TRANSPORT": MEMORY, "SKIP_VACANT": True}
    settings.REALTIME_TRANSPORTS = {"default": entry}
    for backend in ("locmem.LocMemCache", "dummy.DummyCache"):
        settings.CACHES = {"default": {"BACKEND": f"django.core.cache.backends.{backend}"}}
        assert checked() == ["realtime_drf.W004"]
    settings.CACHES = SHARED
    assert checked() == []
    settings.REALTIME_CACHE = "other"
    assert checked() == ["realtime_drf.E005"]
    settings.CACHES = {**settings.CACHES, "other": SHARED["default"]}
    assert checked() == []
    entry["TRANSPORT"] = "realtime_drf.transports.console.ConsoleTransport"
    settings.REALTIME_TRANSPORTS = {"default": {**entry}}
    assert checked() == ["realtime_drf.E011"]
    settings.REALTIME_TRANSPORTS = {"default": {**entry, "ENABLED": False}}
    assert checked() == []


@pytest.mark.parametrize("value", [1, 0, None, "True", "ALL", "private", ["all"], "public"])
def test_what_the_setting_cannot_be_is_a_check_error(settings: Settings, value: Any) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": MEMORY, "SKIP_VACANT": value}}
    [message] = run_checks(tags=["realtime_drf"])
    assert message.id == "realtime_drf.E001"
    assert message.msg.startswith("REALTIME_TRANSPORTS['default']: 'SKIP_VACANT' is True")
    assert message.msg.endswith(f"not {value!r}.")
