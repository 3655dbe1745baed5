"""The contract as documents: AsyncAPI 3.0.0, and a JSON Schema of single events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from realtime_drf.contract.places import Place
from realtime_drf.contract.reading import Contract
from realtime_drf.contract.schemas import Schema

ASYNCAPI_VERSION = "3.0.0"
"""Not the newest: most tools do not read a newer one."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def make_asyncapi(contract: Contract) -> dict[str, Any]:
    """Return the document of AsyncAPI: the project sends, and clients receive."""
    channels = dict(
        zip(
            _make_ids(p.address for p in contract.channels), contract.channels.items(), strict=False
        )
    )
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": {"title": contract.title, "version": contract.version},
        "defaultContentType": "application/json",
        "channels": {id_: _make_channel(*each) for id_, each in channels.items()},
        "operations": {
            f"send-{id_}": {"action": "send", "channel": {"$ref": f"#/channels/{id_}"}}
            for id_, (_, events) in channels.items()
            if events
        },
        "components": {"schemas": dict(contract.components)},
    }


def make_json_schema(contract: Contract) -> dict[str, Any]:
    """Return a JSON Schema of what a client receives: an event's name, its channel and its data."""
    return {
        "$schema": _DIALECT,
        "title": contract.title,
        "type": "object",
        "required": ["channel", "event", "data"],
        "anyOf": [
            each
            for place, events in contract.channels.items()
            for each in _make_alternatives(place, events, is_open=contract.allows_any(place))
        ],
        "$defs": {name: move_refs(schema) for name, schema in contract.components.items()},
    }


def move_refs(value: Any) -> Any:
    """Return a part of a schema whose references lead to ``$defs``."""
    if isinstance(value, list):
        return [move_refs(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: each.replace("#/components/schemas/", "#/$defs/")
        if key == "$ref" and isinstance(each, str)
        else move_refs(each)
        for key, each in value.items()
    }


def _make_channel(place: Place, events: Mapping[str, Schema]) -> dict[str, Any]:
    channel: dict[str, Any] = {"address": place.address}
    if place.parameters:
        channel["parameters"] = {
            each.name: {"description": "A whole number." if each.is_number else "Text."}
            for each in place.parameters
        }
    channel["messages"] = {
        id_: {"name": name, "payload": schema}
        for id_, (name, schema) in zip(_make_ids(events), events.items(), strict=True)
    }
    return channel


def _make_alternatives(
    place: Place, events: Mapping[str, Schema], *, is_open: bool
) -> Iterator[dict[str, Any]]:
    channel = {"pattern": place.regex} if place.parameters else {"const": place.address}
    for name, schema in events.items():
        event = {"const": name}
        data = move_refs(schema)
        yield {"properties": {"channel": channel, "event": event, "data": data}}
    if is_open:
        others = {"type": "string", "not": {"enum": list(events)}}
        yield {"properties": {"channel": channel, "event": others}}


def _make_ids(names: Iterable[str]) -> Iterator[str]:
    """Yield an id for each name, with nothing in it that a reference would have to escape."""
    taken: set[str] = set()
    for name in names:
        base = re.sub(r"[^A-Za-z0-9_.-]", "", name) or "event"
        id_, number = base, 1
        while id_ in taken:
            number += 1
            id_ = f"{base}-{number}"
        taken.add(id_)
        yield id_
