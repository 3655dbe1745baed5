"""Preparing: changes become events, by the backends of their models."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from django.db import router
from django.db.models import QuerySet

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


@dataclass
class Prepared:
    """Events by the database alias of their commit, and calls that touch rows."""

    events: dict[str, list[Addressed]] = field(default_factory=dict)
    touches: list[Callable[[], None]] = field(default_factory=list)


class Toucher(Protocol):
    """A publisher of rows that a backend observes, in place of events that are made here."""

    def __call__(
        self, backend: Backend, keys: Sequence[Any], action: str, using: str, socket_id: str | None
    ) -> Callable[[], None] | None:
        """Return what to call after the write; None if the backend does not observe.

        Where the rows are is read now, unless that is known.
        """


touchers: list[Toucher] = []
"""Filled by `realtime_drf.sources`, which stands above this module."""


def prepare(changes: Iterable[Change[Any]], *, skip: type[Any] | None = None) -> Prepared:
    """Make the events of changes now, for publication later: a deleted row has no payload then.

    Backends of the class `skip` are left out: their events are published in another way.
    """
    prepared = Prepared()
    found = _find_slots(changes, skip, prepared)
    slots = [slot for slot in found if configs[slot.alias].enabled]
    for backend in {id(slot.backend): slot.backend for slot in slots}.values():
        _fill(backend, [slot for slot in slots if slot.backend is backend])
    for slot in slots:
        for event in slot.events:
            prepared.events.setdefault(slot.change.using, []).append((slot.alias, event))
    return prepared


@dataclass
class _Slot:
    """The place of the events that one backend makes of one change."""

    change: Change[Any]
    backend: Backend
    alias: str
    events: Sequence[Event] = field(default=())


def prepare_queryset(
    queryset: QuerySet[Any], action: str, socket_id: str | None, using: str | None
) -> Prepared | None:
    """Touch the rows of a queryset by their keys; return None if they have to be loaded."""
    backends = registry.get_backends(queryset.model)
    if not (touchers and backends and all(getattr(each, "observes", False) for each in backends)):
        return None
    rows: Any = queryset if queryset.query.is_sliced else queryset.order_by()
    # As Django chooses the database of a write.
    using = using or rows._db or router.db_for_write(rows.model, **rows._hints)
    keys = list(rows.using(using).values_list("pk", flat=True))
    calls = [_touch(each, keys, action, using, socket_id) for each in backends]
    return Prepared(touches=list(itertools.chain.from_iterable(calls))) if all(calls) else None


def _touch(backend: Backend, *args: Any) -> list[Callable[[], None]]:
    return [call for each in touchers if (call := each(backend, *args))]


def _find_slots(
    changes: Iterable[Change[Any]], skip: type[Any] | None, prepared: Prepared
) -> list[_Slot]:
    """Return a slot for each event to make; observed rows are touched instead."""
    slots = []
    for change in changes:
        note_publication()
        instance = publishable(change.instance, change.using)
        change = change if instance is change.instance else replace(change, instance=instance)
        backends = registry.get_backends(type(instance))
        if not backends:
            _warn_of_no_backend(instance._meta.label)
        for backend in backends:
            if skip is not None and isinstance(backend, skip):
                continue
            keys = [change.instance.pk]
            if touches := _touch(backend, keys, change.action, change.using, change.socket_id):
                prepared.touches += touches
            elif backend.handles(change):
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
        slot.events = [
            fitting for event in events for fitting in fit(backend, slot.change, slot.alias, event)
        ]


def fit(backend: Backend, change: Change[Any], alias: str, event: Event) -> Iterator[Event]:
    """Yield an event, or what its backend makes in place of one that is too large."""
    _check_event(backend, event)
    if not _is_too_large(event, alias):
        yield event
        return
    fallback = backend.get_fallback_event(change, event)
    if fallback is not None:
        _check_event(backend, fallback)
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
