"""Publishing: events and changes, sent once the transaction that they belong to is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.db.models import Model, QuerySet
from django.utils.asyncio import async_unsafe

from realtime_drf.changes import Change, get_database
from realtime_drf.commits import Addressed, send_all, wait_for_commit
from realtime_drf.events import Event, list_channels
from realtime_drf.names import NamedChannel
from realtime_drf.preparing import Prepared, prepare, prepare_queryset
from realtime_drf.silence import note_publication

__all__ = ["apublish", "apublish_change", "publish", "publish_change"]


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
            failure is logged and `publish_failed` sent.
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
    ready = await sync_to_async(wait_for_commit)([(transport, each) for each in events], using)
    if ready:
        await sync_to_async(_send_aside, thread_sensitive=False)(ready)


@async_unsafe("publish_change() blocks: await apublish_change() instead.")
def publish_change(
    *instances: Model | QuerySet[Any],
    action: str,
    channels: Iterable[str | NamedChannel] = (),
    socket_id: str | None = None,
    using: str | None = None,
) -> None:
    """Have the backends of the instances' models publish a change, in one batch.

    For changes that no view makes: bulk writes, tasks, the shell. Publish a deletion before the row
    is deleted, in the same transaction: afterwards there is no row to read.

    Args:
        action: "create", "update", "delete", or one of your own.
        channels: what a view would propose; the backends have the last word.
        socket_id: the connection to leave out.
        using: database alias; by default the one to which the instance is written.

    Raises:
        InvalidEvent: an instance has no primary key.
    """
    publish_prepared(_prepare_all(instances, action, channels, socket_id, using))


async def apublish_change(
    *instances: Model | QuerySet[Any],
    action: str,
    channels: Iterable[str | NamedChannel] = (),
    socket_id: str | None = None,
    using: str | None = None,
) -> None:
    """Do what `publish_change` does, from a coroutine.

    The events are made in the thread in which the ORM runs, and sent as by `apublish`.
    """
    await _apublish(lambda: _prepare_all(instances, action, channels, socket_id, using))


@async_unsafe("publish_change() blocks: await apublish_change() instead.")
def publish_changes(changes: Iterable[Change[Any]], *, skip: type[Any] | None = None) -> None:
    """Publish ready-made changes; those of one database in one batch."""
    publish_prepared(prepare(changes, skip=skip))


async def apublish_changes(changes: Iterable[Change[Any]]) -> None:
    """Do what `publish_changes` does, from a coroutine."""
    await _apublish(lambda: prepare(changes))


async def _apublish(make: Callable[[], Prepared]) -> None:
    ready = await sync_to_async(_prepare_and_wait)(make)
    if ready:
        await sync_to_async(_send_aside, thread_sensitive=False)(ready)


def publish_prepared(prepared: Prepared) -> None:
    """Publish what `prepare` made."""
    for touch in prepared.touches:
        touch()
    for using, addressed in prepared.events.items():
        _publish(addressed, using)


def _prepare_all(
    subjects: Sequence[Model | QuerySet[Any]],
    action: str,
    channels: Iterable[str | NamedChannel],
    socket_id: str | None,
    using: str | None,
) -> Prepared:
    touches: list[Callable[[], None]] = []
    instances: list[Model] = []
    for each in subjects:
        if isinstance(each, Model):
            instances.append(each)
        elif prepared := prepare_queryset(each, action, socket_id, using):
            touches += prepared.touches
        else:
            instances += each
    made = prepare(_make_changes(instances, action, channels, socket_id, using))
    return Prepared(made.events, touches + made.touches)


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
    """Raise TypeError at the call that is wrong: after the commit it would be too late."""
    if not isinstance(event, Event):
        raise TypeError(
            f"publish() takes Event objects, not {type(event).__name__}: call "
            f"publish(Event(name, channels, data)), or publish(*events) for a list of them."
        )


def _publish(addressed: Sequence[Addressed], using: str) -> None:
    send_all(wait_for_commit(addressed, using), may_raise=True)


def _prepare_and_wait(make: Callable[[], Prepared]) -> Sequence[Addressed]:
    prepared = make()
    for touch in prepared.touches:
        touch()
    waiting = prepared.events.items()
    return [each for using, addressed in waiting for each in wait_for_commit(addressed, using)]


def _send_aside(addressed: Sequence[Addressed]) -> None:
    try:
        send_all(addressed, may_raise=True)
    finally:
        close_old_connections()  # of this thread, should a receiver or a cache have opened one
