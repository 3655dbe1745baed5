"""JSON Schemas of what serializers, types and model fields send, by drf-spectacular.

drf-spectacular describes requests and responses of views; the parts that it uses for a response are
not documented. They are all used in this module, and tests run on its lowest and newest version.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db.models import Field as ModelField
from rest_framework import serializers
from rest_framework.fields import empty
from rest_framework.views import APIView

from realtime_drf.contract.declared import Key, Nothing, Unknown

try:
    from drf_spectacular.drainage import has_override
    from drf_spectacular.openapi import AutoSchema
    from drf_spectacular.plumbing import (
        ComponentRegistry,
        UnableToProceedError,
        force_instance,
        resolve_type_hint,
    )
    from drf_spectacular.settings import patched_settings, spectacular_settings
except ModuleNotFoundError as exc:
    if str(exc.name).partition(".")[0] != "drf_spectacular":
        raise
    raise ModuleNotFoundError(
        f"The contract needs drf-spectacular: pip install realtime-drf[contract] ({exc}).",
        name="drf_spectacular",
    ) from exc

Schema = dict[str, Any]

_instantiate: Any = force_instance
_resolve_hint: Any = resolve_type_hint

_SETTINGS = {"COMPONENT_SPLIT_REQUEST": True, "OAS_VERSION": "3.0.3"}
"""Write-only fields are left out of responses, and there is one form of what may be null."""

_OF_REQUESTS = ("default", "readOnly", "x-spec-enum-id")
"""Keys that say nothing of a payload."""


class _PayloadSchema(AutoSchema):
    """The schemas of serializers as they render: every field is there."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: set[str] = set()

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        parent: Any = super()
        serializer = _instantiate(serializer)  # whose fields are made once
        schema: Schema = parent._map_basic_serializer(serializer, direction)
        fields = serializer.fields
        properties = schema.get("properties", {})
        schema["required"] = [name for name in properties if not _may_be_skipped(fields[name])]
        for name in properties:
            if _may_be_null(fields[name]):
                properties[name] = {**properties[name], "nullable": True}
        return schema

    def _map_response_type_hint(self, method: Any) -> Any:
        """Return the schema of what a method returns; without a type, that may be anything."""
        function = getattr(method, "func", method)  # of a partial
        if "return" in getattr(function, "__annotations__", {}) or has_override(method, "field"):
            parent: Any = super()
            return parent._map_response_type_hint(method)
        name = f"{function.__module__}.{function.__qualname__}"
        self.notes.add(f"{name}() has no type of what it returns, so that its field is unknown.")
        return {}


def _may_be_skipped(field: Any) -> bool:
    """Return whether DRF leaves a field out where a relation of its source is None."""
    is_skipped = not field.required and not field.allow_null and field.default is empty
    return is_skipped and len(getattr(field, "source_attrs", ())) > 1


def _may_be_null(field: Any) -> bool:
    """Return whether a field renders null that does not take it: an empty file, a default."""
    if isinstance(field, serializers.FileField):
        return not field.required
    return field.default is None


class Schemas:
    """The schemas of payloads, and the components to which they refer."""

    def __init__(self) -> None:
        self._registry: Any = ComponentRegistry()
        self._schema: Any = _PayloadSchema()
        view: Any = APIView()
        view.request = None
        self._schema.registry = self._registry
        self._schema.view = view
        self._schema.method, self._schema.path = "GET", "/"

    def describe(self, data: Any) -> Schema:
        """Return the schema of data: of a serializer, a type, a key, or nothing that is known."""
        if isinstance(data, Unknown):
            return {}
        if isinstance(data, Nothing):
            return _make_object({})
        if isinstance(data, Key):
            return _make_object({name: self._describe_field(field) for name, field in data.fields})
        if data is None:
            return {"type": "null"}
        cls = data if isinstance(data, type) else type(data)
        if issubclass(cls, serializers.BaseSerializer):
            return self._describe_serializer(data, f"{cls.__module__}.{cls.__qualname__}")
        return clean(_resolve(data))

    @property
    def notes(self) -> set[str]:
        """What cannot be known of the data that was described: a sentence each."""
        notes: set[str] = self._schema.notes
        return notes

    def list_components(self) -> dict[str, Schema]:
        """Return the schemas of serializers by the names that drf-spectacular gives them."""
        built = self._registry.build({}).get("schemas", {})
        return {name: clean(built[name]) for name in sorted(built)}

    def _describe_serializer(self, serializer: Any, name: str) -> Schema:
        try:
            schema = self._schema._map_serializer_field(_instantiate(serializer), "response")
        except Exception as exc:  # noqa: BLE001  of a serializer that has no fields, or needs more
            self.notes.add(
                f"{name}: its data cannot be known, since drf-spectacular cannot describe it "
                f"({type(exc).__name__}: {exc}); declare a type or another serializer."
            )
            self._forget_half_made()
            return {}
        return clean(schema or {})

    def _forget_half_made(self) -> None:
        for name, component in self._registry.build({}).get("schemas", {}).items():
            if component is None:
                del self._registry[name, "schemas"]

    def _describe_field(self, field: ModelField[Any, Any]) -> Schema:
        schema = self._schema._map_model_field(field, "response")
        kept = {key: schema[key] for key in ("type", "format", "enum") if key in schema}
        return clean({**kept, "nullable": field.null})


@contextlib.contextmanager
def describing() -> Iterator[Schemas]:
    """Yield the schemas of payloads; drf-spectacular has settings of its own meanwhile."""
    with patched_settings(_SETTINGS):
        yield Schemas()


def get_title() -> str:
    """Return the title of the project's OpenAPI schema."""
    return str(spectacular_settings.TITLE or "Realtime events")


def get_version() -> str:
    """Return the version of the project's OpenAPI schema."""
    return str(spectacular_settings.VERSION or "0.0.0")


def _resolve(hint: Any) -> Schema:
    try:
        schema: Schema = _resolve_hint(hint)
    except UnableToProceedError:
        raise TypeError(
            f"it is a serializer or a type that drf-spectacular knows, not {hint!r}."
        ) from None
    return schema


def _make_object(properties: dict[str, Schema]) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "required": list(properties)}
    return schema if properties else {**schema, "additionalProperties": False}


def clean(schema: Schema) -> Schema:
    """Return a schema of OpenAPI 3.0 as JSON Schema, which has another form of what may be null."""
    cleaned = {
        key: {name: clean(each) for name, each in value.items()}
        if key == "properties"
        else _clean_value(value)
        for key, value in schema.items()
        if key not in ("nullable", *_OF_REQUESTS)
    }
    if "required" in cleaned and "properties" in cleaned:  # that of a TypedDict is a set
        cleaned["required"] = [name for name in cleaned["properties"] if name in schema["required"]]
    for limit, key in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if cleaned.get(key) is True:
            cleaned[key] = cleaned.pop(limit)
    if cleaned.keys() == {"allOf"} and len(cleaned["allOf"]) == 1:
        [cleaned] = cleaned["allOf"]
    return _allow_null(cleaned) if schema.get("nullable") else cleaned


def _clean_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_clean_value(each) for each in value]
    return clean(value) if isinstance(value, dict) else value


def _allow_null(schema: Schema) -> Schema:
    if "enum" in schema and None not in schema["enum"]:
        schema = {**schema, "enum": [*schema["enum"], None]}
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema or not schema.keys() - {"description", "title"}:
        return schema  # null is one of the values, or anything goes
    return {"anyOf": [schema, {"type": "null"}]}
