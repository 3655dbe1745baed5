"""The view mixin: it publishes what a viewset creates, updates and destroys."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model, QuerySet
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import SAFE_METHODS
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from realtime_drf import silence
from realtime_drf.backends import refuse_coroutines, registry
from realtime_drf.changes import Change, get_database
from realtime_drf.commits import holding
from realtime_drf.events import list_channels
from realtime_drf.instances import (
    has_extras,
    read_again,
    reading_what_was_written,
    take_snapshot,
    takes_filters,
)
from realtime_drf.names import NamedChannel
from realtime_drf.preparing import prepare
from realtime_drf.publishing import apublish_changes, publish_changes, publish_prepared

if TYPE_CHECKING:
    _Base = GenericAPIView[Any]
else:
    _Base = object

__all__ = ["RealtimeViewMixin"]

SOCKET_ID_HEADERS = ("X-Pusher-Socket-Id", "X-Socket-Id")
"""Headers in which a client sends the id of its connection."""

SURROUNDED = {
    "perform_create": "_around_create",
    "perform_update": "_around_update",
    "perform_destroy": "_around_destroy",
    "perform_acreate": "_around_create",
    "perform_aupdate": "_around_update",
    "perform_adestroy": "_around_destroy",
}
"""Methods of DRF's generic views and of adrf's, and the context manager around each."""


class RealtimeViewMixin(_Base):
    """A mixin that publishes what the ``perform_create`` of a generic view and its like write.

    ``perform_create``, ``perform_update`` and ``perform_destroy``, overridden with or without
    ``super()``, plain or async, publish once, when the outermost call returns. For what a view
    saves elsewhere, call `publish_change`. The mixin must come before the view among the bases::

        class TodoViewSet(RealtimeViewMixin, ModelViewSet): ...
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        silence.warn_unless_installed()
        mro = cls.__mro__
        if APIView in mro and mro.index(APIView) < mro.index(RealtimeViewMixin):
            raise ImproperlyConfigured(
                f"{cls.__module__}.{cls.__qualname__}: RealtimeViewMixin does nothing after the "
                f"view; put it before the view among the bases."
            )
        refuse_coroutines(
            cls, ("get_realtime_channels", "get_realtime_socket_id", "publish_change")
        )
        for action in ("create", "update", "destroy"):
            _refuse_unawaited(cls, action, f"perform_{action}")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Bound on the instance, the wrappers are what the view calls, while super() within an
        # override uses the class: so they wrap the outermost call and no other.
        self._is_performing = False
        for name, around in SURROUNDED.items():
            if perform := getattr(self, name, None):
                setattr(self, name, self._surround(perform, getattr(self, around)))

    # Hooks

    def get_realtime_channels(self, change: Change[Any]) -> Iterable[str | NamedChannel]:
        """Return the channels that the view proposes; the backend has the last word."""
        return ()

    def get_realtime_socket_id(self) -> str | None:
        """Return the socket id of the connection that made the request, from its headers."""
        return get_socket_id(getattr(self, "request", None))

    # For custom actions

    def publish_change(self, *instances: Model, action: str) -> None:
        """Publish a change that this view made in a custom action.

        Without an instance it publishes nothing, and turns off the warning about that.
        """
        publish_changes(self._make_changes(instances, action))

    async def apublish_change(self, *instances: Model, action: str) -> None:
        """Do what `publish_change` does, from a coroutine."""
        await apublish_changes(self._make_changes(instances, action))

    # Around perform_*

    def _surround(
        self, perform: Callable[..., Any], around: Callable[[Any], AbstractContextManager[None]]
    ) -> Callable[..., Any]:
        def perform_and_publish(*args: Any, **kwargs: Any) -> Any:
            with self._outermost(around, *args, **kwargs):
                return perform(*args, **kwargs)

        async def aperform_and_publish(*args: Any, **kwargs: Any) -> Any:
            async with _in_thread(self._outermost(around, *args, **kwargs)):
                return await perform(*args, **kwargs)

        return aperform_and_publish if iscoroutinefunction(perform) else perform_and_publish

    @contextlib.contextmanager
    def _outermost(
        self,
        around: Callable[[Any], AbstractContextManager[None]],
        *args: Any,
        **kwargs: Any,
    ) -> Iterator[None]:
        if self._is_performing:  # one perform_* calls another
            yield
            return
        self._is_performing = True
        try:
            with holding(), around(next(iter([*args, *kwargs.values()]), None)):
                yield
        finally:
            self._is_performing = False

    @contextlib.contextmanager
    def _around_create(self, serializer: BaseSerializer[Any]) -> Iterator[None]:
        yield
        _note_if_none(serializer.instance)
        self._publish_saved(get_models(serializer.instance), "create")

    @contextlib.contextmanager
    def _around_update(self, serializer: BaseSerializer[Any]) -> Iterator[None]:
        subject = serializer.instance
        if subject is None:  # an upsert that has found nothing to update
            with self._around_create(serializer):
                yield
            return
        before = _find_updated(serializer)
        needs_rows = not all(map(_is_observed, before))
        previous = [take_snapshot(each) if needs_rows else None for each in before]
        queryset = self._find_own_queryset() if any(map(has_extras, before)) else None
        yield
        # A queryset that is still the serializer's was not iterated, and may be the whole table.
        is_same = isinstance(subject, QuerySet) and serializer.instance is subject
        saved = before if is_same else get_models(serializer.instance)
        # An update may end in a deletion, which only the view can publish: the key is gone.
        saved = [instance for instance in saved if instance.pk is not None]
        _note_if_none(serializer.instance)
        self._publish_saved(
            saved, "update", previous=_pair(saved, before, previous), queryset=queryset
        )

    @contextlib.contextmanager
    def _around_destroy(self, instance: Any) -> Iterator[None]:
        # The event is made while there is a row, and published once there is none.
        prepared = prepare([self._make_change(each, "delete") for each in get_models(instance)])
        yield
        publish_prepared(prepared)

    def _publish_saved(
        self,
        instances: Sequence[Model],
        action: str,
        *,
        previous: Sequence[Model | None] = (),
        queryset: QuerySet[Any] | None = None,
    ) -> None:
        """Publish what the rows of instances contain now: other code may have written to them."""
        is_observed = all(map(_is_observed, instances))  # then rows are read after the commit
        rows = instances if is_observed else read_again(instances, queryset)
        self._publish(
            [
                self._make_change(row, action, previous=before)
                for row, before in zip(rows, previous or [None] * len(rows), strict=True)
            ]
        )

    def _publish(self, changes: Sequence[Change[Any]]) -> None:
        publish_changes(changes)

    def _get_own_queryset(self) -> QuerySet[Any] | None:
        """Return the queryset from which instances came, if the view has one."""
        own = getattr(type(self), "get_queryset", None)
        if own is None:
            return None
        if own is GenericAPIView.get_queryset and getattr(self, "queryset", None) is None:
            return None
        queryset = self.get_queryset()
        return queryset if isinstance(queryset, QuerySet) else None

    def _find_own_queryset(self) -> QuerySet[Any] | None:
        """Return the view's queryset, or None if that raises: not every action needs one."""
        with contextlib.suppress(Exception):
            return self._get_own_queryset()
        return None

    def _make_changes(self, instances: Iterable[Model], action: str) -> Iterator[Change[Any]]:
        silence.note_publication()  # also of no instance: then there is nothing to publish
        for instance in instances:
            yield self._make_change(instance, action)

    def _make_change(
        self, instance: Model, action: str, *, previous: Model | None = None
    ) -> Change[Any]:
        change: Change[Any] = Change(
            instance=instance,
            action=action,
            previous=previous,
            get_serializer_class=getattr(self, "get_serializer_class", None),
            using=get_database(instance),
            socket_id=self.get_realtime_socket_id(),
        )
        with reading_what_was_written():
            channels = tuple(list_channels(self.get_realtime_channels(change)))
        return replace(change, channels=channels)

    # Whether a request has published

    _watch: silence.Watch | None = None

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        self._watch = silence.Watch()
        return super().initialize_request(request, *args, **kwargs)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        is_silent = self._watch is not None and not self._watch.end()
        if is_silent and request.method not in SAFE_METHODS and response.status_code < 400:
            action = getattr(self, "action", None) or request.method.lower()
            silence.warn_of_silent_view(type(self), action, self._explain_silence)
        return response

    def _explain_silence(self) -> str | None:
        """Return why something should have been published, or None."""
        model = self._find_model()
        if model is None:
            return "there are realtime backends" if any(True for _ in registry) else None
        if not registry.get_backends(model):
            return None
        return f"{model._meta.label} has a realtime backend"

    def _find_model(self) -> type[Model] | None:
        if (queryset := self._find_own_queryset()) is not None:
            return queryset.model
        with contextlib.suppress(Exception):  # nor a serializer
            return self.get_serializer_class().Meta.model  # type: ignore[attr-defined,no-any-return]
        return None


