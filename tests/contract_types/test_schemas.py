"""The schemas of payloads, checked against what serializers render and `render` accepts."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TypedDict

import jsonschema
import pytest
from django.utils import timezone
from rest_framework import serializers

from realtime_drf.contract.declared import Key, Nothing, Unknown
from realtime_drf.contract.schemas import Schemas, describing
from realtime_drf.rendering import render
from tests.contract_types.project import NoteSerializer
from tests.todos.models import Note, Parcel, Shelf


@pytest.fixture
def schemas() -> Iterator[Schemas]:
    with describing() as found:
        yield found


def check(schemas: Schemas, data: Any, payload: Any) -> None:
    """Check a payload, as it is sent, against the schema of data."""
    schema = schemas.describe(data)
    document = {**schema, "components": {"schemas": schemas.list_components()}}
    jsonschema.Draft202012Validator.check_schema(document)
    jsonschema.validate(json.loads(render(payload)), document, jsonschema.Draft202012Validator)


class Everything(serializers.Serializer[Any]):
    number = serializers.IntegerField(min_value=1, default=5)
    ratio = serializers.FloatField(allow_null=True)
    price = serializers.DecimalField(max_digits=6, decimal_places=2)
    state = serializers.ChoiceField(choices=["a", "b"], allow_null=True)
    level = serializers.ChoiceField(choices=[1, 2])
    tags = serializers.ListField(child=serializers.CharField(allow_null=True))
    counts = serializers.DictField(child=serializers.IntegerField())
    details = serializers.JSONField(allow_null=True)
    several = serializers.MultipleChoiceField(choices=["x", "y"])
    took = serializers.DurationField()
    when = serializers.DateTimeField(allow_null=True)
    key = serializers.UUIDField()
    flag = serializers.BooleanField(allow_null=True)
    label = serializers.FileField(required=False)
    nested = NoteSerializer(allow_null=True)
    notes = NoteSerializer(many=True)
    method = serializers.SerializerMethodField()
    password = serializers.CharField(write_only=True)
    hidden = serializers.HiddenField(default=1)

    def get_method(self, instance: Any) -> list[int | None]:
        return [1, None]


FULL = {
    "number": 7,
    "ratio": 0.5,
    "price": "1.50",
    "state": "a",
    "level": 2,
    "tags": ["one", None],
    "counts": {"a": 1},
    "details": [{"x": None}],
    "several": ["y"],
    "took": timedelta(seconds=3),
    "when": timezone.now(),
    "key": uuid.uuid4(),
    "flag": True,
    "label": None,
    "notes": [],
}
EMPTY = dict.fromkeys(["ratio", "state", "details", "when", "flag", "nested"])


@pytest.mark.parametrize("values", [FULL | {"nested": None}, FULL | EMPTY])
def test_what_a_serializer_renders_is_of_its_schema(
    schemas: Schemas, values: dict[str, Any]
) -> None:
    payload = dict(Everything(values).data)
    payload["several"] = sorted(payload["several"])
    check(schemas, Everything, payload)


def test_every_field_that_is_rendered_is_required_and_no_other_is_there(schemas: Schemas) -> None:
    schemas.describe(Everything)
    schema = schemas.list_components()["Everything"]
    fields = [*FULL, "nested", "method"]
    assert sorted(schema["properties"]) == sorted(schema["required"]) == sorted(fields)


@pytest.mark.parametrize("name", [*FULL, "method"])
def test_data_of_another_type_or_without_a_field_is_not_of_the_schema(
    schemas: Schemas, name: str
) -> None:
    payload = {**Everything(FULL | EMPTY).data, "several": []}
    if name != "details":  # which may be anything
        with pytest.raises(jsonschema.ValidationError):
            check(schemas, Everything, {**payload, name: {"wrong": [object.__name__]}})
    del payload[name]
    with pytest.raises(jsonschema.ValidationError, match=name):
        check(schemas, Everything, payload)


class ShelfSerializer(serializers.ModelSerializer[Note]):
    shelf_name = serializers.CharField(source="shelf.name", read_only=True)
    or_none = serializers.CharField(source="shelf.name", read_only=True, default=None)
    or_null = serializers.CharField(source="shelf.name", read_only=True, allow_null=True)

    class Meta:
        model = Note
        fields = ("shelf", "shelf_name", "or_none", "or_null")


@pytest.mark.parametrize("shelf", [None, Shelf(pk=1, name="top")])
def test_a_field_over_a_relation_that_is_null_may_be_absent_or_null(
    schemas: Schemas, shelf: Shelf | None
) -> None:
    payload = ShelfSerializer(Note(shelf=shelf)).data
    assert ("shelf_name" in payload) is (shelf is not None)  # as DRF has it
    check(schemas, ShelfSerializer, payload)
    required = schemas.list_components()["Shelf"]["required"]
    assert required == ["shelf", "or_none", "or_null"]


class Counted(TypedDict):
    rows: int
    note: str | None


class Result(Counted, total=False):
    files: list[str]


@pytest.mark.parametrize(
    ("data", "right", "wrong"),
    [
        (int, 1, "1"),
        (list[str], ["a"], [1]),
        (dict[str, int], {"a": 1}, {"a": "b"}),
        (int | None, None, "x"),
        (None, None, {}),
        (Result, {"rows": 1, "note": None}, {"rows": 1}),
        (Result, {"rows": 1, "note": "a", "files": ["b"]}, {"rows": 1, "note": "a", "files": 1}),
        (Nothing(), {}, {"id": 1}),
        (Key((("id", Parcel._meta.pk),)), {"id": uuid.uuid4()}, {"id": 5}),
        (Key((("country", Parcel._meta.get_field("country")),)), {"country": None}, {"country": 5}),
        (NoteSerializer(many=True), [], {}),
    ],
)
def test_types_and_keys_have_schemas(schemas: Schemas, data: Any, right: Any, wrong: Any) -> None:
    check(schemas, data, right)
    with pytest.raises(jsonschema.ValidationError):
        check(schemas, data, wrong)


class WithoutFields(serializers.BaseSerializer[Any]):
    def to_representation(self, instance: Any) -> Any:
        return {"a": 1}


class OfRequests(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, Any]:
        return {"user": serializers.CharField(default=self.context["request"].user.name)}


class AroundIt(serializers.Serializer[Any]):
    inner = OfRequests()


@pytest.mark.parametrize("data", [WithoutFields, OfRequests, AroundIt, OfRequests(many=True)])
def test_a_serializer_that_cannot_be_described_is_unknown_and_noted(
    schemas: Schemas, data: Any
) -> None:
    assert schemas.describe(data) == {}
    assert schemas.describe(data) == {}
    assert schemas.list_components() == {}
    [note] = schemas.notes
    assert "cannot be known, since drf-spectacular cannot describe it (AttributeError: " in note


class Untyped(serializers.Serializer[Any]):
    either = serializers.SerializerMethodField()

    def get_either(self, instance: Any):  # type: ignore[no-untyped-def]
        return 1


def test_a_method_without_a_type_is_unknown_and_noted(schemas: Schemas) -> None:
    check(schemas, Untyped, Untyped(object()).data)
    [note] = schemas.notes
    assert "Untyped.get_either() has no type of what it returns" in note


def test_what_is_unknown_may_be_anything(schemas: Schemas) -> None:
    assert schemas.describe(Unknown("since…")) == {}


def test_a_projects_own_settings_of_spectacular_are_left_as_they_were() -> None:
    from drf_spectacular.settings import spectacular_settings

    with describing():
        assert spectacular_settings.COMPONENT_SPLIT_REQUEST is True
    assert spectacular_settings.COMPONENT_SPLIT_REQUEST is False
