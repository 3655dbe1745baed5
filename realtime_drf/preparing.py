"""Preparing: changes become events, by the backends of their models."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from realtime_drf.backends import registry
from realtime_drf.changes import Change
from realtime_drf.commits import Addressed
from realtime_drf.conf import configs, get_backends_modules
from realtime_drf.events import Event
from realtime_drf.exceptions import EventRejected, InvalidEvent, PayloadTooLarge
from realtime_drf.instances import publishable
from realtime_drf.protocols import Backend
from realtime_drf.silence import note_publication
from realtime_drf.transports import transports

logger = logging.getLogger("realtime_drf")

Prepared = dict[str, list[Addressed]]
"""Events by the database alias whose commit they wait for."""


def prepare(changes: Iterable[Change[Any]], *, skip: type[Any] | None = None) -> Prepared:
    """Make the events of changes now, for publication later: a deleted row has no payload then.

    Backends of the class `skip` are left out: their events are published in another way.
    """
    slots = [slot for slot in _find_slots(changes, skip) if configs[slot.alias].enabled]
    for backend in {id(slot.backend): slot.backend for slot in slots}.values():
        _fill(backend, [slot for slot in slots if slot.backend is backend])
    prepared: Prepared = {}
    for slot in slots:
        for event in slot.events:
            prepared.setdefault(slot.change.using, []).append((slot.alias, event))
    return prepared


@dataclass
class _Slot:
    """The place of the events that one backend makes of one change."""

    change: Change[Any]
    backend: Backend
    alias: str
    events: Sequence[Event] = field(default=())


def _find_slots(changes: Iterable[Change[Any]], skip: type[Any] | None) -> list[_Slot]:
    slots = []
    for change in changes:
        note_publication()
        instance = publishable(change.instance, change.using)
        change = change if instance is change.instance else replace(change, instance=instance)
        backends = registry.get_backends(type(instance))
        if not backends:
            _warn_of_no_backend(instance._meta.label)
        for backend in backends:
            if (skip is None or not isinstance(backend, skip)) and backend.handles(change):
                slots.append(_Slot(change, backend, backend.get_transport(change)))
    return slots


def _fill(backend: Backend, slots: Sequence[_Slot]) -> None:
    """Have a backend make its events of all changes in one go."""
    try:
        made = backend.get_events([slot.change for slot in slots])
    except InvalidEvent as exc:  # of a channel, a name or data that a hook returned
        cls = type(backend)
        exc.add_note(f"Raised for an event of {cls.__module__}.{cls.__qualname__}.")
        raise
    for slot, events in zip(slots, made, strict=True):
        slot.events = [fitting for event in events for fitting in _fit(slot, event)]


def _fit(slot: _Slot, event: Event) -> Iterator[Event]:
    """Yield an event, or what its backend makes in place of one that is too large."""
    _check_event(slot.backend, event)
    if not _is_too_large(event, slot.alias):
        yield event
        return
    fallback = slot.backend.get_fallback_event(slot.change, event)
    if fallback is not None:
        _check_event(slot.backend, fallback)
        yield fallback


def _check_event(backend: Backend, event: object) -> None:
    if not isinstance(event, Event):
        raise TypeError(
            f"{type(backend).__qualname__} must make Events, not {type(event).__name__}; see what "
            f"its adapt() returns."
        )


def _is_too_large(event: Event, alias: str) -> bool:
    try:
        transports[alias].validate(event)
    except EventRejected as exc:
        return isinstance(exc, PayloadTooLarge)
    return False


@functools.cache
def _warn_of_no_backend(model: str) -> None:
    """Warn once a model: the likely cause is a module that autodiscovery does not find."""
    logger.warning(
        "Changes of %s are not published: it has no realtime backend. Backends are found in the "
        "module %r of each installed app.",
        model,
        get_backends_modules()[0],
    )
