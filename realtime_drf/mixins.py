"""The view mixin: what a viewset creates, updates and destroys is published."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model, QuerySet
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from realtime_drf.backends import Change, get_database
from realtime_drf.events import list_channels
from realtime_drf.protocols import NamedChannel
from realtime_drf.publishing import prepare, publish_changes, publish_prepared

if TYPE_CHECKING:
    from rest_framework.generics import GenericAPIView

    _Base = GenericAPIView[Any]
else:
    _Base = object

ORIGIN_HEADERS = ("X-Pusher-Socket-Id", "X-Socket-Id")
"""Where a client says which connection is its own."""


class RealtimeViewMixin(_Base):
    """Publish what a generic view's ``perform_create``, ``perform_update``, ``perform_destroy`` do.

    Whichever of them the class has, overridden with or without ``super()``, each request publishes
    once, when the outermost call returns. It stands before the view among the bases::

        class TodoViewSet(RealtimeViewMixin, ModelViewSet): ...
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        mro = cls.__mro__
        if APIView in mro and mro.index(APIView) < mro.index(RealtimeViewMixin):
            raise ImproperlyConfigured(
                f"{cls.__module__}.{cls.__qualname__}: RealtimeViewMixin does nothing behind the "
                f"view; put it before it among the bases."
            )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Bound on the instance, the wrappers are what the view calls, while super() within an
        # override goes by the class: so they stand around the outermost call and no other.
        self._is_performing = False
        for name, stand_around in (
            ("perform_create", self._around_create),
            ("perform_update", self._around_update),
            ("perform_destroy", self._around_destroy),
        ):
            if perform := getattr(self, name, None):
                setattr(self, name, functools.partial(self._perform, stand_around, perform))

    # Hooks

    def get_realtime_channels(self, change: Change[Any]) -> Iterable[str | NamedChannel]:
        """Return the channels that the view proposes; the backend has the last word."""
        return ()

    def get_realtime_origin(self) -> str | None:
        """Return the token of the connection that made the request, as its header says it."""
        return get_origin(getattr(self, "request", None))

    # For actions of one's own

    def publish_change(self, *instances: Model, action: str) -> None:
        """Publish a change that this view made in an action of its own."""
        publish_changes([self._make_change(instance, action) for instance in instances])

    # What stands around perform_*

    def _perform(
        self,
        stand_around: _Around,
        perform: Callable[..., Any],
        subject: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        call = functools.partial(perform, subject, *args, **kwargs)
        if self._is_performing:  # one perform_* calls another
            return call()
        self._is_performing = True
        try:
            return stand_around(call, subject)
        finally:
            self._is_performing = False

    def _around_create(self, call: Callable[[], Any], serializer: BaseSerializer[Any]) -> Any:
        result = call()
        self._publish_saved(serializer, "create", previous=[])
        return result

    def _around_update(self, call: Callable[[], Any], serializer: BaseSerializer[Any]) -> Any:
        previous = [_snapshot(instance) for instance in get_models(serializer.instance)]
        result = call()
        self._publish_saved(serializer, "update", previous=previous)
        return result

    def _around_destroy(self, call: Callable[[], Any], instance: Any) -> Any:
        # The payload is made while there is a row, and leaves once there is none.
        prepared = prepare([self._make_change(each, "delete") for each in get_models(instance)])
        result = call()
        publish_prepared(prepared)
        return result

    def _publish_saved(
        self, serializer: BaseSerializer[Any], action: str, *, previous: Sequence[Model]
    ) -> None:
        before = {instance.pk: instance for instance in previous}
        changes = []
        for instance in get_models(serializer.instance):
            # DRF forgets what was prefetched only after this; the payload would be that of before.
            if getattr(instance, "_prefetched_objects_cache", None):
                vars(instance)["_prefetched_objects_cache"] = {}
            changes.append(self._make_change(instance, action, previous=before.get(instance.pk)))
        self._publish(changes)

    def _publish(self, changes: Sequence[Change[Any]]) -> None:
        publish_changes(changes)

    def _make_change(
        self, instance: Model, action: str, *, previous: Model | None = None
    ) -> Change[Any]:
        change: Change[Any] = Change(
            instance=instance,
            action=action,
            previous=previous,
            get_serializer_class=self.get_serializer_class,
            using=get_database(instance),
            origin=self.get_realtime_origin(),
        )
        return replace(change, channels=tuple(list_channels(self.get_realtime_channels(change))))


def get_origin(request: Any) -> str | None:
    """Return the token of the connection that a request names, or None."""
    headers = getattr(request, "headers", {})
    return next((headers[name] for name in ORIGIN_HEADERS if name in headers), None)


_Around = Callable[[Callable[[], Any], Any], Any]


def get_models(subject: Any) -> list[Model]:
    """Return the model instances in what a view performs on: one, several, or none yet."""
    subjects = subject if isinstance(subject, list | tuple | QuerySet) else [subject]
    return [each for each in subjects if isinstance(each, Model)]


def _snapshot(instance: Model) -> Model:
    """Copy an instance with the values that its fields have now."""
    snapshot = copy.copy(instance)
    values = vars(snapshot)
    for name, value in values.items():
        if isinstance(value, dict | list) and not name.startswith("_"):
            values[name] = copy.deepcopy(value)
    return snapshot
