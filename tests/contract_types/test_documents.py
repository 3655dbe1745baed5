"""AsyncAPI and JSON Schema, checked by their official schemas.

asyncapi/3.0.0.json is the schema of the npm package @asyncapi/specs 6.11.1, without its blanks.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from realtime_drf import RealtimeBackend
from realtime_drf.changes import Change
from realtime_drf.contract import declare
from realtime_drf.contract.documents import make_asyncapi, make_json_schema
from realtime_drf.contract.reading import read_contract
from tests.contract_types.project import LobbyChannel, NoteSerializer, define
from tests.todos.models import Note

OFFICIAL = json.loads((Path(__file__).parent / "asyncapi" / "3.0.0.json").read_text())
VALIDATOR = jsonschema.Draft7Validator(OFFICIAL)


@pytest.fixture
def asyncapi() -> Any:
    define()
    return json.loads(json.dumps(make_asyncapi(read_contract())))


@pytest.fixture
def json_schema() -> Any:
    define()
    return json.loads(json.dumps(make_json_schema(read_contract())))


def test_asyncapi_is_valid_by_the_official_schema(asyncapi: Any) -> None:
    assert [each.message for each in VALIDATOR.iter_errors(asyncapi)] == []
    broken = copy.deepcopy(asyncapi)
    broken["channels"]["notes"]["adress"] = broken["channels"]["notes"].pop("address")
    assert list(VALIDATOR.iter_errors(broken))


def test_asyncapi_of_an_empty_project_is_valid() -> None:
    document = make_asyncapi(read_contract())
    assert list(VALIDATOR.iter_errors(document)) == []
    assert document["info"] == {"title": "Realtime events", "version": "0.0.0"}


def test_asyncapi_has_each_channel_with_its_parameters_and_messages(asyncapi: Any) -> None:
    rooms = asyncapi["channels"]["presence-rooms.room.floor"]
    assert rooms["address"] == "presence-rooms.{room}.{floor}"
    assert set(rooms["parameters"]) == {"room", "floor"}
    shelf = asyncapi["channels"]["private-shelves.pk"]
    assert shelf["messages"]["note.create"] == {
        "name": "note.create",
        "payload": {"$ref": "#/components/schemas/Note"},
    }
    assert asyncapi["operations"]["send-private-shelves.pk"] == {
        "action": "send",
        "channel": {"$ref": "#/channels/private-shelves.pk"},
    }
    assert "send-presence-rooms.room.floor" not in asyncapi["operations"]  # nothing is sent there
    assert set(asyncapi["components"]["schemas"]) == {"Note", "Parcel", "Seat", "StaffNote"}
    assert "secret" not in str(asyncapi)


def test_every_reference_of_a_document_leads_somewhere(asyncapi: Any, json_schema: Any) -> None:
    for document in (asyncapi, json_schema):
        references = [part.split('"')[0] for part in json.dumps(document).split('"$ref": "')[1:]]
        assert references
        for reference in references:
            place = document
            for step in reference.removeprefix("#/").split("/"):
                place = place[step]


def test_names_that_differ_in_signs_alone_have_ids_of_their_own() -> None:
    declare("Übung/1", ["a,b", "a;b", "ab"], int)
    declare("bung1", "ab", int)
    document = make_asyncapi(read_contract())
    assert list(document["channels"]) == ["ab", "ab-2", "ab-3"]
    assert {each["address"] for each in document["channels"].values()} == {"a,b", "a;b", "ab"}
    messages = document["channels"]["ab-3"]["messages"]
    assert {id_: each["name"] for id_, each in messages.items()} == {
        "bung1": "bung1",
        "bung1-2": "Übung/1",
    }
    assert list(VALIDATOR.iter_errors(document)) == []


NOTE = {"id": 1, "title": "a", "shelf": None, "labels": ["b"], "revision": 0}


@pytest.mark.parametrize(
    ("channel", "event", "data"),
    [
        ("notes", "note.create", NOTE),
        ("private-shelves.5", "note.create", NOTE),
        ("private-shelves.5", "note.delete", {"id": 1, "revision": 0}),
        ("private-shelves.5", "note.refresh", {}),
        ("private-staff.editors", "note.create", {**NOTE, "is_hidden": True}),
        ("private-staff.others", "anything", 5),
        ("#server-to-user-7", "import.finished", {"rows": 1, "errors": []}),
        ("seats", "seat.delete", {"row": "a", "number": 1}),
        ("presence-rooms.0e984725-c51c-4bf4-9960-e1c80e27aba0.3", "anything", None),
    ],
)
def test_the_schema_takes_events_as_they_are(
    json_schema: Any, channel: str, event: str, data: Any
) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema)
    jsonschema.validate({"channel": channel, "event": event, "data": data}, json_schema)


@pytest.mark.parametrize(
    ("channel", "event", "data"),
    [
        ("notes", "note.create", {"id": 1}),
        ("notes", "note.created", NOTE),
        ("private-shelves.x", "note.create", NOTE),
        ("private-shelves.5", "note.delete", {"id": 1}),
        ("private-shelves.5", "note.refresh", {"id": 1}),
        ("elsewhere", "note.create", NOTE),
        ("cache-parcels", "parcel.update", {}),
    ],
)
def test_the_schema_refuses_other_events(
    json_schema: Any, channel: str, event: str, data: Any
) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"channel": channel, "event": event, "data": data}, json_schema)


def test_a_channel_with_events_of_unknown_names_takes_them_all() -> None:
    class Own(RealtimeBackend[Note]):
        serializer_class = NoteSerializer
        channels = ("notes",)

        def get_event_name(self, change: Change[Note]) -> str:
            return f"{change.action}d-{change.instance.pk}"

    declare("note.sorted", "notes", int)
    schema = make_json_schema(read_contract())
    jsonschema.validate({"channel": "notes", "event": "created", "data": NOTE}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"channel": "notes", "event": "note.sorted", "data": "a"}, schema)


def test_a_parameter_of_text_takes_no_dot() -> None:
    declare("lobby.opened", LobbyChannel)
    schema = make_json_schema(read_contract())
    jsonschema.validate({"channel": "main", "event": "lobby.opened", "data": None}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"channel": "ma.in", "event": "lobby.opened", "data": None}, schema)
