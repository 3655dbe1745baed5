"""Patterns of channel names: what is built is read back, and what overlaps is known."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from realtime_drf.exceptions import InvalidEvent
from realtime_drf.patterns import Pattern
from realtime_drf.testing.strategies import CHANNEL_CHARACTERS

WORDS = st.text(CHANNEL_CHARACTERS.replace(".", ""), max_size=4)
CONVERTERS: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(0, 10**6),
    "str": st.text(CHANNEL_CHARACTERS.replace(".", ""), min_size=1, max_size=8),
    "slug": st.text("-_09azAZ", min_size=1, max_size=8),
    "uuid": st.uuids(),
}


@st.composite
def patterns(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Return a pattern and values for it."""
    segments, values = [], {}
    for number in range(draw(st.integers(1, 3))):
        prefix, suffix = draw(WORDS), draw(WORDS)
        converter = draw(st.sampled_from(["", *CONVERTERS]))
        if converter:
            values[f"v{number}"] = draw(CONVERTERS[converter])
            segments.append(f"{prefix}<{converter}:v{number}>{suffix}")
        else:
            segments.append(prefix or "x")
    return ".".join(segments), values


@given(patterns())
def test_what_is_built_is_read_back(drawn: tuple[str, dict[str, Any]]) -> None:
    route, values = drawn
    pattern = Pattern(route)
    base = pattern.build(values)
    assert pattern.match(base) == values


@given(patterns(), st.text(CHANNEL_CHARACTERS, max_size=30))
def test_what_is_read_builds_the_same_name(drawn: tuple[str, dict[str, Any]], base: str) -> None:
    pattern = Pattern(drawn[0])
    values = pattern.match(base)
    if values is not None:
        assert pattern.build(values) == base


@given(patterns(), st.data())
def test_a_name_of_two_patterns_shows_that_they_overlap(
    drawn: tuple[str, dict[str, Any]], data: st.DataObject
) -> None:
    mine = Pattern(drawn[0])
    base = mine.build(drawn[1])
    segments = []
    for number, text in enumerate(base.split(".")):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, len(text)))
        converter = data.draw(st.sampled_from(["", *CONVERTERS]))
        hole = f"<{converter}:v{number}>" if converter else text[start:end]
        segments.append(f"{text[:start]}{hole}{text[end:]}")
    theirs = Pattern(".".join(segments))
    if theirs.match(base) is not None:
        assert mine.overlaps(theirs)
        assert theirs.overlaps(mine)


@given(patterns())
def test_a_pattern_overlaps_itself(drawn: tuple[str, dict[str, Any]]) -> None:
    assert Pattern(drawn[0]).overlaps(Pattern(drawn[0]))


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("lists.<int:pk>", "lists.<slug:name>", True),
        ("lists.<int:pk>", "lists.<uuid:id>", False),
        ("lists.<int:pk>", "lists.<int:pk>.items", False),
        ("lists.<int:pk>", "boards.<int:pk>", False),
        ("lists.<int:pk>", "<slug:kind>.<int:pk>", True),
        ("lists.<int:pk>", "lists.all", False),
        ("lists.<slug:name>", "lists.all", True),
        ("user-<int:pk>", "<slug:name>", True),
        ("user-<int:pk>", "team-<int:pk>", False),
        ("a<slug:x>", "<slug:x>b", True),
        ("1<int:x>", "<int:x>", True),
        ("0<int:x>", "<int:x>", False),
        ("<uuid:x>", "<str:x>", True),
        ("<uuid:x>", "<slug:x>", True),
    ],
)
def test_overlaps_are_decided(one: str, other: str, overlap: bool) -> None:
    assert Pattern(one).overlaps(Pattern(other)) is overlap
    assert Pattern(other).overlaps(Pattern(one)) is overlap


@pytest.mark.parametrize(
    ("route", "base"),
    [
        ("lists.<int:pk>", "lists.007"),
        ("lists.<int:pk>", "lists.7a"),
        ("lists.<int:pk>", "lists.-7"),
        ("lists.<int:pk>", "lists."),
        ("lists.<int:pk>", "lists"),
        ("lists.<int:pk>", "lists.7.8"),
        ("lists.<str:name>", "lists.a.b"),
        ("lists.<uuid:id>", "lists.00000000-0000-0000-0000-00000000000A"),
        ("user-<int:pk>", "user-"),
        ("user-<int:pk>-x", "user-x"),
        ("ab<str:x>bc", "abc"),
    ],
)
def test_what_would_not_be_built_is_not_matched(route: str, base: str) -> None:
    assert Pattern(route).match(base) is None


@pytest.mark.parametrize(
    ("route", "values"),
    [
        ("lists.<int:pk>", {"pk": "5"}),
        ("lists.<int:pk>", {"pk": -5}),
        ("lists.<int:pk>", {"pk": None}),
        ("lists.<int:pk>", {"pk": 5.5}),
        ("lists.<int:pk>", {"id": 5}),
        ("lists.<int:pk>", {}),
        ("lists.<int:pk>", {"pk": 5, "more": 1}),
        ("lists.<str:name>", {"name": "a.b"}),
        ("lists.<str:name>", {"name": ""}),
        ("lists.<slug:name>", {"name": "ä"}),
        ("lists.<uuid:id>", {"id": str(uuid.UUID(int=1))}),
    ],
)
def test_values_that_would_not_be_given_back_are_refused(
    route: str, values: dict[str, Any]
) -> None:
    with pytest.raises(InvalidEvent):
        Pattern(route).build(values)


@pytest.mark.parametrize(
    "route",
    [
        "lists.<path:rest>",
        "lists.<nothing:pk>",
        "lists.<int:a><int:b>",
        "lists.<int:pk",
        "lists.int:pk>",
        "lists.<int:>",
        "lists.<int:1a>",
        "<int:pk>.<int:pk>",
    ],
)
def test_a_malformed_pattern_is_refused(route: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="pattern"):
        Pattern(route)
