from __future__ import annotations

import array
import copy
import dataclasses
import datetime
import enum
import io
import ipaddress
import json
import math
import pickle
import re
import types
import uuid
from collections import OrderedDict, deque, namedtuple
from collections.abc import KeysView
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.files.base import ContentFile
from django.db import models
from django.db.models import FileField
from django.db.models.fields.files import FieldFile
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy, ngettext_lazy
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer

from realtime_drf import Event
from realtime_drf.channels import UserChannel
from realtime_drf.exceptions import InvalidEvent
from realtime_drf.names import ChannelKind
from realtime_drf.rendering import MAX_DEPTH, render
from realtime_drf.testing.strategies import channel_names, event_names, events, json_values, texts
from tests.todos.models import Todo


class Colour(models.TextChoices):
    RED = "r", "Red"


class Plain(str, enum.Enum):  # noqa: UP042  the older spelling is what this tests
    A = "a"


class Level(enum.IntEnum):
    HIGH = 3


Point = namedtuple("Point", "x y")
UTC = datetime.UTC


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, "null"),
        (True, "true"),
        (0, "0"),
        (2**70, str(2**70)),
        (1.5, "1.5"),
        ("ä €\u2028😀", '"ä €\u2028😀"'),
        (Decimal("1.10"), '"1.10"'),
        (Decimal("1E+3"), '"1000"'),
        (Decimal("0.1") + Decimal("0.2"), '"0.3"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), '"2026-01-02T03:04:05Z"'),
        (datetime.date(2026, 1, 2), '"2026-01-02"'),
        (datetime.time(3, 4), '"03:04:00"'),
        (datetime.timedelta(seconds=90), '"90.0"'),
        (ipaddress.ip_address("127.0.0.1"), '"127.0.0.1"'),
        (ipaddress.ip_address("::1"), '"::1"'),
        (ipaddress.ip_network("10.0.0.0/8"), '"10.0.0.0/8"'),
        (ipaddress.ip_network("2001:db8::/32"), '"2001:db8::/32"'),
        (ipaddress.ip_interface("10.0.0.1/8"), '"10.0.0.1/8"'),
        (ipaddress.ip_interface("2001:db8::1/32"), '"2001:db8::1/32"'),
        (gettext_lazy("Yes"), '"Yes"'),
        (ngettext_lazy("%d day", "%d days") % 2, '"2 days"'),
        (mark_safe("<b>"), '"<b>"'),
        (Colour.RED, '"r"'),
        (Plain.A, '"a"'),
        (Level.HIGH, "3"),
        ((1, [2, (3,)]), "[1,[2,[3]]]"),
        (Point(1, 2), "[1,2]"),
        (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        (types.MappingProxyType({"a": 1}), '{"a":1}'),
        ({1: "x", "2": "y", gettext_lazy("Yes"): "z"}, '{"1":"x","2":"y","Yes":"z"}'),
        (array.array("i", [1, 2]), "[1,2]"),
        (iter([1, 2]), "[1,2]"),
        ((each for each in "ab"), '["a","b"]'),
        (map(str, [1, 2]), '["1","2"]'),
        (range(3), "[0,1,2]"),
        (deque([1, 2]), "[1,2]"),
        ({"a": 1}.keys(), '["a"]'),
        ({"a": 1}.values(), "[1]"),
        ({"a": 1}.items(), '[["a",1]]'),
        (types.MappingProxyType({"a": 1}).keys(), '["a"]'),
        (KeysView({"a": 1}), '["a"]'),
        (Todo.objects.none(), "[]"),
    ],
)
def test_data_is_rendered_exactly(data: Any, expected: str) -> None:
    assert render(data) == expected


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
        datetime.datetime(2026, 1, 2, 3, 4, 5, 678),
        datetime.date(2026, 1, 2),
        datetime.time(3, 4, 5, 678),
        datetime.timedelta(days=1, microseconds=5),
    ],
)
def test_times_in_a_json_field_are_written_as_drf_writes_them(value: Any) -> None:
    field = serializers.JSONField()
    data = field.to_representation({"at": [value]})
    assert render(data) == JSONRenderer().render(data).decode()


CYCLE: list[Any] = []
CYCLE.append({"again": CYCLE})


