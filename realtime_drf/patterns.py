"""Patterns of channel names: building names, matching them, and comparing patterns.

A pattern is segments joined by dots, ``boards.<slug:name>``. A segment is text with at most one of
Django's path converters. No converter matches a dot, so a name can be split in one way only, and a
name matches only if its values build the same name: ``007`` does not match ``<int:pk>``.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.urls.converters import get_converters

from realtime_drf.invalid import InvalidEvent

_SEGMENT = re.compile(r"([^<>]*)(?:<(?:([^>:]+):)?([^>]+)>)?([^<>]*)")

# What each of Django's converters matches: alternatives, each a sequence of sets of letters; `True`
# after a set means that any number of its letters may follow. Custom converters may match anything.
_Letters = tuple[frozenset[str], bool]
_DIGITS = frozenset(string.digits)
_SLUG = _DIGITS | set(string.ascii_letters) | set("-_")
_TEXT = _SLUG | set("=@,;")
_HEX = frozenset(string.digits + "abcdef")
_UUID = "-".join("x" * length for length in (8, 4, 4, 4, 12))
_LANGUAGES: Mapping[str, Sequence[Sequence[_Letters]]] = {
    "int": [[(frozenset("0"), False)], [(_DIGITS - {"0"}, False), (_DIGITS, True)]],
    "slug": [[(_SLUG, False), (_SLUG, True)]],
    "str": [[(_TEXT, False), (_TEXT, True)]],
    "uuid": [[(_HEX if place == "x" else frozenset("-"), False) for place in _UUID]],
}


@dataclass(frozen=True)
class Segment:
    """A segment: text, a converter with its parameter, and text; or text only."""

    prefix: str
    converter_name: str | None = None
    parameter: str | None = None
    suffix: str = ""

    def match(self, text: str) -> Any:
        """Return the value in a text; raise ValueError unless the value builds that text."""
        if self.converter_name is None:
            if text != self.prefix:
                raise ValueError
            return None
        end = len(text) - len(self.suffix)
        middle = text[len(self.prefix) : end]
        if text != f"{self.prefix}{middle}{self.suffix}" or not middle:
            raise ValueError
        value = self._parse(middle)
        if self.build(value) != text:
            raise ValueError
        return value

    def build(self, value: Any) -> str:
        """Return the text of a value; raise ValueError unless it is parsed as that value."""
        if self.converter_name is None:
            return self.prefix
        text = str(self._converter.to_url(value))
        if self._parse(text) != value:
            raise ValueError
        return f"{self.prefix}{text}{self.suffix}"

    def overlaps(self, other: Segment) -> bool:
        """Return whether some text may match both."""
        return any(_intersect(one, two) for one in self._language() for two in other._language())

    def get_example(self) -> str:
        """Return an example of this segment; for a custom converter, a plausible one."""
        return "".join(min(letters) for letters, repeats in next(self._language()) if not repeats)

    def _language(self) -> Iterator[list[_Letters]]:
        prefix, suffix = _spell(self.prefix), _spell(self.suffix)
        if self.converter_name is None:
            yield prefix
            return
        for alternative in _LANGUAGES.get(self.converter_name, _LANGUAGES["str"]):
            yield [*prefix, *alternative, *suffix]

    @property
    def _converter(self) -> Any:
        return get_converters()[self.converter_name or ""]

    def _parse(self, text: str) -> Any:
        if "." in text or not re.fullmatch(self._converter.regex, text):
            raise ValueError
        return self._converter.to_python(text)


class Pattern:
    """A pattern of the base of channel names, which is what follows their prefix."""

    def __init__(self, route: str) -> None:
        self.route = route
        self.segments = tuple(_parse_segment(part, route) for part in route.split("."))
        # Most names belong to other classes; this rules them out quickly.
        self.start = route.partition("<")[0]
        self.parameters = tuple(each.parameter for each in self.segments if each.parameter)
        if len(set(self.parameters)) < len(self.parameters):
            raise ImproperlyConfigured(f"pattern {route!r} uses a parameter twice.")

    def __repr__(self) -> str:
        return f"Pattern({self.route!r})"

    def build(self, values: Mapping[str, Any]) -> str:
        """Return the base of a name; raise InvalidEvent for values that do not match it."""
        if set(values) != set(self.parameters):
            wanted = ", ".join(self.parameters) or "nothing"
            given = ", ".join(values) or "nothing"
            raise InvalidEvent(f"Pattern {self.route!r} takes {wanted}, not {given}.")
        return ".".join(self._build_segments(values))

    def match(self, base: str) -> dict[str, Any] | None:
        """Return the values that build this base, or None if it does not match."""
        if not base.startswith(self.start):
            return None
        texts = base.split(".")
        if len(texts) != len(self.segments):
            return None
        values: dict[str, Any] = {}
        for segment, text in zip(self.segments, texts, strict=True):
            try:
                value = segment.match(text)
            except ValueError:
                return None
            if segment.parameter is not None:
                values[segment.parameter] = value
        return values

    def overlaps(self, other: Pattern) -> bool:
        """Return whether some name may match both."""
        if len(self.segments) != len(other.segments):
            return False
        pairs = zip(self.segments, other.segments, strict=True)
        return all(mine.overlaps(theirs) for mine, theirs in pairs)

    def get_example(self) -> str:
        """Return the base of an example name."""
        return ".".join(segment.get_example() for segment in self.segments)

    def _build_segments(self, values: Mapping[str, Any]) -> Iterator[str]:
        for segment in self.segments:
            value = values.get(segment.parameter or "")
            try:
                yield segment.build(value)
            except (ValueError, TypeError, AttributeError):
                raise InvalidEvent(
                    f"Pattern {self.route!r}: {segment.parameter}={value!r} does not match "
                    f"<{segment.converter_name}:{segment.parameter}>."
                ) from None


def _spell(text: str) -> list[_Letters]:
    return [(frozenset(letter), False) for letter in text]


def _intersect(one: Sequence[_Letters], two: Sequence[_Letters]) -> bool:
    """Return whether some text matches both: walk through both at once, in every way."""
    seen = set()
    waiting = [(0, 0)]
    while waiting:
        place = i, j = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        if i == len(one) and j == len(two):
            return True
        (mine, mine_repeats) = one[i] if i < len(one) else (frozenset[str](), False)
        (theirs, theirs_repeat) = two[j] if j < len(two) else (frozenset[str](), False)
        if mine_repeats:
            waiting.append((i + 1, j))
        if theirs_repeat:
            waiting.append((i, j + 1))
        if mine & theirs:
            waiting.append((i + (not mine_repeats), j + (not theirs_repeat)))
    return False


def _parse_segment(text: str, route: str) -> Segment:
    match = _SEGMENT.fullmatch(text)
    if match is None:
        raise ImproperlyConfigured(
            f"pattern {route!r}: {text!r} is not text with at most one <converter:name>."
        )
    prefix, converter_name, parameter, suffix = match.groups()
    if parameter is None:
        return Segment(prefix)
    converter_name = converter_name or "str"
    if converter_name not in get_converters():
        raise ImproperlyConfigured(
            f"pattern {route!r}: {converter_name!r} is not a converter that Django knows."
        )
    if converter_name == "path":
        raise ImproperlyConfigured(
            f"pattern {route!r}: <path:{parameter}> would match several segments; use <str:…>."
        )
    if not parameter.isidentifier():
        raise ImproperlyConfigured(
            f"pattern {route!r}: {parameter!r} is not a valid parameter name."
        )
    return Segment(prefix, converter_name, parameter, suffix)
