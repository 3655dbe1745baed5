"""What a project says it broadcasts: its backends, its channel classes, and what it declares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from django.core.exceptions import ImproperlyConfigured

from realtime_drf.backends import RealtimeBackend
from realtime_drf.backends import registry as backends
from realtime_drf.changes import REFRESH
from realtime_drf.channels import registry as policies
from realtime_drf.contract.places import ChannelLike, Place, locate
from realtime_drf.events import list_channels
from realtime_drf.names import check_event_name

_DEFAULT: Any = object()


@dataclass(frozen=True)
class Unknown:
    """Data that cannot be known, and why: a sentence with the way to declare it."""

    reason: str


@dataclass(frozen=True)
class Key:
    """The data of a delete: model fields by the names that they have in it."""

    fields: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Nothing:
    """The data of a refresh: an empty object."""


@dataclass(frozen=True)
class Declaration:
    """A declaration of an event of the project's own, or of a backend's events."""

    channels: tuple[Any, ...]
    data: Any


@dataclass
class Broadcasts:
    """The events that are broadcast, and notes of what cannot be known of them."""

    data: dict[Place, dict[str, list[Any]]] = field(default_factory=dict)
    """Of each event, by its name, what its data may be: a serializer, a type, a `Key`, …"""
    open: set[Place] = field(default_factory=set)
    """Where events of unknown names may be broadcast."""
    notes: list[str] = field(default_factory=list)
    """What cannot be known, besides data, and how to declare it: a sentence each."""

    def find(self, place: Place, event: str) -> list[Any]:
        """Return what the data of an event may be, a list that may be added to."""
        return self.data.setdefault(place, {}).setdefault(event, [])

    def list_unknown(self) -> list[str]:
        """Return all that cannot be known, and how to declare it."""
        everything = (
            each for events in self.data.values() for data in events.values() for each in data
        )
        reasons = [each.reason for each in everything if isinstance(each, Unknown)]
        return sorted({*self.notes, *reasons})


_events: dict[str, list[Declaration]] = {}
_backends: dict[type[RealtimeBackend[Any]], Declaration] = {}


def declare(
    source: str | type[RealtimeBackend[Any]],
    channels: ChannelLike | Iterable[ChannelLike] = (),
    data: Any = _DEFAULT,
) -> None:
    """Declare an event that no backend makes, or what cannot be read from a backend.

    >>> declare("import.finished", UserChannel, ImportSerializer)  # doctest: +SKIP
    >>> declare(TodoBackend, [ListChannel, StaffChannel])  # doctest: +SKIP

    Args:
        source: the name of an event, or a backend whose `get_channels` or `get_data` is its own.
        channels: names, channels or channel classes, one or several. Those of a backend are added
            to its ``channels``.
        data: a serializer class, ``SomeSerializer(many=True)``, or a type such as a TypedDict or
            ``list[int]``; None is that of an event without data. For a backend, the data of all its
            events but deletes.

    Raises:
        ImproperlyConfigured, InvalidEvent: the message says what is wrong.
    """
    listed = (channels,) if isinstance(channels, type) else tuple(list_channels(channels))  # type: ignore[arg-type]
    for each in listed:
        locate(each)
    if isinstance(source, type) and issubclass(source, RealtimeBackend):
        _backends[source] = Declaration(listed, data)
        return
    if not isinstance(source, str):
        raise ImproperlyConfigured(
            f"declare() takes the name of an event or a backend, not {source!r}."
        )
    check_event_name(source)
    if not listed:
        raise ImproperlyConfigured(f"declare({source!r}) needs the channels of the event.")
    _events.setdefault(source, []).append(Declaration(listed, None if data is _DEFAULT else data))


def get_state() -> tuple[Any, ...]:
    """Return all that `collect` reads, to compare it with what it was before."""
    events = {event: tuple(declarations) for event, declarations in _events.items()}
    return tuple(backends), tuple(policies), events, dict(_backends)


def collect() -> Broadcasts:
    """Return what the project broadcasts, by its backends, channel classes and declarations."""
    broadcasts = Broadcasts()
    for cls in policies:
        broadcasts.data.setdefault(locate(cls), {})
    for backend in backends:
        _Reader(backend, broadcasts).read()
    for event, declarations in _events.items():
        for declaration in declarations:
            for channel in declaration.channels:
                _declare_data(broadcasts, locate(channel), event, declaration.data)
    return broadcasts


def _declare_data(broadcasts: Broadcasts, place: Place, event: str, data: Any) -> None:
    """Add what is declared of an event, in place of what cannot be known."""
    known = broadcasts.find(place, event)
    known[:] = [each for each in known if not isinstance(each, Unknown) and each != data]
    known.append(data)


class _Reader:
    """A reader of what one backend broadcasts."""

    def __init__(self, backend: RealtimeBackend[Any], broadcasts: Broadcasts) -> None:
        self._backend = backend
        self._broadcasts = broadcasts
        found = (_backends[cls] for cls in type(backend).__mro__ if cls in _backends)
        self._declared = next(found, Declaration((), _DEFAULT))

    def read(self) -> None:
        """Add the backend's events to what is broadcast."""
        places = [locate(channel) for channel in self._list_channels()]
        for place in places:
            self._broadcasts.data.setdefault(place, {})
        try:
            events = {self._name_event(action): data for action, data in self._read_data().items()}
        except Exception:  # noqa: BLE001  whatever a hook raises that is asked about no row
            self._broadcasts.open.update(places)
            self._broadcasts.notes.append(
                self._explain("its events", "get_event_name()", 'declare("its.name", …)')
            )
            return
        for name, data in events.items():
            for place in places:
                known = self._broadcasts.find(place, name)
                if data not in known:
                    known.append(data)

    def _name_event(self, action: str) -> str:
        """Return the name of an event; raise an error if it depends on more than the action."""
        return self._backend.get_event_name(cast(Any, SimpleNamespace(action=action)))

    def _list_channels(self) -> list[Any]:
        declared = list(self._declared.channels)
        if self._backend.channels and not self._is_own("get_channels"):
            return [*list_channels(self._backend.channels), *declared]
        if not declared:
            hook = "get_channels()" if self._is_own("get_channels") else None
            self._broadcasts.notes.append(
                self._explain("its channels", hook, f"declare({self._name}, [SomeChannel])")
            )
        return declared

    def _read_data(self) -> dict[str, Any]:
        """Return what the data of each action is made from."""
        data = dict.fromkeys(self._backend.actions, self._find_row())
        if "delete" in data:
            data["delete"] = self._find_key()
        if self._backend.refresh_above is not None and self._backend.observes:
            data[REFRESH] = Nothing()
        if self._is_own("adapt") and self._declared.data is _DEFAULT:
            unknown = Unknown(self._explain("its data", "adapt()", self._data_mend))
            return dict.fromkeys(data, unknown)
        return data

    def _find_row(self) -> Any:
        if self._declared.data is not _DEFAULT:
            return self._declared.data
        for hook in ("get_data", "get_serializer_class", "get_fallback_data"):
            if self._is_own(hook):
                return Unknown(self._explain("its data", f"{hook}()", self._data_mend))
        if self._backend.serializer_class is None:
            return Unknown(self._explain("its data", None, self._data_mend))
        return self._backend.serializer_class

    def _find_key(self) -> Key:
        """Return the fields of a delete, as the backend names their values."""
        model = self._backend.get_model()
        fields: Any = tuple(model._meta.pk_fields)
        version = self._backend.version_field
        field = None if version is None else model._meta.get_field(version)
        named = self._backend.make_key_data(fields if len(fields) > 1 else fields[0], field)
        return Key(tuple(named.items()))

    def _is_own(self, hook: str) -> bool:
        return getattr(type(self._backend), hook) is not getattr(RealtimeBackend, hook)

    @property
    def _name(self) -> str:
        return type(self._backend).__qualname__

    @property
    def _data_mend(self) -> str:
        return f"declare({self._name}, data=SomeSerializer)"

    def _explain(self, what: str, hook: str | None, mend: str) -> str:
        why = "the backend names none" if hook is None else f"{hook} is the project's own"
        return f"{self._backend.label}: {what} cannot be known, since {why}; {mend} declares them."