@pytest.mark.parametrize(
    ("data", "path", "why"),
    [
        ({"a": [1, math.nan]}, "data['a'][1]", "nan"),
        ({"a": math.inf}, "data['a']", "inf"),
        (Decimal("NaN"), "data", "NaN"),
        ([Decimal("-Infinity")], "data[0]", "Infinity"),
        ({"tags": {"x"}}, "data['tags']", "sorted list"),
        ({"a": {"b": b"x"}}, "data['a']['b']", "decode"),
        (Todo(title="x"), "data", "serialize"),
        ({"todo": Todo(title="x")}, "data['todo']", "serialize"),
        ([Todo(title="x")].__iter__(), "data[0]", "serialize"),
        (bytearray(b"x"), "data", "decode"),
        (frozenset("a"), "data", "no order"),
        (io.StringIO("a"), "data", "file"),
        (ContentFile("a"), "data", "file"),
        (FieldFile(Todo(), FileField(), None), "data", "file"),  # of a row that has none
        ({"a": (x for x in [1, {2}])}, "data['a'][1]", "no order"),
        (CYCLE, "data[0]['again']", "itself"),
        ({None: 1}, "data", "key None"),
        ({True: 1}, "data", "key True"),
        ({1.5: 1}, "data", "key 1.5"),
        ({1: "a", "1": "b"}, "data", "'1'"),
        ({"x": object()}, "data['x']", "object"),
        ({"x": "\ud800"}, "data['x']", "surrogate"),
        (datetime.time(3, 4, tzinfo=UTC), "data", "time"),
        (1j, "data", "complex"),
    ],
)
def test_what_has_no_exact_form_is_refused_by_its_path(data: Any, path: str, why: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        Event("a.b", "x", data)
    assert f"{path} cannot" in str(caught.value)
    assert why in str(caught.value)


def test_depth_is_bounded() -> None:
    def nested(levels: int) -> Any:
        return [nested(levels - 1)] if levels else 1

    assert render(nested(MAX_DEPTH))
    with pytest.raises(InvalidEvent, match="levels deep"):
        render(nested(MAX_DEPTH + 1))
    with pytest.raises(InvalidEvent, match="levels deep"):
        render(nested(900))


def test_the_same_object_twice_is_no_cycle() -> None:
    shared = {"a": 1}
    assert Event("a", "x", [shared, shared]).data == [{"a": 1}, {"a": 1}]


@given(event_names(), st.lists(channel_names(ChannelKind), min_size=1, max_size=5), json_values())
def test_an_event_reads_back_what_was_put_in(name: str, channels: list[str], data: Any) -> None:
    event = Event(name, channels, data)
    assert event.data == data
    assert event.channels == tuple(dict.fromkeys(channels))
    assert json.loads(event.body.encode().decode()) == data


def test_data_is_rendered_once_and_later_changes_do_not_reach_it() -> None:
    data = {"tags": ["a"]}
    event = Event("a", "x", data)
    data["tags"].append("b")
    event.data["tags"].append("c")
    assert event.data == {"tags": ["a"]}


@pytest.mark.parametrize("name", ["", "x" * 201, "pusher:reserved", None, 7, b"a"])
def test_a_name_is_checked_where_the_event_is_made(name: Any) -> None:
    with pytest.raises(InvalidEvent):
        Event(name, "x")


def test_an_id_is_32_hexadecimal_digits() -> None:
    for event in (made := Event("a", "x"), made.as_published()):
        assert len(event.id) == 32
        assert set(event.id) <= set("0123456789abcdef")


def test_channels_may_be_one_or_several_names_or_objects() -> None:
    assert Event("a", "x").channels == ("x",)
    assert Event("a", UserChannel(7)).channels == ("#server-to-user-7",)
    assert Event("a", iter(["x", UserChannel("u"), "x"])).channels == ("x", "#server-to-user-u")


@pytest.mark.parametrize("channels", [[], "", [""], None, 7, [7], ["x", None], b"x", [Todo()]])
def test_what_is_no_channel_is_refused(channels: Any) -> None:
    with pytest.raises(InvalidEvent):
        Event("a", channels)


def test_a_user_channel_takes_a_user_or_an_id() -> None:
    assert UserChannel(Todo(pk=5)).name == "#server-to-user-5"
    for wrong in ("a b", None, True, Todo(), AnonymousUser()):
        with pytest.raises(InvalidEvent):
            UserChannel(wrong)


def test_a_socket_id_is_text_or_nothing() -> None:
    with pytest.raises(InvalidEvent, match="socket id"):
        Event("a", "x", socket_id=1.5)  # type: ignore[arg-type]


def test_an_event_is_a_value() -> None:
    event = Event("a", ["x"], {"b": 1}, socket_id="1.2")
    same = Event("a", "x", {"b": 1}, socket_id="1.2")
    assert event == same
    assert event.id != same.id
    assert hash(event) == hash(same)
    assert event != Event("a", "x", {"b": 2}, socket_id="1.2")
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.name = "b"  # type: ignore[misc]
    for copied in (copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert copied == event
        assert copied.id == event.id


def test_each_publish_of_an_event_has_an_id_of_its_own_which_is_kept_from_then_on() -> None:
    constant = Event("reload", ["x", "y"], 1, socket_id="1.2")
    one, other = constant.as_published(), constant.as_published()
    assert one == other == constant
    assert len({constant.id, one.id, other.id}) == 3
    for again in (one, one.to(["x"]), one.replace(socket_id=None), pickle.loads(pickle.dumps(one))):
        assert again.as_published().id == one.id


def test_the_socket_id_is_neither_in_the_repr_nor_in_the_body() -> None:
    event = Event("a", "x", {"b": 1}, socket_id="123.456")
    assert "123.456" not in repr(event)
    assert "123.456" not in event.body


def test_parts_and_copies_of_an_event_keep_its_id() -> None:
    event = Event("a", ["x", "y"], 1, socket_id="1.2")
    assert event.to(["y"]) == Event("a", ["y"], 1, socket_id="1.2")
    assert event.replace(socket_id=None) == Event("a", ["x", "y"], 1)
    assert event.replace(name="b", data={"n": 2}) == Event(
        "b", ["x", "y"], {"n": 2}, socket_id="1.2"
    )
    assert event.replace(channels=UserChannel(7)).channels == ("#server-to-user-7",)
    assert event.to(["y"]).id == event.replace(name="b").id == event.id
    for wrong in ({"name": ""}, {"channels": []}, {"data": {1j}}, {"socket_id": 7}):
        with pytest.raises(InvalidEvent):
            event.replace(**wrong)


@given(event=events(), socket_id=st.none() | texts(), is_published=st.booleans())
def test_a_dumped_event_is_the_same_when_it_is_loaded(
    event: Event, socket_id: str | None, is_published: bool
) -> None:
    event = event.replace(socket_id=socket_id)
    event = event.as_published() if is_published else event
    loaded = Event.load(json.loads(json.dumps(event.dump())))
    assert loaded == event
    assert (loaded.id, loaded.body) == (event.id, event.body)
    assert (loaded.as_published().id == event.id) is is_published


def test_a_body_is_loaded_as_it_was_written() -> None:
    body = '{ "a":1.0, "b" : "\\u00fc" }'  # as no render() of ours writes it
    loaded = Event.load({**Event("a", "x").dump(), "body": body, "later": "key"})
    assert loaded.body == body
    assert loaded.data == {"a": 1.0, "b": "ü"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"id": 7}, "'id' of a dumped event must be a str, not int."),
        ({"id": "7"}, "32 hexadecimal digits"),
        ({"name": "pusher:x"}, "reserved"),
        ({"channels": "x"}, "'channels' of a dumped event must be a list, not str."),
        ({"channels": []}, "at least one channel"),
        ({"channels": ["a b"]}, "not a legal name"),
        ({"body": {"a": 1}}, "'body' of a dumped event must be a str, not dict."),
        ({"body": "{hunter2"}, "'body' of a dumped event is not JSON text."),
        ({"body": "NaN"}, "not JSON text"),
        ({"body": '"\ud800"'}, "not JSON text"),
        ({"socket_id": 1.5}, "must be a str or None, not float"),
        ({"is_published": None}, "must be a bool, not NoneType"),
    ],
)
def test_what_is_no_dumped_event_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEvent, match=re.escape(message)) as caught:
        Event.load({**Event("a", "x").dump(), **wrong})
    assert caught.value.__cause__ is None
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", Event("a", "x").dump())
def test_a_dumped_event_has_all_its_keys(key: str) -> None:
    dumped = Event("a", "x").dump()
    del dumped[key]
    with pytest.raises(InvalidEvent, match=f"has no '{key}'"):
        Event.load(dumped)
    with pytest.raises(InvalidEvent, match="is a dict, not list"):
        Event.load(list(dumped))  # type: ignore[arg-type]
