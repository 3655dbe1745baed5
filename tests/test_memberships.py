"""A user with several connections joins a presence channel once, and leaves it once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.cache import caches
from hypothesis import given
from hypothesis import strategies as st

from realtime_drf.memberships import merge_connections
from realtime_drf.webhook_events import WebhookEvent


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    caches["default"].clear()


def member(
    kind: str, connection: str | None, at: int = 0, *, user: str = "7", channel: str = "presence-x"
) -> WebhookEvent:
    details: dict[str, Any] = {"user_id": user}
    if connection is not None:
        details["connection_id"] = connection
    return WebhookEvent(kind=f"member_{kind}", channel=channel, time_ms=at, details=details)


def kinds(*events: WebhookEvent, alias: str = "default") -> list[str]:
    return [event.kind.removeprefix("member_") for event in merge_connections(alias, events)]


def test_tabs_of_a_user_are_one_member() -> None:
    assert kinds(member("added", "a", 1), member("added", "b", 2)) == ["added"]
    assert kinds(member("removed", "a", 3)) == []
    assert kinds(member("added", "c", 4), member("removed", "b", 5)) == []
    assert kinds(member("removed", "c", 6)) == ["removed"]
    # With the same connection, too.
    assert kinds(member("added", "c", 7), member("removed", "c", 8)) == ["added", "removed"]


def test_each_user_channel_and_transport_is_counted_by_itself() -> None:
    assert kinds(member("added", "a")) == ["added"]
    assert kinds(member("added", "b", user="8")) == ["added"]
    assert kinds(member("added", "a", channel="presence-y")) == ["added"]
    assert kinds(member("added", "a"), alias="other") == ["added"]


def test_what_services_report_of_users_and_of_else_stays_as_it_is() -> None:
    events = [
        member("added", None),
        member("added", None),
        WebhookEvent(kind="channel_occupied", channel="presence-x", time_ms=0),
        WebhookEvent(kind="client_event", channel="x", time_ms=0, details={"connection_id": "a"}),
    ]
    assert list(merge_connections("default", events * 2)) == events * 2


def test_what_is_not_reached_may_come_again() -> None:
    events = [member("added", "a", 1), member("added", "b", 1, user="8")]
    assert next(merge_connections("default", events)) is events[0]
    assert list(merge_connections("default", events)) == [events[1]]


def test_what_comes_late_or_twice_changes_nothing() -> None:
    assert kinds(member("added", "a", 1), member("added", "a", 1)) == ["added"]
    assert kinds(member("removed", "b", 5)) == []  # while a is there
    assert kinds(member("added", "b", 4)) == []
    assert kinds(member("removed", "a", 6), member("removed", "a", 6)) == ["removed"]


def test_who_was_not_heard_to_come_is_heard_to_go() -> None:
    assert kinds(member("removed", "a", 5)) == ["removed"]
    assert kinds(member("added", "a", 6)) == ["added"]


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30)


@given(STEPS)
def test_who_is_told_of_knows_who_is_there(steps: Sequence[tuple[str, bool]]) -> None:
    caches["default"].clear()
    there: set[str] = set()
    told = False
    for at, (connection, enters) in enumerate(steps):
        if enters == (connection in there):
            continue
        (there.add if enters else there.remove)(connection)
        for kind in kinds(member("added" if enters else "removed", connection, at)):
            assert told == (kind == "removed")
            told = kind == "added"
        assert told == bool(there)


def test_processes_count_side_by_side() -> None:
    connections = [str(number) for number in range(16)]
    together = threading.Barrier(len(connections))

    def take(kind: str, at: int, connection: str) -> list[str]:
        together.wait(10)
        return kinds(member(kind, connection, at))

    with ThreadPoolExecutor(len(connections)) as pool:
        for at, kind in enumerate(["added", "removed"] * 5):
            told = pool.map(take, [kind] * 16, [at] * 16, connections)
            assert [each for found in told for each in found] == [kind]


class Down:
    def __getattr__(self, name: str) -> Any:
        raise ConnectionError("redis://:pa55word@localhost")


def test_without_a_cache_each_connection_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("realtime_drf.memberships.caches", {"default": Down()})
    assert kinds(member("added", "a"), member("added", "b")) == ["added", "added"]
    assert "ConnectionError" in caplog.text
    assert "pa55word" not in caplog.text
