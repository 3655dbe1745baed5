"""Channel classes: the names of channels, and who may subscribe to them.

A class with a ``pattern`` is registered when it is defined. It is instantiated in two ways: from
values, to name a channel (``ListChannel(pk=5).name`` is "private-lists.5"), and from the name that
a client requests, to decide whether it may subscribe.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.db.models import F, Manager, QuerySet
from rest_framework.permissions import IsAuthenticated

from realtime_drf.channel_objects import looks_at_objects
from realtime_drf.exceptions import InvalidEvent
from realtime_drf.names import (
    ChannelKind,
    ParsedName,
    build_channel_name,
    parse_channel_name,
)
from realtime_drf.patterns import Pattern

__all__ = [
    "Channel",
    "ChannelRegistry",
    "EncryptedChannel",
    "PresenceChannel",
    "PrivateChannel",
    "PublicChannel",
    "UserChannel",
    "registry",
]

logger = logging.getLogger("realtime_drf")


class Channel:
    """A channel, named by the values of its pattern; the base of the classes below.

    Attributes:
        pattern: segments joined by dots, each with at most one of Django's path converters:
            ``"lists.<int:pk>"``. A class without one is a base class. A class that inherits one
            names channels but decides nothing; if it repeats the pattern, it replaces its parent.
        cache: whether the channel keeps its last event for later subscribers.
        permission_classes: DRF's permissions; they see the channel as their ``view``, with its
            ``kwargs`` and the ``action`` "subscribe". The project's defaults do not apply.

    Raises:
        InvalidEvent: the values do not match the pattern, or not the name that they build.
    """

    kind: ClassVar[ChannelKind]
    cache: ClassVar[bool] = False
    pattern: ClassVar[str | None] = None
    permission_classes: ClassVar[Sequence[Any]] = ()

    action: ClassVar[str] = "subscribe"
    """The view's action, for permissions."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if vars(cls).get("pattern") is not None:
            registry.register(cls)

    def __init__(self, **kwargs: Any) -> None:
        self._set(kwargs, self.build_name)

    def _set(self, kwargs: dict[str, Any], build: Callable[[dict[str, Any]], str]) -> None:
        self.kwargs = kwargs
        self.columns = tuple(_get_column(each) for each in kwargs.values() if isinstance(each, F))
        """Paths of the values that are columns of a row, in a backend's ``channels``."""
        self._name = None if self.columns else build(kwargs)

    def __repr__(self) -> str:
        if self._name is None:
            values = ", ".join(f"{name}={value!r}" for name, value in self.kwargs.items())
            return f"{type(self).__name__}({values})"
        return f"{type(self).__name__}({self._name!r})"

    @property
    def name(self) -> str:
        """The channel's name.

        Raises:
            InvalidEvent: the name depends on a row: use it in a backend's ``channels`` only.
        """
        if self._name is None:
            raise InvalidEvent(
                f"{self!r} has a name for each row: it can be used in the 'channels' of a backend "
                f"only."
            )
        return self._name

    def fill(self, values: Mapping[str, Any]) -> Self | None:
        """Return the channel of a row, by the values of `columns`; None if one of them is NULL."""
        if not self.columns:
            return self
        if any(values[column] is None for column in self.columns):
            return None
        return type(self)(
            **{
                name: values[_get_column(each)] if isinstance(each, F) else each
                for name, each in self.kwargs.items()
            }
        )

    @classmethod
    def from_name(cls, parsed: ParsedName) -> Self | None:
        """Return the channel of that name, or None if it is not of this class."""
        if (parsed.kind, parsed.cache) != (cls.kind, cls.cache):
            return None
        kwargs = cls.get_pattern().match(parsed.base)
        return None if kwargs is None else cls(**kwargs)

    @classmethod
    def build_name(cls, kwargs: dict[str, Any]) -> str:
        """Return the name that values build."""
        return build_channel_name(cls.kind, cls.get_pattern().build(kwargs), cache=cls.cache)

    @classmethod
    def get_pattern(cls) -> Pattern:
        """Return the parsed pattern; raise ImproperlyConfigured if it is malformed or missing."""
        # Parsed once per class, on first use: converters may be registered after the class.
        if "_parsed_pattern" not in vars(cls):
            if cls.pattern is None:
                raise ImproperlyConfigured(f"{cls.__qualname__} has no pattern.")
            cls._parsed_pattern = Pattern(cls.pattern)
        return cls._parsed_pattern

    @classmethod
    def check_pattern(cls) -> None:
        """Raise ImproperlyConfigured or InvalidEvent if the pattern cannot build a valid name."""
        base = cls.get_pattern().get_example()
        build_channel_name(cls.kind, base, cache=cls.cache)

    _parsed_pattern: ClassVar[Pattern]


class PublicChannel(Channel):
    """A channel that everyone may subscribe to."""

    kind = ChannelKind.PUBLIC


