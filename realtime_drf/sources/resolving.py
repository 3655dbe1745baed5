"""The events of touched rows, which are read after the commit, in chunks."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from django.db.models import Model

from realtime_drf.backends import RealtimeBackend, registry
from realtime_drf.changes import REFRESH, Change
from realtime_drf.commits import Numbered
from realtime_drf.conf import configs
from realtime_drf.instances import reading_what_was_written
from realtime_drf.preparing import fit
from realtime_drf.sources.crowds import Crowds, Place, list_places
from realtime_drf.sources.placements import (
    CHUNK,
    NOWHERE,
    UNMOVED,
    Placement,
    Placements,
    get_placements,
    report,
)
from realtime_drf.sources.slots import Entered, Slot, list_slots


class _Due(NamedTuple):
    """An event to make: of a change, on some channels, by a transport."""

    slot: Slot
    change: Change[Any]
    alias: str
    channels: list[Any]


def resolve(entered: Sequence[Entered]) -> Iterator[Numbered]:
    """Yield the events of rows, with the numbers of the entries whose places they take.

    A row has one event per channel, however often it was touched.
    """
    entered = sorted(entered, key=operator.itemgetter(0))
    crowds = Crowds(entered)
    slots = list_slots(entered)
    while chunk := list(itertools.islice(slots, CHUNK)):
        yield from sorted(_resolve_chunk(chunk, crowds), key=operator.itemgetter(0))


def _resolve_chunk(slots: Sequence[Slot], crowds: Crowds) -> Iterator[Numbered]:
    """Yield the events of some rows; an error of one loses no other."""
    key = operator.attrgetter("backend", "using")
    for (label, using), group in itertools.groupby(sorted(slots, key=key), key):
        backend = registry.find(label)
        if backend is None:
            continue
        maker = _Maker(get_placements(backend), using, crowds)
        own, refreshes = maker.take_crowded(list(group))
        yield from refreshes
        try:
            yield from maker.make(own)
        except Exception:  # noqa: BLE001  one row fails: try each by itself
            for slot in own:
                yield from _make_one(maker, slot)


def _make_one(maker: _Maker, slot: Slot) -> list[Numbered]:
    try:
        return maker.make([slot])
    except Exception as exc:  # noqa: BLE001  whatever a hook or a serializer raises
        report(maker.backend, slot.key, exc, slot.before.alias)
        return []


class _Maker:
    """The events of one backend's rows in one database."""

    def __init__(self, placements: Placements, using: str, crowds: Crowds) -> None:
        self.backend: RealtimeBackend[Any] = placements.backend
        self._placements = placements
        self._using = using
        self._crowds = crowds
        self._crowded = crowds.get(self.backend.label, using)

    def make(self, slots: Sequence[Slot]) -> list[Numbered]:
        """Return the events of rows, each with the number of its place."""
        made: list[Numbered] = []
        with reading_what_was_written():
            rows, versions = self._read([slot.key for slot in slots])
            due = [each for slot in slots for each in self._find_due(slot, rows.get(slot.key))]
            for group in self._group_by_locale(due):
                with self.backend.localize(group[0].change):
                    made += self._render(group, versions)
        return made

    def take_crowded(self, slots: list[Slot]) -> tuple[list[Slot], list[Numbered]]:
        """Return the rows that are on other channels too, and the refresh of each crowded one."""
        if not self._crowded:
            return slots, []
        after = self._placements.read_unless_fixed(
            ((slot.key, slot.before) for slot in slots), self._using
        )
        others: list[Slot] = []
        made: list[Numbered] = []
        for slot in slots:
            places = list_places(slot.before, after.get(slot.key, NOWHERE))
            if any(each not in self._crowded for each in places):
                others.append(slot)
            crowded = [each for each in places if each in self._crowded]
            for place in self._crowds.take_new(self.backend.label, self._using, crowded):
                made += self._refresh(slot, place)
        return others, made

    def _refresh(self, slot: Slot, place: Place) -> list[Numbered]:
        alias, channel = place
        if not configs[alias].enabled:
            return []
        change: Change[Any] = Change(
            instance=self._placements.make_bare(slot.key), action=REFRESH, using=self._using
        )
        try:
            with self.backend.localize(change):
                return list(self._finish(_Due(slot, change, alias, [channel]), {}))
        except Exception as exc:  # noqa: BLE001  whatever a hook raises
            report(self.backend, slot.key, exc, alias)
            return []

    def _read(self, keys: Sequence[Any]) -> tuple[dict[Any, Model], dict[Any, Any]]:
        """Return the rows that exist for subscribers, and the versions of all rows.

        The version of a hidden row is read before the row is looked up again: another transaction
        may commit in between, and a delete must not carry the version of that one's event.
        """
        rows = {row.pk: row for row in self._placements.fetch(keys, self._using)}
        field = self.backend.version_field
        if field is None:
            return rows, {}
        missing = [key for key in keys if key not in rows]
        versions = self._placements.read_versions(missing, self._using)
        if versions:
            found = self._placements.fetch(list(versions), self._using)
            rows |= {row.pk: row for row in found}
        return rows, versions | {key: getattr(row, field) for key, row in rows.items()}

    def _group_by_locale(self, due: Sequence[_Due]) -> Iterable[Sequence[_Due]]:
        """Return what is rendered together: each alone if the backend overrides `localize`."""
        if type(self.backend).localize is not RealtimeBackend.localize:
            return [[each] for each in due]
        return [due] if due else []

    def _render(self, due: Sequence[_Due], versions: dict[Any, Any]) -> Iterator[Numbered]:
        shown = [each.change for each in due if each.change.action != "delete"]
        data = iter(self.backend.get_data_of(shown))
        for each in due:
            is_shown = each.change.action != "delete"
            yield from self._finish(each, next(data) if is_shown else self._key(each, versions))

    def _finish(self, due: _Due, data: Any) -> Iterator[Numbered]:
        event = self.backend.make_event(due.change, due.channels, data)
        if event is not None:
            for fitting in fit(self.backend, due.change, due.alias, event):
                if fitting is not event:  # a fallback, which is made for all channels of the row
                    fitting = fitting.replace(channels=event.channels)
                yield due.slot.number, (due.alias, fitting.as_published())

    def _find_due(self, slot: Slot, row: Model | None) -> Iterator[_Due]:
        """Yield the events of a row: for channels that it left, stayed on, and came to."""
        after = NOWHERE if row is None else self._placements.find(row, self._using)
        instance = self._placements.make_bare(slot.key) if row is None else row
        for action, alias, channels in _compare(slot.before, after):
            yield from self._list_due(slot, instance, action, alias, channels)

    def _list_due(
        self, slot: Slot, instance: Model, action: str, alias: str, channels: Collection[str]
    ) -> Iterator[_Due]:
        wanted = [each for each in channels if (alias, each) not in self._crowded]
        if not wanted or not configs[alias].enabled:
            return
        change: Change[Any] = Change(
            instance=instance, action=action, using=self._using, socket_id=slot.socket_id
        )
        if self.backend.handles(change):
            yield _Due(slot, change, alias, wanted)

    def _key(self, due: _Due, versions: dict[Any, Any]) -> dict[str, Any]:
        """Return the data of a delete: the key, and the version."""
        key = due.slot.key
        return self.backend.make_key_data(key, versions.get(key, due.slot.version))


def _compare(before: Placement, after: Placement) -> Iterable[tuple[str, str, Sequence[str]]]:
    """Return actions, each with the alias of a transport and channels."""
    if before is UNMOVED or before[:2] == after[:2]:
        return [("update", after.alias, after.channels)]
    if before is NOWHERE:
        return [("create", after.alias, after.channels)]
    is_same = before.alias == after.alias
    stayed = [each for each in after.channels if is_same and each in before.channels]
    return [
        ("delete", before.alias, [each for each in before.channels if each not in stayed]),
        ("update", after.alias, stayed),
        ("create", after.alias, [each for each in after.channels if each not in stayed]),
    ]
