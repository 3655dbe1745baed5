"""The names of drf_model_pusher, for projects that come from it.

Replace ``drf_model_pusher`` by ``realtime_drf`` in INSTALLED_APPS, and every
``from drf_model_pusher.<module> import X`` by ``from realtime_drf.compat import X``. These classes
send events as all others do: after the commit, through the default transport.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Model
from django.dispatch import Signal
from rest_framework.serializers import BaseSerializer

from realtime_drf.backends import RealtimeBackend, refuse_coroutines, registry
from realtime_drf.changes import Change, get_database
from realtime_drf.events import Event, list_channels
from realtime_drf.instances import publishable
from realtime_drf.mixins import SURROUNDED, RealtimeViewMixin, get_models, get_socket_id
from realtime_drf.names import NamedChannel
from realtime_drf.publishing import publish, publish_changes
from realtime_drf.silence import note_publication
from realtime_drf.views import WebhookView

__all__ = [
    "ChannelExistenceWebhook",
    "ModelPusherException",
    "ModelPusherViewMixin",
    "PacketAdapter",
    "PresencePusherBackend",
    "PrivatePusherBackend",
    "PusherBackend",
    "PusherProvider",
    "view_post_save",
    "view_pre_destroy",
]

Channels = Iterable[str | NamedChannel]

view_post_save = Signal()
"""A packet was made. Receivers get ``instance`` (the backend or view), ``channels``,
``event_name``, ``data``, ``socket_id`` and ``provider_class``."""

view_pre_destroy = Signal()
"""The same, of a row that is about to be deleted; the packet leaves once it is gone."""


class ModelPusherException(Exception):
    """A view without a model."""


class PacketAdapter:
    """A hook that changes a packet before it is sent."""

    def parse_packet(self, channels: Any, event_name: str, data: Any) -> Any:
        """Return channels, event name and data."""
        return channels, event_name, data


class PusherProvider:
    """A publisher of packets through the default transport.

    A ``provider_class`` of your own is called after the commit: first `configure`, then `trigger`.
    """

    def configure(self) -> None:
        """Prepare for `trigger`. Nothing to do here: the settings name the transport."""

    def trigger(
        self, channels: Channels, event_name: str, data: Any, socket_id: str | None = None
    ) -> None:
        """Send a packet."""
        publish(Event(event_name, channels, data, socket_id=socket_id))


class PusherBackend(RealtimeBackend[Any]):
    """A maker of packets from changes, with the hooks of drf_model_pusher.

    The model is that of ``serializer_class``, or of ``class Meta: model = …``; without a serializer
    of its own, the view's makes the payload. `view` is the view that made the change, or None.
    """

    class Meta:
        abstract = True

    observe = False  # as there, views alone publish
    packet_adapter_class: ClassVar[type[PacketAdapter]] = PacketAdapter
    provider_class: ClassVar[type[Any]] = PusherProvider

    def __init__(self, view: Any = None) -> None:
        self.view = view
        self.pusher_socket_id = self.get_pusher_socket(view)
        self.packet_adapter = self.packet_adapter_class()

    @classmethod
    def get_model(cls) -> type[Model]:
        model: type[Model] | None = getattr(vars(cls).get("Meta"), "model", None)
        return model or super().get_model()

    def push_change(
        self,
        event: str,
        instance: Any = None,
        pre_destroy: bool = False,
        ignore: bool = True,
    ) -> None:
        """Send a packet of a change; with `ignore`, not to the connection that caused it."""
        socket_id = self.pusher_socket_id if ignore else None
        using = get_database(instance) if instance is not None else DEFAULT_DB_ALIAS
        with self.rendering(None):
            packet = self.get_packet(event, instance)
            message = self._make_message(packet, socket_id, using, pre_destroy=pre_destroy)
        if message is not None:
            publish(message, using=using)

    def get_packet(self, event: str, instance: Any) -> Any:
        """Return channels, event name and data, adapted."""
        channels = self.get_channels(instance=instance)
        data = self.get_serializer(self.view, instance=instance).data
        return self.packet_adapter.parse_packet(channels, self.get_event_name(event), data)

    def get_pusher_socket(self, view: Any) -> str | None:
        """Return the socket id that the view's request names."""
        return get_socket_id(getattr(view, "request", None))

    def get_channels(self, instance: Any = None) -> Channels:
        """Return the view's channels."""
        return self.view.get_pusher_channels() if self.view else ()

    def get_event_name(self, event_type: Any) -> str:
        """Return the model's name, a dot, the event."""
        return f"{self.get_model()._meta.model_name}.{event_type}"

    def get_serializer_class(self, change: Any = None) -> type[BaseSerializer[Any]]:
        """Return the backend's own serializer, else the view's."""
        serializer_class = self.serializer_class or (self.view and self.view.get_serializer_class())
        if serializer_class is None:
            raise ImproperlyConfigured(
                f"{type(self).__qualname__} has no serializer_class, and no view to propose one."
            )
        return serializer_class

    def get_serializer(self, view: Any, *args: Any, **kwargs: Any) -> BaseSerializer[Any]:
        """Return the serializer; its context is `get_serializer_context`'s and not the view's."""
        kwargs["context"] = self.get_serializer_context()
        return self.get_serializer_class()(*args, **kwargs)

    def get_serializer_context(self, change: Any = None) -> dict[str, Any]:
        return super().get_serializer_context(change)

    def get_events(self, changes: Sequence[Change[Any]]) -> Sequence[Sequence[Event]]:
        made = [self._get_event(change) for change in changes]
        return [[] if event is None else [event] for event in made]

    def _get_event(self, change: Change[Any]) -> Event | None:
        backend = type(self)(_Proposal(change))
        socket_id = change.socket_id if self.exclude_sender else None
        with backend.rendering(change):
            packet = backend.get_packet(change.action, change.instance)
            return backend._make_message(
                packet, socket_id, change.using, pre_destroy=change.action == "delete"
            )

    def get_fallback_event(self, change: Change[Any], event: Event) -> Event | None:
        return event

    def _make_message(
        self, packet: Any, socket_id: str | None, using: str, *, pre_destroy: bool
    ) -> Event | None:
        """Send a packet's signal; return its event, unless its own provider publishes it."""
        channels, event_name, data = packet
        if not channels:
            return None
        signal = view_pre_destroy if pre_destroy else view_post_save
        _send_signal(signal, self, channels, event_name, data, socket_id, self.provider_class)
        if self.provider_class is PusherProvider:
            return self.adapt(Event(event_name, channels, data, socket_id=socket_id))
        provider_class = self.provider_class

        def trigger() -> None:  # Django 5.2 cannot log the failure of a partial
            provider = provider_class()
            provider.configure()
            provider.trigger(channels, event_name, data, socket_id)

        transaction.on_commit(trigger, using=using, robust=True)
        return None


