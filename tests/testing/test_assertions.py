"""Assertions find what is meant, and say what there was instead."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from hypothesis import given

from realtime_drf import Event, publish
from realtime_drf.channels import UserChannel
from realtime_drf.testing import Outbox, captured_events
from realtime_drf.testing.matching import data_mismatch
from realtime_drf.testing.strategies import json_values

DATA = {"id": 1, "title": "milk", "tags": ["a", {"n": 1, "m": 2}], "done": False, "price": 1.5}


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    with captured_events() as outbox:
        publish(Event("todo.create", ["todos", "private-lists.1"], DATA))
        publish(Event("todo.create", UserChannel(7), {"id": 2}, socket_id="1.2"))
        publish(Event("news", "todos"), transport="other")
        yield outbox


@pytest.mark.parametrize(
    ("expected", "ids"),
    [
        ({}, [1, 2]),
        ({"channel": "private-lists.1"}, [1]),
        ({"channel": UserChannel(7)}, [2]),
        ({"data": {"id": 2}}, [2]),
        ({"data": {}}, [1, 2]),
        ({"data": {"tags": ["a", {"n": 1}]}, "times": 1}, [1]),
        ({"data": {"title": mock.ANY}}, [1]),
        ({"data": {"price": pytest.approx(1.5000001)}}, [1]),
        ({"transport": "default", "times": 2}, [1, 2]),
    ],
)
def test_what_matches_is_returned(outbox: Outbox, expected: Any, ids: list[int]) -> None:
    found = outbox.assert_published("todo.create", **expected)
    assert [event.data["id"] for event in found] == ids


def test_none_may_be_what_is_expected(outbox: Outbox) -> None:
    assert outbox.assert_published("news", data=None)
    assert outbox.assert_published("nothing", times=0) == []


@pytest.mark.parametrize(
    ("expected", "difference"),
    [
        ({"channel": "nowhere"}, "it did not go to nowhere"),
        ({"transport": "other"}, "it went by 'default'"),
        ({"data": {"title": "bread"}}, "data['title'] is 'milk', not 'bread'"),
        ({"data": {"owner": 1}}, "data has no 'owner'"),
        ({"data": {"tags": ["a", {"n": 2}]}}, "data['tags'][1]['n'] is 1, not 2"),
        ({"data": {"tags": ["a"]}}, "data['tags'] has 2 item(s), not 1"),
        ({"data": {"done": 0}}, "data['done'] is False, not 0"),
        ({"data": {"id": True}}, "data['id'] is 1, not True"),
        ({"data": None}, "not None"),
        ({"data": {"title": None}}, "data['title'] is 'milk', not None"),
        ({"data": {"title": {1, 2}}}, "data['title'] is 'milk', not {1, 2}"),
        ({"times": 3}, "Expected 3 time(s), found 2 time(s): todo.create"),
        ({"times": 1, "data": {}}, "this one matches"),
    ],
)
def test_what_differs_is_said(outbox: Outbox, expected: Any, difference: str) -> None:
    with pytest.raises(AssertionError) as caught:
        outbox.assert_published("todo.create", **expected)
    text = str(caught.value)
    assert difference in text
    assert "1. todo.create to todos, private-lists.1 {" in text
    assert "2. todo.create to #server-to-user-7 (not to its sender) {" in text
    assert "3. news to todos by 'other' null" in text
    assert "1.2" not in text


def test_that_there_was_nothing_is_said() -> None:
    with pytest.raises(AssertionError, match=r"found 0 time\(s\): a to x with 1\nNothing was"):
        Outbox().assert_published("a", channel="x", data=1)


def test_what_was_not_expected_is_shown(outbox: Outbox) -> None:
    with pytest.raises(AssertionError, match=r"(?s)Expected nothing.*3\. news to todos"):
        outbox.assert_nothing_published()


@pytest.mark.parametrize(
    ("value", "rendered"),
    [
        (decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID(int=1), str(uuid.UUID(int=1))),
        (datetime.date(2030, 1, 31), "2030-01-31"),
        ((1, 2), [1, 2]),
        ({1: "a"}, {"1": "a"}),
    ],
)
def test_values_are_compared_as_they_are_rendered(value: Any, rendered: Any) -> None:
    assert data_mismatch({"v": value}, {"v": rendered}) is None


@given(json_values())
def test_data_matches_itself(data: Any) -> None:
    assert data_mismatch(data, Event("a", "x", data).data) is None


def test_a_snapshot_is_the_same_in_each_run(outbox: Outbox) -> None:
    assert outbox.snapshot(mask=["id", "tags"])[:2] == [
        {
            "transport": "default",
            "name": "todo.create",
            "channels": ["todos", "private-lists.1"],
            "data": {**DATA, "id": "<id>", "tags": "<tags>"},
            "excludes_sender": False,
        },
        {
            "transport": "default",
            "name": "todo.create",
            "channels": ["#server-to-user-7"],
            "data": {"id": "<id>"},
            "excludes_sender": True,
        },
    ]
    publish(Event("deep", "x", [{"inner": {"id": 5}}]))
    assert outbox.snapshot(mask=["id"])[-1]["data"] == [{"inner": {"id": "<id>"}}]