class PrivateChannel(Channel):
    """A channel for users whom `authorize`, or a permission on its object, allows.

    Attributes:
        queryset: where the object of a channel is looked up by the values of its name. The
            permissions are then checked for the object as well. Access is denied if there is none.
        object: the object, for `authorize` and the other methods.
    """

    kind = ChannelKind.PRIVATE
    permission_classes = (IsAuthenticated,)
    queryset: ClassVar[QuerySet[Any] | Manager[Any] | None] = None
    object: Any = None

    def authorize(self, request: Any, *args: Any, **kwargs: Any) -> bool | Awaitable[bool]:
        """Return whether the request's user may subscribe. It may be async.

        It is required, unless there is a `queryset` and a permission that checks objects.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no authorize().")

    def authorize_publish(self, request: Any, *args: Any, **kwargs: Any) -> bool | Awaitable[bool]:
        """Return whether a client that may subscribe may also publish, without this API.

        Only some transports use it, such as Ably's. It may be async.
        """
        return False

    def may_publish(self, request: Any) -> bool:
        """Call `authorize_publish` with the values of the name."""
        return self._check_bool(self.authorize_publish(request, **self.kwargs), "authorize_publish")

    @classmethod
    def authorize_many(cls, request: Any, channels: Sequence[Self]) -> Iterable[Self]:
        """Return those of several channels to which the user may subscribe.

        By default it calls `authorize` for each; override it where one query can decide on all.
        """
        return [channel for channel in channels if channel._ask(request)]

    @classmethod
    def has_policy(cls) -> bool:
        """Return whether the class decides who may subscribe."""
        return not cls.asks_each() or cls._is_written() or cls._asks_of_objects()

    @classmethod
    def asks_each(cls) -> bool:
        """Return whether each channel is decided by itself, instead of many at once."""
        return cls.authorize_many.__func__ is PrivateChannel.authorize_many.__func__  # type: ignore[attr-defined]

    @classmethod
    def _is_written(cls) -> bool:
        return cls.authorize is not PrivateChannel.authorize

    @classmethod
    def _asks_of_objects(cls) -> bool:
        return cls.queryset is not None and looks_at_objects(cls.permission_classes)

    def _ask(self, request: Any) -> bool:
        if not self._is_written() and self._asks_of_objects():
            return True  # the permissions have been checked before
        return self._check_bool(self.authorize(request, **self.kwargs), "authorize")

    def _check_bool(self, answer: bool | Awaitable[bool], name: str) -> bool:
        if isinstance(answer, Awaitable):
            answer = async_to_sync(_wait)(answer)
        if not isinstance(answer, bool):
            raise TypeError(f"{self!r}: {name}() must return a bool, not {answer!r}.")
        return answer


class EncryptedChannel(PrivateChannel):
    """A private channel whose data the service cannot read."""

    kind = ChannelKind.ENCRYPTED


class PresenceChannel(PrivateChannel):
    """A private channel whose subscribers see who else is subscribed."""

    kind = ChannelKind.PRESENCE

    def get_user_info(self, request: Any, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Return what other subscribers see of the user, besides the id: JSON, 1 KB at most."""
        return None


class UserChannel(Channel):
    """The channel of all connections that are signed in as one user.

    Takes a user or a user's id. One subclass may control signing in: who may do it (by its
    permissions), and what others see of the user.

    >>> UserChannel(7).name
    '#server-to-user-7'
    """

    kind = ChannelKind.USER
    permission_classes = (IsAuthenticated,)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        registry.user_channels.append(cls)

    def __init__(self, user: Any) -> None:
        if isinstance(user, F):
            self._set({"user": user}, str)
            return
        pk = getattr(user, "pk", user)
        if pk is None or isinstance(pk, bool):
            raise InvalidEvent(f"UserChannel needs a user with an id, or an id, not {user!r}.")
        user_id = str(pk)
        self._set({"user_id": user_id}, lambda _: build_channel_name(self.kind, user_id))

    def get_user_info(self, request: Any) -> dict[str, Any] | None:
        """Return what others may see of the user, besides the id: JSON."""
        return None

    def get_watchlist(self, request: Any) -> Iterable[str]:
        """Return the ids of users about whom the client is notified when they go on- or offline."""
        return ()


class ChannelRegistry:
    """The channel classes with a pattern, and the one that controls signing in."""

    def __init__(self) -> None:
        self.channels: list[type[Channel]] = []
        self.user_channels: list[type[UserChannel]] = []

    def __iter__(self) -> Iterator[type[Channel]]:
        return iter(self.channels)

    def register(self, channel_class: type[Channel]) -> None:
        """Add a class; it replaces a parent with the same pattern, kind and cache."""
        self.channels = [each for each in self if not _replaces(channel_class, each)]
        self.channels.append(channel_class)

    def match(self, name: str) -> Channel | None:
        """Return the channel of a name, or None, also if several classes match it.

        Raises:
            InvalidEvent: it is not a valid channel name.
        """
        parsed = parse_channel_name(name)
        found = [channel for cls in self if (channel := cls.from_name(parsed))]
        if len(found) > 1:
            classes = ", ".join(type(channel).__qualname__ for channel in found)
            logger.error("Denied %s, since several classes match it: %s", name, classes)
        return found[0] if len(found) == 1 else None

    def get_user_channel(self) -> type[UserChannel]:
        """Return the class that controls signing in."""
        return self.user_channels[-1] if self.user_channels else UserChannel


registry = ChannelRegistry()
"""All channel classes of the project."""


def _replaces(cls: type[Channel], other: type[Channel]) -> bool:
    return issubclass(cls, other) and (cls.pattern, cls.kind, cls.cache) == (
        other.pattern,
        other.kind,
        other.cache,
    )


def _get_column(expression: Any) -> str:
    return str(expression.name)


async def _wait(answer: Awaitable[Any]) -> Any:
    return await answer
