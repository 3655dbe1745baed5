"""The event: an immutable message on its way to one or more channels."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from realtime_drf.invalid import InvalidEvent
from realtime_drf.names import NamedChannel, check_event_name, parse_channel_name
from realtime_drf.rendering import read, render

__all__ = ["Event"]

_SAME: Any = object()

_ID: Final = re.compile(r"[0-9a-f]{32}")

_DUMPED: Final[dict[str, tuple[Any, str]]] = {
    "id": (str, "a str"),
    "name": (str, "a str"),
    "channels": (list, "a list"),
    "body": (str, "a str"),
    "socket_id": (str | None, "a str or None"),
    "is_published": (bool, "a bool"),
}
"""The keys of a dumped event, and the types of their values."""


@dataclass(frozen=True, slots=True, init=False)
class Event:
    """A name and JSON data, on their way to one or more channels.

    Name, channels and data are checked, and data is rendered, when the event is made: every
    transport sends the same bytes, and nothing that happens to the data afterwards reaches them.

    Args:
        name: what happened, "todo.update"; at most 200 characters.
        channels: one or several channel names, or channel objects; a name given twice
            counts once.
        data: anything that `realtime_drf.rendering.render` takes.
        socket_id: the connection that should not receive the event, as the transport knows it.

    Raises:
        InvalidEvent: the message says what is wrong, and where in the data.
    """

    name: str
    channels: tuple[str, ...]
    body: str = field(repr=False)
    """The data as JSON text."""
    socket_id: str | None = field(repr=False)
    id: str = field(compare=False)
    """32 hexadecimal digits. Each publish gives the event a new one, which `unsent` keeps."""
    _is_published: bool = field(repr=False, compare=False)

    def __init__(
        self,
        name: str,
        channels: str | NamedChannel | Iterable[str | NamedChannel],
        data: Any = None,
        *,
        socket_id: str | None = None,
    ) -> None:
        check_event_name(name)
        _check_socket_id(socket_id)
        self._fill(name, _channel_names(channels), render(data), socket_id, _make_id(), False)

    @property
    def data(self) -> Any:
        """Read the body back: a fresh object at each access."""
        return json.loads(self.body)

    def dump(self) -> dict[str, Any]:
        """Return the event as a dict of JSON's types, for `load` in another process or later."""
        return {
            "id": self.id,
            "name": self.name,
            "channels": list(self.channels),
            "body": self.body,
            "socket_id": self.socket_id,
            "is_published": self._is_published,
        }

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Self:
        """Make the same event again, with its id, and with its body as it was.

        Keys that `dump` does not write are ignored: those of a later version may be there.

        Raises:
            InvalidEvent: the message says which key is missing or wrong.
        """
        _check_dumped(data)
        event = object.__new__(cls)
        event._fill(
            data["name"],
            _channel_names(data["channels"]),
            data["body"],
            data["socket_id"],
            data["id"],
            data["is_published"],
        )
        return event

    def to(self, channels: Iterable[str]) -> Self:
        """Return the same event, id included, on some of its channels."""
        copy = object.__new__(type(self))
        copy._fill(
            self.name, tuple(channels), self.body, self.socket_id, self.id, self._is_published
        )
        return copy

    def as_published(self) -> Self:
        """Return the event as one publish sends it, with an id of its own.

        An event that has been published before, such as one of `unsent`, is returned as it is: a
        service that knows ids takes it once, however often it is sent.
        """
        if self._is_published:
            return self
        copy = object.__new__(type(self))
        copy._fill(self.name, self.channels, self.body, self.socket_id, _make_id(), True)
        return copy

    def replace(
        self,
        *,
        name: str = _SAME,
        channels: str | NamedChannel | Iterable[str | NamedChannel] = _SAME,
        data: Any = _SAME,
        socket_id: str | None = _SAME,
    ) -> Self:
        """Return the same event, id included, with other parts; they are checked as at first."""
        copy = object.__new__(type(self))
        if name is not _SAME:
            check_event_name(name)
        if socket_id is not _SAME:
            _check_socket_id(socket_id)
        copy._fill(
            self.name if name is _SAME else name,
            self.channels if channels is _SAME else _channel_names(channels),
            self.body if data is _SAME else render(data),
            self.socket_id if socket_id is _SAME else socket_id,
            self.id,
            self._is_published,
        )
        return copy

    def _fill(
        self,
        name: str,
        channels: tuple[str, ...],
        body: str,
        socket_id: str | None,
        id_: str,
        is_published: bool,
    ) -> None:
        # The class is frozen, so its own constructors go round its __setattr__.
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "channels", channels)
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "socket_id", socket_id)
        object.__setattr__(self, "id", id_)
        object.__setattr__(self, "_is_published", is_published)


def _make_id() -> str:
    return os.urandom(16).hex()


def _check_dumped(data: Mapping[str, Any]) -> None:
    if not isinstance(data, Mapping):
        raise InvalidEvent(f"A dumped event is a dict, not {type(data).__name__}.")
    for key, (kind, words) in _DUMPED.items():
        if key not in data:
            raise InvalidEvent(f"This dumped event has no {key!r}.")
        if not isinstance(data[key], kind):
            raise InvalidEvent(
                f"{key!r} of a dumped event must be {words}, not {type(data[key]).__name__}."
            )
    check_event_name(data["name"])
    if not _ID.fullmatch(data["id"]):
        raise InvalidEvent("'id' of a dumped event must be 32 hexadecimal digits.")
    try:
        read(data["body"])
        data["body"].encode()  # no lone surrogates
    except ValueError:
        # Not from its cause, which quotes the data.
        raise InvalidEvent("'body' of a dumped event is not JSON text.") from None


def _check_socket_id(socket_id: str | None) -> None:
    if not isinstance(socket_id, str | None):
        raise InvalidEvent(f"A socket id is a string, not {type(socket_id).__name__}.")


def list_channels(
    channels: str | NamedChannel | Iterable[str | NamedChannel],
) -> list[str | NamedChannel]:
    """Make a list of one or several: one name is not taken for a sequence of letters."""
    # Whether something has the form of a channel takes long to ask: most need not be asked.
    if isinstance(channels, list | tuple):
        return list(channels)
    if isinstance(channels, str | NamedChannel):
        return [channels]
    try:
        return list(channels)
    except TypeError:
        raise InvalidEvent(
            f"Channels are one or several names or channels, not {type(channels).__name__}."
        ) from None


def _channel_names(
    channels: str | NamedChannel | Iterable[str | NamedChannel],
) -> tuple[str, ...]:
    names = [
        channel
        if isinstance(channel, str) or not isinstance(channel, NamedChannel)
        else channel.name
        for channel in list_channels(channels)
    ]
    if not names:
        raise InvalidEvent("An event needs at least one channel.")
    for name in names:
        parse_channel_name(name)
    return tuple(dict.fromkeys(names))
