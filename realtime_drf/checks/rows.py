"""Checks of observing backends: names that do not exist, and writes that are not published."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.exceptions import FieldDoesNotExist

from realtime_drf.backends import RealtimeBackend, registry
from realtime_drf.sources import RealtimeQuerySet
from realtime_drf.sources.dependencies import BY_THE_DATABASE, find_field

TAG = "realtime_drf"

_BULK = "update(), bulk_create() or bulk_update()"


def check_rows(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check every backend that observes its model, or is meant to."""
    return [message for backend in registry for message in _check(backend)]


def _check(backend: RealtimeBackend[Any]) -> Iterator[checks.CheckMessage]:
    if not backend.observes:
        classes = (cls for cls in type(backend).__mro__ if cls is not RealtimeBackend)
        if any(vars(cls).get("observe") for cls in classes):
            yield _blind(backend)
        return
    yield from _check_names(backend)
    yield from _check_manager(backend)
    yield from _check_cascades(backend)
    if found := _find_read_attribute(backend):
        yield checks.Warning(
            f"{backend.label}.get_channels() reads change.{found}, which observed changes do not "
            f"have.",
            hint="It is called for a row before and after a change: use change.instance alone, or "
            "set observe = False, so that only views and publish_change() publish.",
            obj=type(backend),
            id=f"{TAG}.W019",
        )


def _blind(backend: RealtimeBackend[Any]) -> checks.CheckMessage:
    return checks.Error(
        f"{backend.label} cannot observe {backend.get_model()._meta.label}: it needs a "
        f"serializer_class, and 'channels' or get_channels().",
        hint="Outside of views there is no other source of either.",
        obj=type(backend),
        id=f"{TAG}.E014",
    )


def _check_names(backend: RealtimeBackend[Any]) -> Iterator[checks.CheckMessage]:
    model = backend.get_model()
    for path in backend.depends_on:
        try:
            find_field(model, path)
        except (FieldDoesNotExist, ValueError) as exc:
            yield _wrong(backend, f"'depends_on' names {path!r}", str(exc))
    if backend.version_field is not None:
        try:
            model._meta.get_field(backend.version_field)
        except FieldDoesNotExist as exc:
            yield _wrong(backend, f"'version_field' is {backend.version_field!r}", str(exc))
    for path in backend.get_channel_columns():
        try:
            backend.get_queryset().values_list(path)
        except Exception as exc:  # noqa: BLE001  Django's FieldError, or whatever a manager raises
            yield _wrong(backend, f"'channels' names F({path!r})", str(exc))


def _wrong(backend: RealtimeBackend[Any], what: str, why: str) -> checks.CheckMessage:
    return checks.Error(
        f"{backend.label}: {what}, which {backend.get_model()._meta.label} does not have.",
        hint=why,
        obj=type(backend),
        id=f"{TAG}.E015",
    )


def _check_manager(backend: RealtimeBackend[Any]) -> Iterator[checks.CheckMessage]:
    model = backend.get_model()
    if not isinstance(model._default_manager.get_queryset(), RealtimeQuerySet):
        yield checks.Warning(
            f"{model._meta.label} is observed, but its manager does not publish {_BULK}.",
            hint="Use objects = RealtimeManager(), or a queryset that extends RealtimeQuerySet; or "
            "call publish_change() for what they write, and silence this check.",
            obj=model,
            id=f"{TAG}.W011",
        )


def _check_cascades(backend: RealtimeBackend[Any]) -> Iterator[checks.CheckMessage]:
    model = backend.get_model()
    for field in model._meta.concrete_fields:
        remote: Any = field.remote_field
        if remote is not None and getattr(remote, "on_delete", None) in BY_THE_DATABASE:
            yield checks.Warning(
                f"{model._meta.label}.{field.name} is {remote.on_delete.__name__}: what the "
                f"database does to rows by itself is not published.",
                hint="Use Django's own on_delete, or call publish_change(queryset, "
                "action='delete' or 'update') before the deletion, in its transaction.",
                obj=model,
                id=f"{TAG}.W013",
            )


def _find_read_attribute(backend: RealtimeBackend[Any]) -> str | None:
    """Return the attribute of a change that `get_channels` reads besides the instance, if any."""
    method = type(backend).get_channels
    if method is RealtimeBackend.get_channels:
        return None
    try:
        source = inspect.getsource(method)
    except (OSError, TypeError):  # it was defined in a shell
        return None
    found = re.search(r"\bchange\.(previous|channels|get_serializer_class)\b", source)
    return found[1] if found else None
