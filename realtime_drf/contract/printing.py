"""Types of TypeScript, printed from JSON Schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from realtime_drf.contract.schemas import Schema

_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*")
_REF = "#/components/schemas/"
_TAKEN = frozenset(
    {
        *("Channels", "EchoEvents", "EventsOf", "LiveChannel", "LiveEvents", "LivePusher"),
        *("Record", "Required", "UserEvents", "components"),
    }
)
"""Names that the file itself uses."""


class Printer:
    """A printer of JSON Schemas as types."""

    def __init__(self, components: Mapping[str, Schema], *, imports: bool) -> None:
        self._components = components
        self._imports = imports

    def declare(self, name: str) -> str:
        """Return the declaration of a component."""
        schema = self._components[name]
        text = self.print(schema)
        if schema.get("type") == "object":
            return f"export interface {_name(name)} {text}\n\n"
        return f"export type {_name(name)} = {text};\n\n"

    def print(self, schema: Schema) -> str:
        """Return a type."""
        return join(self.list_types(schema))

    def list_types(self, schema: Schema) -> list[str]:
        """Return the types of which one is the schema's."""
        if "$ref" in schema:
            return [self._refer(schema["$ref"].removeprefix(_REF))]
        if "enum" in schema or "const" in schema:
            values = schema["enum"] if "enum" in schema else [schema["const"]]
            return [json.dumps(value, ensure_ascii=False) for value in values]
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return [text for each in schema[keyword] for text in self.list_types(each)]
        if "allOf" in schema:
            parts = [self.print(each) for each in schema["allOf"]]
            return [" & ".join(f"({part})" if " | " in part else part for part in parts)]
        types = schema.get("type", "object" if "properties" in schema else None)
        listed = types if isinstance(types, list) else [types]
        return [self._print_type(each, schema) for each in listed]

    def _refer(self, name: str) -> str:
        return f'components["schemas"][{json.dumps(name)}]' if self._imports else _name(name)

    def _print_type(self, kind: str | None, schema: Schema) -> str:
        if kind == "array":
            items = self.print(schema.get("items", {}))
            return f"({items})[]" if re.search(r" [|&] ", items) else f"{items}[]"
        if kind == "object":
            return self._print_object(schema)
        return {"integer": "number", "number": "number"}.get(
            kind or "", kind if kind in ("string", "boolean", "null") else "unknown"
        )

    def _print_object(self, schema: Schema) -> str:
        properties = schema.get("properties", {})
        others = schema.get("additionalProperties")
        if not properties:
            if others is False:
                return "{\n  [key: string]: never;\n}"
            values = self.print(others) if isinstance(others, dict) else "unknown"
            return f"{{\n  [key: string]: {indent(values)};\n}}"
        lines = []
        for name, each in properties.items():
            key = name if _IDENTIFIER.fullmatch(name) else json.dumps(name)
            mark = "" if name in schema.get("required", ()) else "?"
            lines.append(f"  {key}{mark}: {indent(self.print(each))};\n")
        return f"{{\n{''.join(lines)}}}"


def _name(component: str) -> str:
    """Return the name of a component's type, which is not that of another part of the file."""
    name = re.sub(r"\W", "_", component)
    return f"{name}Data" if name in _TAKEN else name


def indent(text: str) -> str:
    """Return text whose further lines stand one level deeper."""
    return text.replace("\n", "\n  ")


def join(types: Iterable[str]) -> str:
    """Return a union; `unknown` takes in all others, and null comes last."""
    kinds = sorted(set(types), key=lambda each: (each == "null", each))
    return "unknown" if "unknown" in kinds else " | ".join(kinds) or "never"
