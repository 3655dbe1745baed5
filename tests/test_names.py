from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_drf.exceptions import InvalidEvent
from realtime_drf.names import (
    MAX_USER_ID_LENGTH,
    ChannelKind,
    build_channel_name,
    check_event_name,
    parse_channel_name,
)
from realtime_drf.testing.strategies import CHANNEL_CHARACTERS, channel_names, event_names


@pytest.mark.parametrize(
    ("name", "kind", "cache", "base"),
    [
        ("todos", ChannelKind.PUBLIC, False, "todos"),
        ("cache-todos", ChannelKind.PUBLIC, True, "todos"),
        ("private-x", ChannelKind.PRIVATE, False, "x"),
        ("private-cache-x", ChannelKind.PRIVATE, True, "x"),
        ("presence-x", ChannelKind.PRESENCE, False, "x"),
        ("presence-cache-x", ChannelKind.PRESENCE, True, "x"),
        ("private-encrypted-x", ChannelKind.ENCRYPTED, False, "x"),
        ("private-encrypted-cache-x", ChannelKind.ENCRYPTED, True, "x"),
        ("#server-to-user-7", ChannelKind.USER, False, "7"),
        ("privat", ChannelKind.PUBLIC, False, "privat"),
    ],
)
def test_a_name_says_its_kind(name: str, kind: ChannelKind, cache: bool, base: str) -> None:
    assert parse_channel_name(name) == (kind, cache, base)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        "private-",
        "presence-cache-",
        "private-encrypted-",
        "#",
        "#x",
        "#server-to-user-",
        "a#b",
        "a/b",
        "a:b",
        "a\n",
        "ä",
        "a" * 165,
        "#server-to-user-" + "7" * 129,
        None,
        7,
        b"todos",
        ["todos"],
    ],
)
def test_what_is_no_channel_name_is_refused(name: object) -> None:
    with pytest.raises(InvalidEvent):
        parse_channel_name(name)  # type: ignore[arg-type]


def test_the_longest_names_are_taken() -> None:
    assert parse_channel_name("a" * 164).base == "a" * 164
    assert parse_channel_name("private-" + "a" * 156).base == "a" * 156
    assert parse_channel_name("#server-to-user-" + "7" * 128).base == "7" * 128


@given(channel_names(ChannelKind))
def test_parts_of_a_name_build_it_again(name: str) -> None:
    kind, cache, base = parse_channel_name(name)
    assert build_channel_name(kind, base, cache=cache) == name


@given(
    st.sampled_from(ChannelKind),
    st.text(CHANNEL_CHARACTERS, min_size=1, max_size=MAX_USER_ID_LENGTH),
    st.booleans(),
)
def test_a_built_name_is_of_the_kind_asked_for_or_refused(
    kind: ChannelKind, base: str, cache: bool
) -> None:
    try:
        name = build_channel_name(kind, base, cache=cache)
    except InvalidEvent:
        return
    assert parse_channel_name(name) == (kind, cache, base)


@pytest.mark.parametrize(
    ("kind", "base", "cache"),
    [
        (ChannelKind.PUBLIC, "private-x", False),
        (ChannelKind.PRIVATE, "encrypted-x", False),
        (ChannelKind.PRIVATE, "cache-x", False),
        (ChannelKind.USER, "7", True),
    ],
)
def test_a_base_cannot_smuggle_another_kind_in(kind: ChannelKind, base: str, cache: bool) -> None:
    with pytest.raises(InvalidEvent):
        build_channel_name(kind, base, cache=cache)


@given(st.text(st.characters(exclude_characters=CHANNEL_CHARACTERS), min_size=1, max_size=20))
def test_no_letter_outside_the_grammar_is_taken(letters: str) -> None:
    with pytest.raises(InvalidEvent):
        parse_channel_name("a" + letters)


@given(event_names())
def test_event_names_of_any_text_are_taken(name: str) -> None:
    check_event_name(name)
    assert name


@pytest.mark.parametrize(
    "name", ["", "a" * 201, "pusher:ping", "pusher_internal:x", "\ud800", None, 7, b"x"]
)
def test_what_is_no_event_name_is_refused(name: object) -> None:
    with pytest.raises(InvalidEvent):
        check_event_name(name)  # type: ignore[arg-type]
