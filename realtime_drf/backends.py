"""The backends that turn changes into events, and their registry.

A backend is registered when its class is defined. A change goes to the backends of the nearest
class in the instance's ancestry that has any. So a proxy's changes go to the backends of its
concrete model, and those of a multi-table child to its parent's, unless it has backends of its own.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model, QuerySet
from django.utils import timezone, translation
from rest_framework.serializers import BaseSerializer

from realtime_drf import silence
from realtime_drf.changes import ACTIONS, Change
from realtime_drf.channels import Channel
from realtime_drf.conf import DEFAULT_ALIAS, get_language
from realtime_drf.events import Event, list_channels
from realtime_drf.instances import reading_what_was_written
from realtime_drf.keys import get_key, make_key_data
from realtime_drf.names import NamedChannel
from realtime_drf.serializing import serialize

__all__ = ["BackendRegistry", "RealtimeBackend", "registry"]

M = TypeVar("M", bound=Model)


class RealtimeBackend(Generic[M]):
    """A maker of events from the changes of one model. Each hook has a default.

    ``serializer_class`` makes the payload and, if it is a ModelSerializer, names the model; else
    ``model`` does. Without one, the serializer that a view picks for its request makes the payload,
    for everyone on the channel. A class with ``class Meta: abstract = True`` is a base and not
    registered. A registered subclass for the same model replaces its parent.
    """

    serializer_class: ClassVar[type[BaseSerializer[Any]] | None] = None
    model: ClassVar[type[Model] | None] = None

    actions: ClassVar[tuple[str, ...]] = ACTIONS
    """Which of create, update and delete to publish; custom actions always are."""

    exclude_sender: ClassVar[bool] = True
    """Leave out the connection that caused the change."""

    observe: ClassVar[bool] = True
    """Publish every change that the ORM makes to a row.

    This needs a `serializer_class`, and ``channels`` or a `get_channels` of the backend's own,
    which is called for any row and so must depend on ``change.instance`` alone. Otherwise, and if
    this is False, only views with the mixin and `publish_change` publish.
    """

    channels: ClassVar[Sequence[str | NamedChannel]] = ()
    """Where each row is: names, and channels whose values may be columns of the row.

    >>> channels = ["todos", ListChannel(pk=F("list_id"))]  # doctest: +SKIP

    A channel with a column that is NULL is left out. It takes the place of `get_channels`.
    """

    depends_on: ClassVar[Sequence[str]] = ()
    """Relations that the payload shows: a change of what they lead to is an update of the row."""

    version_field: ClassVar[str | None] = None
    """A field that grows with each write: subscribers compare it to drop older events."""

    refresh_above: ClassVar[int | None] = None
    """Rows of a channel in one commit, above which one "todo.refresh" replaces them."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_coroutines(cls, [name for name in vars(RealtimeBackend) if not name.startswith("_")])
        # Only its own attribute: a Meta that inherits is not abstract, as with models.
        if not vars(vars(cls).get("Meta", object)).get("abstract", False):
            registry.register(cls)

    @classmethod
    def get_model(cls) -> type[Model]:
        """Return the model whose changes this backend publishes."""
        model = cls.model or getattr(getattr(cls.serializer_class, "Meta", None), "model", None)
        if model is None:
            raise ImproperlyConfigured(
                f"{cls.__module__}.{cls.__qualname__} needs a serializer_class that is a "
                f"ModelSerializer, or a model; a base needs class Meta: abstract = True."
            )
        return model

    # Hooks

    def get_channels(self, change: Change[M]) -> Iterable[str | NamedChannel]:
        """Return the channels of a change; without any, nothing is sent.

        By default they are ``channels``, or those that a view or `publish_change` proposes.
        """
        if self.channels:
            return self.build_channels(read_values(change.instance, self.get_channel_columns()))
        return change.channels

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows that exist for subscribers, with all that the payload needs.

        A row that leaves it is deleted, for them, and one that enters it is created. It is filtered
        further by primary keys. The default is that of the model's default manager.
        """
        return self.get_model()._default_manager.all()

    def get_event_name(self, change: Change[M]) -> str:
        """Return the event's name: the backend's model, a dot, and the action ("todo.create")."""
        return f"{self.get_model()._meta.model_name}.{change.action}"

    def get_serializer_class(self, change: Change[M]) -> type[BaseSerializer[Any]]:
        """Return the serializer class of the payload: the backend's own, else the view's.

        A view may pick one by its request's user; everyone on the channel gets the result.
        """
        if self.serializer_class is not None:
            return self.serializer_class
        if change.get_serializer_class is not None:
            return change.get_serializer_class()
        raise ImproperlyConfigured(
            f"{type(self).__qualname__} has no serializer_class, and no view to propose one."
        )

    def get_serializer_context(self, change: Change[M]) -> dict[str, Any]:
        """Return the serializer's context, which has no request and no user.

        Everyone on the channel gets the payload, so it must not depend on who made the change.
        """
        return {"request": None, "view": None, "format": None}

    def get_data(self, change: Change[M]) -> Any:
        """Return the event's data. It is not called for a delete: its data is the key."""
        serializer_class = self.get_serializer_class(change)
        context = self.get_serializer_context(change)
        [data] = serialize(serializer_class, [change.instance], context, backend=self)
        return data

    def get_fallback_data(self, change: Change[M]) -> Any:
        """Return smaller data for an event that is too large; None has the transport reject it."""
        return None

    def get_transport(self, change: Change[M]) -> str:
        """Return the alias of the transport, such as one for each tenant."""
        return DEFAULT_ALIAS

    def localize(self, change: Change[M]) -> contextlib.AbstractContextManager[None]:
        """Return a context manager that sets the language and the time zone of the event.

        The default sets the project's ``LANGUAGE_CODE`` and ``TIME_ZONE``, so that the payload does
        not depend on whose request made the change.
        """
        return _in_project_locale()

    def adapt(self, event: Event) -> Event | None:
        """Return the event as it is to be published, or None to drop it."""
        return event

    # Called by publishing

    @property
    def label(self) -> str:
        """The backend's unique name: its module, its class, and a number if another has both.

        Backends made by a function do; they are numbered in the order of registration.
        """
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return name if self._number == 1 else f"{name} ({self._number})"

    _number = 1

    @property
    def observes(self) -> bool:
        """Whether it publishes what the ORM does to rows."""
        names_channels = bool(self.channels) or type(self).get_channels is not _inherited_channels
        return self.observe and self.serializer_class is not None and names_channels

    def get_channel_columns(self) -> tuple[str, ...]:
        """Return the paths of the values in which ``channels`` are declared."""
        columns = (getattr(each, "columns", ()) for each in list_channels(self.channels))
        return tuple(dict.fromkeys(itertools.chain.from_iterable(columns)))

    def build_channels(self, values: Mapping[str, Any]) -> list[str]:
        """Return the names of the declared channels, by the values of `get_channel_columns`."""
        filled = (
            each.fill(values) if isinstance(each, Channel) else each
            for each in list_channels(self.channels)
        )
        return [each if isinstance(each, str) else each.name for each in filled if each is not None]

    def make_key_data(self, key: Any, version: Any) -> dict[str, Any]:
        """Return the data of a delete: the key by its columns, and the version if there is one."""
        data = make_key_data(self.get_model(), key)
        if self.version_field is not None:
            data[self.version_field] = version
        return data

    def handles(self, change: Change[M]) -> bool:
        """Return whether to make events of the change."""
        return change.action in self.actions or change.action not in ACTIONS

    def get_events(self, changes: Sequence[Change[M]]) -> Sequence[Sequence[Event]]:
        """Return the events of each change: one, or none if it has no channels or is dropped.

        Where `get_data` and `localize` are not overridden, changes that have the same serializer
        class and context are serialized together.
        """
        cls = type(self)
        if cls.get_data is RealtimeBackend.get_data and cls.localize is RealtimeBackend.localize:
            return self._get_events_together(changes)
        return [events for change in changes for events in self._get_events_together([change])]

    def get_fallback_event(self, change: Change[M], event: Event) -> Event | None:
        """Return a replacement for an event that is too large; the event itself is rejected."""
        with self.rendering(change):
            data = self.get_fallback_data(change)
            if data is None:
                return event
            return self.make_event(change, list_channels(self.get_channels(change)), data)

    def _get_events_together(self, changes: Sequence[Change[M]]) -> list[list[Event]]:
        if not changes:
            return []
        with self.rendering(changes[0]):
            channels = [list_channels(self.get_channels(change)) for change in changes]
            if not all(channels) and type(self).get_channels is RealtimeBackend.get_channels:
                silence.warn_of_no_channels(f"{type(self).__module__}.{type(self).__qualname__}")
            pairs = list(zip(changes, channels, strict=True))
            due = [change for change, names in pairs if names]
            data = iter(self.get_data_of([each for each in due if each.action != "delete"]))
            made = [
                self.make_event(change, names, self._get_gone(change) or next(data))
                if names
                else None
                for change, names in pairs
            ]
        return [[] if event is None else [event] for event in made]

    def _get_gone(self, change: Change[M]) -> dict[str, Any] | None:
        """Return the data of a delete; None of any other change."""
        if change.action != "delete":
            return None
        row = change.instance
        version = None if self.version_field is None else getattr(row, self.version_field)
        return self.make_key_data(get_key(self.get_model(), row), version)

    def get_data_of(self, changes: Sequence[Change[M]]) -> Iterator[Any]:
        if len(changes) < 2 or type(self).get_data is not RealtimeBackend.get_data:
            yield from map(self.get_data, changes)
            return
        makers = [
            (self.get_serializer_class(change), self.get_serializer_context(change))
            for change in changes
        ]
        pairs = zip(makers, changes, strict=True)
        for (serializer_class, context), group in itertools.groupby(
            pairs, key=lambda pair: pair[0]
        ):
            instances = [change.instance for _, change in group]
            yield from serialize(serializer_class, instances, context, backend=self)

    @contextlib.contextmanager
    def rendering(self, change: Any) -> Iterator[None]:
        with self.localize(change), reading_what_was_written():
            yield

    def make_event(
        self, change: Change[M], channels: list[str | NamedChannel], data: Any
    ) -> Event | None:
        socket_id = change.socket_id if self.exclude_sender else None
        name = self.get_event_name(change)
        event = self.adapt(Event(name, channels, data, socket_id=socket_id))
        is_default = type(self).get_event_name is RealtimeBackend.get_event_name
        if is_default and isinstance(event, Event):  # publishing refuses anything else
            silence.watch_for_namesakes(self.get_model(), event)
        return event