def get_socket_id(request: Any) -> str | None:
    """Return the socket id that a request has in its headers, or None."""
    headers = getattr(request, "headers", {})
    return next((headers[name] for name in SOCKET_ID_HEADERS if name in headers), None)


def get_models(subject: Any) -> list[Model]:
    """Return the model instances that a view writes: one, several, or none yet."""
    subjects = subject if isinstance(subject, list | tuple | QuerySet) else [subject]
    return [each for each in subjects if isinstance(each, Model)]


def _note_if_none(subject: Any) -> None:
    """Count a write of an empty list as published: there was nothing to publish."""
    if isinstance(subject, list | tuple) and not subject:
        silence.note_publication()


def _find_updated(serializer: BaseSerializer[Any]) -> list[Model]:
    """Return the instances that a serializer is about to update.

    From a queryset, which may be the whole table, only those whose keys are in the data.
    """
    queryset = serializer.instance
    if not (isinstance(queryset, QuerySet) and takes_filters(queryset)):
        return get_models(queryset)
    meta = getattr(getattr(serializer, "child", None), "Meta", None)
    name = getattr(meta, "update_lookup_field", queryset.model._meta.pk.name)  # as bulk packages do
    items = getattr(serializer, "_validated_data", None)
    keys = [item[name] for item in items if name in item] if isinstance(items, list) else []
    # Deferred fields would be read one by one, with a query for each row.
    return get_models(queryset.defer(None).filter(**{f"{name}__in": keys}))


