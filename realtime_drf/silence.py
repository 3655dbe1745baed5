"""Warnings about changes that publish nothing, or nothing useful. Each is logged once a process.

They go to the logger ``realtime_drf.silence``, so that a project can turn off just these.
"""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from django.apps import apps
from django.db.models import Model

if TYPE_CHECKING:
    from realtime_drf.events import Event

logger = logging.getLogger("realtime_drf.silence")

MAX_CHANNELS: Final = 1_000
"""Pairs of an event's name and a channel that are remembered to find namesakes."""


class Watch:
    """A record of whether a request publishes, also in what it calls and awaits."""

    def __init__(self) -> None:
        self._has_published = False
        # Weakly: one that an exception kept from ending must not live as long as its thread.
        around = _watch.get()
        self._around = weakref.ref(around) if around else None
        _watch.set(self)

    def note(self) -> None:
        """Remember that the request has published."""
        self._has_published = True

    def end(self) -> bool:
        """Return whether the request has published; a request around it then has too."""
        _watch.set(self._around() if self._around else None)
        if self._has_published:
            note_publication()
        return self._has_published


_watch: ContextVar[Watch | None] = ContextVar("realtime_drf_watch", default=None)


def note_publication() -> None:
    """Remember that the current request has published."""
    if watch := _watch.get():
        watch.note()


def warn_unless_installed() -> None:
    """Warn of a project that uses the package without installing the app."""
    if apps.apps_ready and not apps.is_installed("realtime_drf"):
        _warn_of_no_app()


@functools.cache
def _warn_of_no_app() -> None:
    logger.warning(
        "'realtime_drf' is not in INSTALLED_APPS: no realtime.py is imported, so there are no "
        "backends and no channels, and no system check looks at the settings. Add it."
    )


_silent_views: set[tuple[str, str]] = set()


def warn_of_silent_view(view: type[Any], action: str, explain: Callable[[], str | None]) -> None:
    """Warn of a view whose write succeeded and published nothing.

    `explain` is called once for each view and action. It returns why something should have been
    published, or None.
    """
    name = f"{view.__module__}.{view.__qualname__}"
    if (name, action) in _silent_views:
        return
    _silent_views.add((name, action))
    if reason := explain():
        logger.warning(
            "%s: %r succeeded and published nothing, although %s. The mixin publishes "
            "the instance that perform_create() or perform_update() leaves in the serializer, and "
            "the one that perform_destroy() is given. After any other write, call "
            "self.publish_change(instance, action=%r), without an instance if there is nothing to "
            "publish; in a coroutine, await self.apublish_change().",
            name,
            action,
            reason,
            _ACTIONS.get(action, action),
        )


_ACTIONS: Final = {
    "post": "create",
    "put": "update",
    "patch": "update",
    "partial_update": "update",
    "destroy": "delete",
    "acreate": "create",
    "aupdate": "update",
    "partial_aupdate": "update",
    "adestroy": "delete",
}
"""The action of a change, by the view's action or method."""


@functools.cache
def warn_of_no_channels(backend: str) -> None:
    """Warn of a backend that leaves its channels to a view which proposes none."""
    logger.warning(
        "%s sends nothing: it has no get_channels(), and no channels were proposed, neither by a "
        "view's get_realtime_channels() nor by publish_change(channels=…).",
        backend,
    )


_senders: dict[tuple[str, str], str] = {}


def watch_for_namesakes(model: type[Model], event: Event) -> None:
    """Warn if models of two apps send events of one name on one channel."""
    label = model._meta.label
    for channel in event.channels:
        sender = _senders.get((event.name, channel))
        if sender is None and len(_senders) < MAX_CHANNELS:
            _senders[event.name, channel] = label
        elif sender not in (None, label):
            _warn_of_namesakes(event.name, channel, *sorted([str(sender), label]))


@functools.cache
def _warn_of_namesakes(name: str, channel: str, one: str, other: str) -> None:
    logger.warning(
        "%s and %s both send %r on %r, where clients cannot tell them apart. Override "
        "get_event_name() of one of their backends.",
        one,
        other,
        name,
        channel,
    )
