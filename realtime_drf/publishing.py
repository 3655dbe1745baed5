"""Publishing: wait for the commit, then one hand-over of all that it commits.

How it waits. Django keeps the hooks of a transaction in ``connection.run_on_commit`` and discards
those of a savepoint that is rolled back. Each event registers a hook there that marks it ready, so
that Django itself decides whether it was committed. Behind them all stands one flush, which belongs
to no savepoint, so that it survives the rollback of the savepoint in which it was first asked for,
and hands over what is ready. What is ready is kept on the connection, in the order of commitment.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.db.transaction import TransactionManagementError
from django.utils.asyncio import async_unsafe

from realtime_drf.backends import registry
from realtime_drf.changes import Change, get_database
from realtime_drf.conf import configs, get_backends_modules
from realtime_drf.delivery import deliveries, report_failure
from realtime_drf.events import Event, list_channels
from realtime_drf.exceptions import EventRejected, InvalidEvent, PayloadTooLarge
from realtime_drf.instances import publishable
from realtime_drf.names import NamedChannel
from realtime_drf.occupancy import occupancies
from realtime_drf.protocols import Backend
from realtime_drf.silence import note_publication
from realtime_drf.transports import transports

__all__ = ["apublish", "apublish_change", "publish", "publish_change"]

logger = logging.getLogger("realtime_drf")

Addressed = tuple[str, Event]
"""A transport's alias, and an event for it."""


@async_unsafe("publish() blocks: await apublish() instead.")
def publish(*events: Event, transport: str = "default", using: str = "default") -> None:
    """Send events once the open transaction of a database is committed; now if there is none.

    Args:
        transport: alias of the transport.
        using: alias of the database whose transaction they wait for. Nothing is sent if it, or the
            savepoint in which this is called, is rolled back.

    Raises:
        TypeError: what was given is not an `Event`.
        TransportDoesNotExist, InvalidTransport: the settings are wrong.
        TransportError: only where no transaction is open and ``ON_ERROR`` is "raise"; otherwise a
            failure is logged and `publish_failed` told.
    """
    for event in events:
        _check_event(event)
    _publish([(transport, event) for event in events], using)


async def apublish(*events: Event, transport: str = "default", using: str = "default") -> None:
    """Do what `publish` does, from a coroutine.

    Whether a transaction is open is looked up in the thread in which the ORM runs. Events that do
    not wait for a commit are sent in another: neither the ORM nor other publishes wait for the
    service.
    """
    for event in events:
        _check_event(event)
    ready = await sync_to_async(_wait_for_commit)([(transport, each) for each in events], using)
    if ready:
        await sync_to_async(_send_aside, thread_sensitive=False)(ready)


def publish_change(
    *instances: Model,
    action: str,
    channels: Iterable[str | NamedChannel] = (),
    socket_id: str | None = None,
    using: str | None = None,
) -> None:
    """Let the backends of the instances' models publish a change, in one hand-over.

    For what no view sees: bulk writes, tasks, the shell. Publish a deletion before the row goes, in
    the transaction that deletes it: afterwards there is nothing to make the payload of.

    Args:
        action: "create", "update", "delete", or a word of your own.
        channels: what a view would propose; the backends have the last word.
        socket_id: token of the connection to leave out.
        using: database alias; by default the one to which the instance is written.

    Raises:
        InvalidEvent: an instance has no primary key.
    """
    publish_changes(_make_changes(instances, action, channels, socket_id, using))


async def apublish_change(
    *instances: Model,
    action: str,
    channels: Iterable[str | NamedChannel] = (),
    socket_id: str | None = None,
    using: str | None = None,
) -> None:
    """Do what `publish_change` does, from a coroutine.

    The events are made in the thread in which the ORM runs, and sent as by `apublish`.
    """
    await apublish_changes(_make_changes(instances, action, channels, socket_id, using))


