"""Validation of events against the contract, for tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from realtime_drf.contract.declared import get_state
from realtime_drf.contract.documents import move_refs
from realtime_drf.contract.reading import Contract, read_contract
from realtime_drf.events import Event

_last: list[tuple[Any, PayloadValidator]] = []
"""The validator that was made last, and what the project declared then."""


class PayloadValidator:
    """A validator of the data of events; those that the contract does not have are valid."""

    def __init__(self, contract: Contract) -> None:
        self._places = [(re.compile(p.regex), events) for p, events in contract.channels.items()]
        self._definitions = move_refs(dict(contract.components))
        self._validators: dict[tuple[str, str], Draft202012Validator] = {}

    def find_errors(self, event: Event) -> Iterator[str]:
        """Yield a sentence for each channel on which the data breaks its schema."""
        data = event.data
        for channel in event.channels:
            error = best_match(self._get(channel, event.name).iter_errors(data))
            if error is not None:
                yield (
                    f"The data of {event.name!r} on {channel!r} breaks its schema at "
                    f"{error.json_path}: {error.message}"
                )

    def _get(self, channel: str, name: str) -> Draft202012Validator:
        if (channel, name) not in self._validators:
            schemas = [
                move_refs(events[name])
                for regex, events in self._places
                if name in events and regex.search(channel)
            ]
            schema = {"anyOf": schemas} if len(schemas) > 1 else schemas[0] if schemas else {}
            schema = {**schema, "$defs": self._definitions}
            self._validators[channel, name] = Draft202012Validator(schema)
        return self._validators[channel, name]


def find_broken(events: Iterable[Event]) -> list[str]:
    """Return a sentence for each way in which the data of events breaks its schema."""
    validator = get_validator()
    return list(dict.fromkeys(error for each in events for error in validator.find_errors(each)))


def get_validator() -> PayloadValidator:
    """Return a validator for what the project declares now; it is made once for that."""
    state = get_state()
    if not _last or _last[0][0] != state:
        _last[:] = [(state, PayloadValidator(read_contract()))]
    return _last[0][1]