def _is_observed(instance: Model) -> bool:
    """Return whether every backend observes the instance's model, so that none needs it."""
    return all(each.observes for each in registry.get_backends(type(instance)))


def _pair(
    saved: Sequence[Model], before: Sequence[Model], previous: Sequence[Model | None]
) -> list[Model | None]:
    """Return what each saved instance was before: by object, since its key may have changed."""
    by_object = {id(each): was for each, was in zip(before, previous, strict=True)}
    by_key = {was.pk: was for was in previous if was is not None}
    if len(saved) == len(previous) == 1:
        return [previous[0]]
    return [by_object.get(id(each), by_key.get(each.pk)) for each in saved]


@contextlib.asynccontextmanager
async def _in_thread(manager: AbstractContextManager[Any]) -> AsyncIterator[None]:
    """Enter and leave a context manager that blocks, from a coroutine."""
    await sync_to_async(manager.__enter__)()
    try:
        yield
    except BaseException as exc:
        if not await sync_to_async(manager.__exit__)(type(exc), exc, exc.__traceback__):
            raise
    else:
        await sync_to_async(manager.__exit__)(None, None, None)


def _refuse_unawaited(cls: type[Any], handler: str, perform: str) -> None:
    """Raise ImproperlyConfigured if the view would not await a coroutine function."""
    calls, called = getattr(cls, handler, None), getattr(cls, perform, None)
    is_of_drf = getattr(calls, "__module__", None) == "rest_framework.mixins"
    if iscoroutinefunction(called) and is_of_drf:
        raise ImproperlyConfigured(
            f"{cls.__module__}.{cls.__qualname__}.{perform} is async, and the view's {handler}() "
            f"does not await it: nothing would be saved. Make {handler}() async too, or use "
            f"adrf's views, which await perform_a{handler}()."
        )
