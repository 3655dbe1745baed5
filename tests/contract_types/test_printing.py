"""Types of TypeScript, printed from JSON Schemas."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_drf.contract.printing import Printer

REF = {"$ref": "#/components/schemas/Todo"}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({}, "unknown"),
        ({"description": "Anything."}, "unknown"),
        ({"type": "integer"}, "number"),
        ({"type": "number"}, "number"),
        ({"type": "string", "format": "date"}, "string"),
        ({"type": "boolean"}, "boolean"),
        ({"type": "null"}, "null"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"enum": ["b", 'a"', 1, None]}, '"a\\"" | "b" | 1 | null'),
        ({"const": "a"}, '"a"'),
        (REF, "Todo"),
        ({"anyOf": [REF, {"type": "null"}]}, "Todo | null"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "number"),
        ({"anyOf": [REF, {}]}, "unknown"),
        ({"allOf": [REF, {"anyOf": [REF, {"type": "null"}]}]}, "Todo & (Todo | null)"),
        ({"type": "array"}, "unknown[]"),
        ({"type": "array", "items": REF}, "Todo[]"),
        ({"type": "array", "items": {"type": ["string", "null"]}}, "(string | null)[]"),
        ({"type": "array", "items": {"type": "array", "items": REF}}, "Todo[][]"),
        ({"type": "object"}, "{\n  [key: string]: unknown;\n}"),
        ({"type": "object", "additionalProperties": False}, "{\n  [key: string]: never;\n}"),
        ({"type": "object", "additionalProperties": REF}, "{\n  [key: string]: Todo;\n}"),
        (
            {"type": "object", "properties": {"a": REF, "b-c": {}}, "required": ["a"]},
            '{\n  a: Todo;\n  "b-c"?: unknown;\n}',
        ),
        (
            {"properties": {"a": {"type": "object", "properties": {"b": REF}}}},
            "{\n  a?: {\n    b?: Todo;\n  };\n}",
        ),
    ],
)
def test_a_schema_is_a_type(schema: dict[str, Any], text: str) -> None:
    assert Printer({}, imports=False).print(schema) == text


def test_a_component_is_an_interface_or_a_type() -> None:
    components = {
        "Todo": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
        "Either": {"anyOf": [REF, {"type": "null"}]},
        "Channels": {"type": "object", "properties": {}},
        "a.b-c": {"type": "string"},
    }
    printer = Printer(components, imports=False)
    assert [printer.declare(name) for name in components] == [
        "export interface Todo {\n  id: number;\n}\n\n",
        "export type Either = Todo | null;\n\n",
        "export interface ChannelsData {\n  [key: string]: unknown;\n}\n\n",
        "export type a_b_c = string;\n\n",
    ]
    assert printer.print({"$ref": "#/components/schemas/Channels"}) == "ChannelsData"


def test_a_component_that_is_imported_is_named_as_it_is_there() -> None:
    printer = Printer({}, imports=True)
    assert printer.print({"$ref": "#/components/schemas/a.b"}) == 'components["schemas"]["a.b"]'