@async_unsafe("publish_change() blocks: await apublish_change() instead.")
def publish_changes(changes: Iterable[Change[Any]], *, skip: type[Any] | None = None) -> None:
    """Publish ready-made changes; those of one database in one hand-over."""
    publish_prepared(prepare(changes, skip=skip))


async def apublish_changes(changes: Iterable[Change[Any]]) -> None:
    """Do what `publish_changes` does, from a coroutine."""
    ready = await sync_to_async(_prepare_and_wait)(changes)
    if ready:
        await sync_to_async(_send_aside, thread_sensitive=False)(ready)


Prepared = dict[str, list[Addressed]]
"""Events by the database alias whose commit they wait for."""


def prepare(changes: Iterable[Change[Any]], *, skip: type[Any] | None = None) -> Prepared:
    """Make the events of changes now, for publication later: a deleted row has no payload then.

    Backends of the class `skip` are left out: whoever asks has them publish in another way.
    """
    slots: list[_Slot] = []
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
    prepared: Prepared = {}
    for slot in _make_events([slot for slot in slots if configs[slot.alias].enabled]):
        if slot.event is not None:
            prepared.setdefault(slot.change.using, []).append((slot.alias, slot.event))
    return prepared


def publish_prepared(prepared: Prepared) -> None:
    """Publish what `prepare` made."""
    for using, addressed in prepared.items():
        _publish(addressed, using)


def _make_changes(
    instances: Iterable[Model],
    action: str,
    channels: Iterable[str | NamedChannel],
    socket_id: str | None,
    using: str | None,
) -> Iterator[Change[Any]]:
    note_publication()  # also of no instance: then there is nothing to publish
    proposed = tuple(list_channels(channels))
    for instance in instances:
        yield Change(
            instance=instance,
            action=action,
            channels=proposed,
            using=using or get_database(instance),
            socket_id=socket_id,
        )


def _check_event(event: object) -> None:
    """Raise TypeError at the call that is wrong; after the commit nobody could be told."""
    if not isinstance(event, Event):
        raise TypeError(
            f"publish() takes Event objects, not {type(event).__name__}: call "
            f"publish(Event(name, channels, data)), or publish(*events) for a list of them."
        )


@dataclass
class _Slot:
    """The place of an event among those that are prepared together."""

    change: Change[Any]
    backend: Backend
    alias: str
    event: Event | None = None


def _make_events(slots: Sequence[_Slot]) -> Sequence[_Slot]:
    """Have each backend make its events in one go."""
    for backend in {id(slot.backend): slot.backend for slot in slots}.values():
        own = [slot for slot in slots if slot.backend is backend]
        try:
            events = backend.get_events([slot.change for slot in own])
        except InvalidEvent as exc:  # of a channel, a name or data that a hook returned
            cls = type(backend)
            exc.add_note(f"Raised for an event of {cls.__module__}.{cls.__qualname__}.")
            raise
        for slot, made in zip(own, events, strict=True):
            event = _checked(backend, made)
            if event is not None and _is_too_large(event, slot.alias):
                event = _checked(backend, backend.get_fallback_event(slot.change, event))
            slot.event = event
    return slots


def _checked(backend: Backend, event: object) -> Event | None:
    if not isinstance(event, Event | None):
        raise TypeError(
            f"{type(backend).__qualname__} must make an Event or None, not "
            f"{type(event).__name__}; see what its adapt() returns."
        )
    return event


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


def _publish(addressed: Sequence[Addressed], using: str) -> None:
    _hand_over(_wait_for_commit(addressed, using), may_raise=True)


def _send_aside(addressed: Sequence[Addressed]) -> None:
    try:
        _hand_over(addressed, may_raise=True)
    finally:
        close_old_connections()  # of this thread, should a receiver or a cache have opened one


