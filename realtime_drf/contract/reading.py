"""Reading the contract of a project: each event of each channel, with the schema of its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils import translation

from realtime_drf.conf import get_language
from realtime_drf.contract.declared import collect
from realtime_drf.contract.places import Place
from realtime_drf.contract.schemas import Schema, Schemas, describing, get_title, get_version


@dataclass(frozen=True)
class Contract:
    """The events of a project. Everything is in an order that does not depend on imports."""

    title: str
    version: str
    channels: Mapping[Place, Mapping[str, Schema]]
    """The schema of the data of each event, by its name."""
    open: frozenset[Place]
    """Channels on which there may be events of other names."""
    components: Mapping[str, Schema]
    unknown: Sequence[str]
    """What cannot be known, and how to declare it."""

    def allows_any(self, place: Place) -> bool:
        """Return whether there may be events on a channel that are not known."""
        return place in self.open or not self.channels[place]


def read_contract() -> Contract:
    """Return the contract of this project.

    Raises:
        ModuleNotFoundError: drf-spectacular is not installed; the message names the extra.
    """
    broadcasts = collect()
    # Descriptions do not depend on the language of who reads it.
    with translation.override(get_language()), describing() as schemas:
        channels = {
            place: {name: _describe(schemas, name, events[name]) for name in sorted(events)}
            for place, events in sorted(broadcasts.data.items(), key=_get_order)
        }
        components = schemas.list_components()
    return Contract(
        title=get_title(),
        version=get_version(),
        channels=channels,
        open=frozenset(broadcasts.open),
        components=components,
        unknown=sorted({*broadcasts.list_unknown(), *schemas.notes}),
    )


def _get_order(item: tuple[Place, Any]) -> tuple[str, str]:
    return item[0].address, item[0].regex


def _describe(schemas: Schemas, event: str, data: Sequence[Any]) -> Schema:
    """Return the schema of an event's data, which is one of several."""
    found: list[Schema] = []
    for each in data:
        try:
            schema = schemas.describe(each)
        except TypeError as exc:
            raise ImproperlyConfigured(f"The data of {event!r}: {exc}") from exc
        if schema not in found:
            found.append(schema)
    if {} in found:
        return {}
    return found[0] if len(found) == 1 else {"anyOf": sorted(found, key=str)}