_inherited_channels = RealtimeBackend.get_channels


def read_values(instance: Any, paths: Iterable[str]) -> dict[str, Any]:
    """Return what an instance has at paths such as ``"list__owner_id"``."""
    return {path: _read_value(instance, path.split("__")) for path in paths}


def _read_value(instance: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if instance is None:
            return None
        instance = getattr(instance, step)
    return instance.pk if isinstance(instance, Model) else instance


@contextlib.contextmanager
def _in_project_locale() -> Iterator[None]:
    with translation.override(get_language()), timezone.override(None):
        yield


def refuse_coroutines(cls: type[Any], names: Iterable[str]) -> None:
    """Raise ImproperlyConfigured if a class has one of the names as a coroutine function."""
    for name in names:
        if iscoroutinefunction(getattr(cls, name, None)):
            raise ImproperlyConfigured(
                f"{cls.__module__}.{cls.__qualname__}.{name} is async, and nothing would await it: "
                f"make it a plain method."
            )


class BackendRegistry:
    """The backends of each model, in the order of their definition."""

    def __init__(self) -> None:
        self._backends: dict[type[Model], list[RealtimeBackend[Any]]] = {}
        self.receivers: list[Callable[[RealtimeBackend[Any]], None]] = []
        """Called with each backend that is registered from then on."""

    def __iter__(self) -> Iterator[RealtimeBackend[Any]]:
        return iter([backend for backends in self._backends.values() for backend in backends])

    def register(self, backend_class: type[RealtimeBackend[Any]]) -> None:
        """Add a backend; it replaces a parent that is registered for the same model."""
        silence.warn_unless_installed()
        backends = self._backends.setdefault(backend_class.get_model(), [])
        backends[:] = [each for each in backends if not issubclass(backend_class, type(each))]
        backend = backend_class()
        while self.find(backend.label):
            backend._number += 1
        backends.append(backend)
        for receive in self.receivers:
            receive(backend)

    def find(self, label: str) -> RealtimeBackend[Any] | None:
        """Return the backend of a label."""
        return next((each for each in self if each.label == label), None)

    def unregister(self, backend_class: type[RealtimeBackend[Any]]) -> None:
        """Remove a backend, if it is registered."""
        backends = self._backends.get(backend_class.get_model(), [])
        backends[:] = [each for each in backends if type(each) is not backend_class]

    def get_backends(self, model: type[Model]) -> list[RealtimeBackend[Any]]:
        """Return the backends that publish the changes of a model."""
        for cls in model.__mro__:
            if backends := self._backends.get(cls):
                return list(backends)
        return []


registry = BackendRegistry()
"""All backends of the project."""
