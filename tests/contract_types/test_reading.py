"""What the contract has of backends, channel classes and declarations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.models import F
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework import serializers

from realtime_drf import Event, RealtimeBackend, UserChannel
from realtime_drf.changes import Change
from realtime_drf.channels import registry as channel_registry
from realtime_drf.contract import declare
from realtime_drf.contract.places import locate
from realtime_drf.contract.reading import read_contract
from realtime_drf.exceptions import InvalidEvent
from realtime_drf.names import parse_channel_name
from tests.contract_types.project import (
    DoorChannel,
    LobbyChannel,
    NoteSerializer,
    ParcelSerializer,
    RoomChannel,
    SecretChannel,
    ShelfChannel,
    StaffChannel,
)
from tests.examples import scaled
from tests.todos.models import Note, Parcel, ShoppingTodo

NOTE = {"$ref": "#/components/schemas/Note"}
ANYTHING: dict[str, Any] = {}


def read(channel: Any) -> dict[str, Any]:
    """Return the schemas of the events on a channel."""
    return dict(read_contract().channels[locate(channel)])


@pytest.mark.usefixtures("project")
def test_each_channel_has_the_events_of_its_backends_and_its_own() -> None:
    contract = read_contract()
    assert {place.address: set(events) for place, events in contract.channels.items()} == {
        "#server-to-user-{user_id}": {"import.finished", "parcel.create", "parcel.delete"},
        "cache-parcels": {"parcel.create", "parcel.delete"},
        "notes": {
            *("note.create", "note.update", "note.delete", "note.refresh"),
            *("import.finished", "notes.sorted"),
        },
        "presence-rooms.{room}.{floor}": set(),
        "private-shelves.{pk}": {
            *("note.create", "note.update", "note.delete", "note.refresh", "closing"),
        },
        "private-staff.editors": {"note.create", "note.update", "note.delete"},
        "private-staff.{team}": set(),
        "seats": {"seat.create", "seat.update", "seat.delete"},
    }
    assert list(contract.components) == ["Note", "Parcel", "Seat", "StaffNote"]
    assert contract.unknown == []


@pytest.mark.parametrize(
    ("channel", "names", "others"),
    [
        (
            ShelfChannel,
            ["private-shelves.5", "private-shelves.0"],
            ["private-shelves.05", "private-shelves.a", "private-shelves.5.6", "shelves.5"],
        ),
        (StaffChannel(team="a"), ["private-staff.a"], ["private-staff.b", "private-staffxa"]),
        (UserChannel, ["#server-to-user-7"], ["#server-to-user-"]),
        (UserChannel(F("owner")), ["#server-to-user-ann"], ["user-ann"]),
        (UserChannel(7), ["#server-to-user-7"], ["#server-to-user-77"]),
        (
            RoomChannel,
            ["presence-rooms.0e984725-c51c-4bf4-9960-e1c80e27aba0.3"],
            ["presence-rooms.x.3"],
        ),
        (LobbyChannel, ["a", "a-b"], ["a.b", ""]),
        (
            DoorChannel(floor=F("floor"), door="a"),
            ["floors.3.doors-a-open"],
            ["floors.3.doors-b-open", "floors.3.doors-a", "floors.3.doors-a-open.x"],
        ),
        (DoorChannel, ["floors.3.doors-b-open"], ["floors.3.doors--open"]),
        ("todos", ["todos"], ["todos.1"]),
    ],
)
def test_a_place_matches_the_names_of_its_channels(
    channel: Any, names: list[str], others: list[str]
) -> None:
    regex = locate(channel).regex
    assert all(re.search(regex, name) for name in names)
    assert not any(re.search(regex, name) for name in others)


_WORDS = st.sampled_from(["shelves", "staff", "floors", "doors-a-open", "rooms", "5", "05", "a"])
_TEXTS = st.text("abf0157-_=@,;", min_size=1, max_size=8)
NAMES = st.builds(
    lambda prefix, parts: f"{prefix}{'.'.join(parts)}",
    st.sampled_from(
        ["", "private-", "presence-", "cache-", "private-encrypted-", "private-cache-"]
    ),
    st.lists(_WORDS | _TEXTS | st.uuids().map(str), min_size=1, max_size=4),
)


@settings(max_examples=scaled(300))
@given(NAMES)
def test_a_place_matches_the_names_that_its_policy_does(name: str) -> None:
    try:
        parsed = parse_channel_name(name)
    except InvalidEvent:
        return
    for cls in (ShelfChannel, StaffChannel, RoomChannel, LobbyChannel, DoorChannel, SecretChannel):
        matches = re.search(locate(cls).regex, name) is not None
        assert matches is (cls.from_name(parsed) is not None), cls


class NoteBackend(RealtimeBackend[Note]):
    serializer_class = NoteSerializer
    channels = ("notes",)

    class Meta:
        abstract = True


def test_an_event_on_unknown_channels_is_listed_with_the_mend() -> None:
    class Own(NoteBackend):
        def get_channels(self, change: Change[Note]) -> Iterable[str]:
            return [f"private-shelves.{change.instance.shelf_id}"]

    class Proposed(RealtimeBackend[Parcel]):
        serializer_class = ParcelSerializer

    contract = read_contract()
    assert contract.channels == {}
    own, proposed = contract.unknown
    assert f"{Own.__qualname__}: its channels" in own
    assert "get_channels() is the project's own" in own
    assert f"declare({Own.__qualname__}, [SomeChannel])" in own
    assert "the backend names none" in proposed

    declare(Own, ShelfChannel)
    assert read(ShelfChannel)["note.create"] == NOTE
    assert read_contract().unknown == [proposed]


@pytest.mark.parametrize("hook", ["get_data", "get_serializer_class", "get_fallback_data", "adapt"])
def test_data_of_an_own_hook_is_unknown_until_it_is_declared(hook: str) -> None:
    backend = type("Own", (NoteBackend,), {hook: lambda self, change: None})
    events = read("notes")
    assert events["note.create"] == events["note.update"] == ANYTHING
    assert (events["note.delete"] == ANYTHING) is (hook == "adapt")
    [sentence] = read_contract().unknown
    assert f"{hook}() is the project's own" in sentence
    assert "declare(Own, data=SomeSerializer)" in sentence

    declare(backend, data=NoteSerializer)
    events = read("notes")
    assert events["note.create"] == events["note.update"] == NOTE
    assert set(events["note.delete"]["properties"]) == {"id"}
    assert read_contract().unknown == []


def test_data_of_the_views_serializer_is_unknown() -> None:
    class Views(RealtimeBackend[Note]):
        model = Note
        channels = ("notes",)

    assert read("notes")["note.create"] == ANYTHING
    assert "its data cannot be known, since the backend names none" in read_contract().unknown[0]


def test_an_event_that_is_declared_takes_the_place_of_one_that_is_unknown() -> None:
    class Own(NoteBackend):
        actions = ("create",)

        def get_data(self, change: Change[Note]) -> Any:
            return change.instance.title

    declare("note.create", "notes", str)
    assert read("notes") == {"note.create": {"type": "string"}}
    assert read_contract().unknown == []


def test_events_of_unknown_names_leave_their_channels_open() -> None:
    class Own(NoteBackend):
        def get_event_name(self, change: Change[Note]) -> str:
            return f"{change.action}d-{change.instance.pk}"

    contract = read_contract()
    assert contract.channels == {locate("notes"): {}}
    assert contract.open == {locate("notes")}
    assert "get_event_name() is the project's own" in contract.unknown[0]


def test_names_that_depend_on_the_action_alone_are_known() -> None:
    class Own(NoteBackend):
        actions = ("create", "delete")

        def get_event_name(self, change: Change[Note]) -> str:
            return {"create": "added", "delete": "gone"}[change.action]

    assert set(read("notes")) == {"added", "gone"}
    assert read("notes")["added"] == NOTE
    assert read_contract().unknown == []


def test_what_is_declared_of_a_backend_holds_for_one_that_replaces_it() -> None:
    class Base(NoteBackend):
        def get_data(self, change: Change[Note]) -> Any:
            return change.instance.title

    declare(Base, data=str)

    class Other(Base):
        pass

    assert read("notes")["note.create"] == {"type": "string"}


def test_two_payloads_of_one_event_are_a_union() -> None:
    class First(NoteBackend):
        actions = ("create",)

    class TitleSerializer(serializers.ModelSerializer[Note]):
        class Meta:
            model = Note
            fields = ("title",)

    class Second(RealtimeBackend[Note]):
        serializer_class = TitleSerializer
        channels = ("notes",)
        actions = ("create",)

    assert read("notes") == {
        "note.create": {"anyOf": [NOTE, {"$ref": "#/components/schemas/Title"}]}
    }


def test_a_delete_has_the_key_of_the_parent_and_the_version() -> None:
    class ShoppingSerializer(serializers.ModelSerializer[ShoppingTodo]):
        class Meta:
            model = ShoppingTodo
            fields = ("shop",)

    class ShoppingBackend(RealtimeBackend[ShoppingTodo]):
        serializer_class = ShoppingSerializer
        channels = ("shopping",)
        actions = ("delete",)
        version_field = "done"

    assert read("shopping")["shoppingtodo.delete"] == {
        "type": "object",
        "properties": {"id": {"type": "integer"}, "done": {"type": "boolean"}},
        "required": ["id", "done"],
    }


def test_only_a_backend_that_observes_refreshes() -> None:
    class Views(NoteBackend):
        observe = False
        refresh_above = 5

    assert set(read("notes")) == {"note.create", "note.update", "note.delete"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("", "notes"), InvalidEvent, "needs a name"),
        (("pusher:x", "notes"), InvalidEvent, "reserved"),
        (("note.sorted",), ImproperlyConfigured, "needs the channels of the event"),
        (("note.sorted", 5), InvalidEvent, "not int"),
        (("note.sorted", [5]), ImproperlyConfigured, "5 is not a channel"),
        (("note.sorted", int), ImproperlyConfigured, "int'> is not a channel"),
        (("note.sorted", "a b"), InvalidEvent, "not a legal name"),
        ((5, "notes"), ImproperlyConfigured, "name of an event or a backend, not 5"),
    ],
)
def test_a_wrong_declaration_is_an_error_where_it_is_made(
    arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        declare(*arguments)


def test_data_of_no_known_type_is_an_error_that_names_it() -> None:
    declare("note.sorted", "notes", Event)
    with pytest.raises(ImproperlyConfigured, match=r"'note.sorted'.*not <class .*Event'>"):
        read_contract()


def test_the_contract_does_not_depend_on_the_order_of_imports() -> None:
    channel_registry.channels = [ShelfChannel, StaffChannel]
    declare("b", ["two", "one"], int)
    declare("a", ["one", "two"], str)
    first = read_contract()
    channel_registry.channels.reverse()
    assert list(read_contract().channels) == list(first.channels)
    assert list(first.channels[locate("one")]) == ["a", "b"]
