"""Places: channels, and patterns of channels, as text and parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.models import F
from django.urls.converters import IntConverter, get_converters

from realtime_drf.channels import Channel, UserChannel
from realtime_drf.names import ChannelKind, NamedChannel, build_channel_name, parse_channel_name
from realtime_drf.patterns import Segment

ChannelLike = str | NamedChannel | type[Channel]
"""A channel: its name, an object that has one, or the class of many."""


@dataclass(frozen=True)
class Parameter:
    """A part of a channel's name that differs: a number, or text."""

    name: str
    regex: str
    is_number: bool


@dataclass(frozen=True)
class Place:
    """A channel, or all channels of a pattern, by the parts of their names."""

    kind: ChannelKind
    parts: tuple[str | Parameter, ...]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return the parts that differ."""
        return tuple(part for part in self.parts if isinstance(part, Parameter))

    @property
    def address(self) -> str:
        """Return the name with its parameters in braces: "private-lists.{pk}"."""
        return "".join(f"{{{p.name}}}" if isinstance(p, Parameter) else p for p in self.parts)

    @property
    def regex(self) -> str:
        """Return a regular expression that matches the names of these channels."""
        parts = (p.regex if isinstance(p, Parameter) else escape(p) for p in self.parts)
        return f"^{''.join(parts)}$"


_REGEXES = {"int": "(?:0|[1-9][0-9]*)", "str": "[^/.]+"}
"""Of converters that match less in a channel: no leading zeros, and no dots."""


def escape(text: str) -> str:
    """Escape text for regular expressions; unlike `re.escape`, only what JavaScript's may have."""
    return re.sub(r"[.^$*+?()\[\]{}|\\/]", r"\\\g<0>", text)


def locate(channel: object) -> Place:
    """Return the place of a channel, or of all channels of a class.

    Raises:
        ImproperlyConfigured: it is not one.
        InvalidEvent: its name is not valid.
    """
    if isinstance(channel, type) and issubclass(channel, UserChannel):
        return _locate_users()
    if isinstance(channel, type) and issubclass(channel, Channel):
        return _locate_segments(channel, {})
    if isinstance(channel, Channel) and channel.columns:
        if isinstance(channel, UserChannel):
            return _locate_users()
        return _locate_segments(type(channel), channel.kwargs)
    name = channel.name if isinstance(channel, NamedChannel) else channel
    if not isinstance(name, str):
        raise ImproperlyConfigured(f"{channel!r} is not a channel name, a channel or its class.")
    return Place(parse_channel_name(name).kind, (name,))


def _locate_users() -> Place:
    prefix = _get_prefix(ChannelKind.USER, cache=False)
    return Place(ChannelKind.USER, (prefix, Parameter("user_id", r"[\w=@,.;-]+", is_number=False)))


def _locate_segments(cls: type[Channel], values: dict[str, Any]) -> Place:
    """Return the place of a class whose pattern has values, or columns for them."""
    prefix = _get_prefix(cls.kind, cache=cls.cache)
    parts: list[str | Parameter] = []
    for number, segment in enumerate(cls.get_pattern().segments):
        parts += ["." if number else "", *_split(segment, values)]
    first, *rest = _join(parts)
    if isinstance(first, Parameter):
        first = replace(first, regex=f"{_exclude_kinds(prefix)}{first.regex}")
    return Place(cls.kind, tuple(_join([prefix, first, *rest])))


def _get_prefix(kind: ChannelKind, *, cache: bool) -> str:
    return build_channel_name(kind, "x", cache=cache).removesuffix("x")


def _exclude_kinds(prefix: str) -> str:
    """Return an expression that does not match what makes a name with the prefix another kind."""
    kinds = [kind for kind in ChannelKind if kind is not ChannelKind.USER]
    prefixes = {_get_prefix(kind, cache=cache) for kind in kinds for cache in (False, True)}
    longer = sorted(each for each in prefixes if each.startswith(prefix) and each != prefix)
    rests = [escape(each.removeprefix(prefix)) for each in longer]
    return f"(?!{'|'.join(rests)})" if rests else ""


def _split(segment: Segment, values: dict[str, Any]) -> list[str | Parameter]:
    value = values.get(segment.parameter or "")
    if segment.parameter is None or (value is not None and not isinstance(value, F)):
        return [segment.build(value)]
    converter: Any = get_converters()[segment.converter_name or ""]
    is_number = isinstance(converter, IntConverter)
    regex = _REGEXES.get(segment.converter_name or "", f"(?:{converter.regex})")
    return [segment.prefix, Parameter(segment.parameter, regex, is_number), segment.suffix]


def _join(parts: Iterable[str | Parameter]) -> Iterator[str | Parameter]:
    """Yield parts, neighbouring texts as one and without empty ones."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        if text:
            yield text
        yield part
        text = ""
    if text:
        yield text