class ChannelExistenceWebhook(WebhookView):
    """The view for webhooks of the default transport."""


class PrivatePusherBackend(PusherBackend):
    """A backend of private channels: the prefix is added where it is missing."""

    class Meta:
        abstract = True

    def get_channels(self, instance: Any = None) -> Channels:
        return _prefixed("private-", super().get_channels(instance=instance))


class PresencePusherBackend(PusherBackend):
    """A backend of presence channels: the prefix is added where it is missing."""

    class Meta:
        abstract = True

    def get_channels(self, instance: Any = None) -> Channels:
        return _prefixed("presence-", super().get_channels(instance=instance))


class ModelPusherViewMixin(RealtimeViewMixin):
    """A mixin that pushes what a view creates, updates and destroys to `get_pusher_channels`."""

    PUSH_CREATE = "create"
    PUSH_UPDATE = "update"
    PUSH_DELETE = "delete"

    push_creations = True
    push_updates = True
    push_deletions = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_coroutines(cls, ("get_pusher_channels",))
        for name in SURROUNDED:
            if iscoroutinefunction(getattr(cls, name, None)):
                raise ImproperlyConfigured(
                    f"{cls.__module__}.{cls.__qualname__}.{name} is async, and this mixin does not "
                    f"push from coroutines: use RealtimeViewMixin."
                )

    def get_pusher_channels(self) -> Channels:
        """Return the channels of this view's changes."""
        return ()

    def get_pusher_backends(self) -> list[PusherBackend]:
        """Return the backends of this view's model, made with this view."""
        backends = registry.get_backends(self._get_model())
        return [type(each)(view=self) for each in backends if isinstance(each, PusherBackend)]

    def push_changes(
        self, event: str = "update", instance: Any = None, pre_destroy: bool = False
    ) -> None:
        """Have each old backend of the model push a change, and each new one publish it."""
        note_publication()
        if isinstance(instance, Model):
            instance = publishable(instance, get_database(instance))
        for backend in self.get_pusher_backends():
            backend.push_change(event, instance, pre_destroy=pre_destroy)
        if isinstance(instance, Model):
            publish_changes([self._make_change(instance, event)], skip=PusherBackend)

    def push(
        self, channels: Channels, event_name: str, data: Any, socket_id: str | None = None
    ) -> None:
        """Publish a custom event."""
        _send_signal(view_post_save, self, channels, event_name, data, socket_id, PusherProvider)
        PusherProvider().trigger(channels, event_name, data, socket_id)

    def get_realtime_channels(self, change: Change[Any]) -> Channels:
        return self.get_pusher_channels()

    def _get_model(self) -> type[Model]:
        try:
            model: type[Model] = self.get_queryset().model
        except AssertionError as exc:  # what DRF raises if there is neither
            named = getattr(getattr(self.serializer_class, "Meta", None), "model", None)
            if named is None:
                raise ModelPusherException(
                    f"{type(self).__qualname__} needs a queryset or get_queryset()."
                ) from exc
            model = named
        return model

    @contextlib.contextmanager
    def _around_create(self, serializer: Any) -> Iterator[None]:
        with super()._around_create(serializer) if self.push_creations else _nothing_to_push():
            yield

    @contextlib.contextmanager
    def _around_update(self, serializer: Any) -> Iterator[None]:
        with super()._around_update(serializer) if self.push_updates else _nothing_to_push():
            yield

    @contextlib.contextmanager
    def _around_destroy(self, instance: Any) -> Iterator[None]:
        if not self.push_deletions:
            with _nothing_to_push():
                yield
            return
        # What is pushed before the row is deleted is sent with the commit that deletes it.
        with transaction.atomic(get_database(instance) if isinstance(instance, Model) else None):
            for each in get_models(instance):
                self.push_changes(self.PUSH_DELETE, each, pre_destroy=True)
            yield

    def _publish(self, changes: Sequence[Change[Any]]) -> None:
        for change in changes:
            self.push_changes(change.action, change.instance)


@contextlib.contextmanager
def _nothing_to_push() -> Iterator[None]:
    """Have a view write without pushing, as its flags want, and without a warning."""
    yield
    note_publication()


class _Proposal:
    """A stand-in for the view of a change that no view with the old names made."""

    def __init__(self, change: Change[Any]) -> None:
        self._change = change

    def get_pusher_channels(self) -> Channels:
        return self._change.channels

    def get_serializer_class(self) -> type[BaseSerializer[Any]] | None:
        ask = self._change.get_serializer_class
        return ask() if ask else None


def _send_signal(
    signal: Signal,
    instance: Any,
    channels: Channels,
    event_name: str,
    data: Any,
    socket_id: str | None,
    provider_class: type[Any],
) -> None:
    signal.send(
        sender=type(instance),
        instance=instance,
        channels=channels,
        event_name=event_name,
        data=data,
        socket_id=socket_id,
        provider_class=provider_class,
    )


def _prefixed(prefix: str, channels: Channels) -> list[str]:
    names = [each if isinstance(each, str) else each.name for each in list_channels(channels)]
    return [name if name.startswith(prefix) else f"{prefix}{name}" for name in names]