def _wait_for_commit(addressed: Sequence[Addressed], using: str) -> Sequence[Addressed]:
    """Have events wait for the commit of the open transaction; return them if there is none."""
    note_publication()
    addressed = [
        (alias, event.as_published()) for alias, event in addressed if configs[alias].enabled
    ]
    for alias in {alias for alias, _ in addressed}:
        transports[alias], deliveries[alias]  # what is wrong is said here, not after the commit
    connection = connections[using]
    if not addressed:
        return ()
    if connection.in_atomic_block:
        for alias, event in addressed:
            connection.on_commit(_MarkReady(connection, alias, event), robust=True)
        _flush_last(connection)
        return ()
    if connection.connection is None or connection.autocommit:
        # A connection that was never opened has no transaction, and is not opened for our sake.
        flush(connection)
        return addressed
    raise TransactionManagementError(
        f"publish() cannot know when a transaction is committed that was opened by turning off "
        f"autocommit on {using!r}: use atomic()."
    )


def _prepare_and_wait(changes: Iterable[Change[Any]]) -> Sequence[Addressed]:
    prepared = prepare(changes).items()
    return [each for using, addressed in prepared for each in _wait_for_commit(addressed, using)]


def flush(connection: BaseDatabaseWrapper) -> None:
    """Hand over what is ready on a connection.

    There may be something although its commit is over: a hook of somebody else's that is not robust
    and raises keeps those behind it from being called, our flush among them.
    """
    ready = _ready(connection)
    addressed = ready.copy()
    ready.clear()
    _hand_over(addressed, may_raise=False)


def flush_all(**kwargs: Any) -> None:
    """Hand over what is ready on all connections of this thread: the end of a request."""
    for connection in connections.all(initialized_only=True):
        flush(connection)


def _hand_over(addressed: Sequence[Addressed], *, may_raise: bool) -> None:
    """Give each transport its events, in one piece."""
    by_alias: dict[str, list[Event]] = {}
    for alias, event in addressed:
        by_alias.setdefault(alias, []).append(event)
    errors = [error for item in by_alias.items() if (error := _deliver(*item))]
    if errors and may_raise:
        raise errors[0]


def _deliver(alias: str, events: Sequence[Event]) -> Exception | None:
    """Hand events to a delivery; report an error, and return it if the settings want it raised."""
    transport = transports[alias]
    if configs[alias].skip_vacant:
        events = occupancies[alias].filter(events)
        if not events:
            return None
    try:
        deliveries[alias].deliver(transport, events)
    except Exception as exc:  # noqa: BLE001  whatever a transport does, the request goes on
        report_failure(transport, events, exc)
        return exc if configs[alias].raise_errors else None
    return None


class _MarkReady:
    """Say, when Django calls it after the commit, that an event was committed."""

    def __init__(self, connection: BaseDatabaseWrapper, alias: str, event: Event) -> None:
        self.connection, self.addressed = connection, (alias, event)
        self.called = False
        self.__qualname__ = type(self).__qualname__  # Django 5.2 logs it of a hook that raises

    def __call__(self) -> None:
        # captureOnCommitCallbacks() leaves what it has called in the list, to be called again.
        if not self.called:
            self.called = True
            _ready(self.connection).append(self.addressed)


class _Flush:
    """Hand over what is ready. One a transaction, behind all events."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.__qualname__ = type(self).__qualname__

    def __call__(self) -> None:
        flush(self.connection)


def _flush_last(connection: BaseDatabaseWrapper) -> None:
    """Put the flush behind the events, with no savepoint whose rollback would take it along.

    An earlier one is replaced where it stands: to remove it would shift the positions by which
    captureOnCommitCallbacks() knows the hooks. It is found fastest from the end.
    """
    hooks: list[Any] = connection.run_on_commit
    for index in range(len(hooks) - 1, -1, -1):
        if isinstance(hooks[index][1], _Flush):
            hooks[index] = (set(), _do_nothing, True)
            break
    hooks.append((set(), _Flush(connection), True))


def _do_nothing() -> None:
    """Stand where a flush was."""


def _ready(connection: BaseDatabaseWrapper) -> list[Addressed]:
    ready: list[Addressed] = vars(connection).setdefault("_realtime_drf_ready", [])
    return ready
