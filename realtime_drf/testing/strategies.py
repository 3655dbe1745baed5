"""Hypothesis strategies for events and their parts.

They need Hypothesis: ``pip install realtime-drf[testing]``.
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from realtime_drf.events import Event
from realtime_drf.exceptions import InvalidEvent
from realtime_drf.names import (
    MAX_CHANNEL_LENGTH,
    MAX_EVENT_LENGTH,
    MAX_USER_ID_LENGTH,
    RESERVED_EVENT_PREFIXES,
    ChannelKind,
    build_channel_name,
    parse_channel_name,
)

__all__ = [
    "channel_names",
    "event_names",
    "events",
    "illegal_channel_names",
    "json_values",
    "socket_ids",
    "texts",
]

CHANNEL_CHARACTERS = string.ascii_letters + string.digits + "_-=@,.;"
"""The characters of a channel name after its prefix."""

CHANNEL_KINDS = tuple(kind for kind in ChannelKind if kind is not ChannelKind.USER)
"""All kinds but the channels of users."""

ILLEGAL_CHANNEL_NAMES = (
    "",
    " ",
    "two words",
    "line\n",
    "nul\0",
    "a/b",
    "a?b",
    "a:b",
    "a#b",
    "a%62",
    "üben",
    "\N{PARTY POPPER}",
    "private-",
    "presence-",
    "private-encrypted-cache-",
    "#server-to-user-",
    "#other",
    "#server-to-user-" + "7" * (MAX_USER_ID_LENGTH + 1),
    "x" * (MAX_CHANNEL_LENGTH + 1),
)
"""Names that every transport must reject, one for each way to be invalid."""


def texts() -> st.SearchStrategy[str]:
    """Return text of all characters that can be encoded, with control characters and emoji."""
    return st.text(st.characters(exclude_categories=["Cs"]))


def json_values(*, max_leaves: int = 15) -> st.SearchStrategy[Any]:
    """Return data that is the same after a round trip through JSON."""
    leaves: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | texts()
    leaves |= st.floats(allow_nan=False, allow_infinity=False)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(), inner, max_size=4),
        max_leaves=max_leaves,
    )


def event_names() -> st.SearchStrategy[str]:
    """Return valid event names, up to the longest."""
    characters = st.characters(exclude_categories=["Cs"])
    return st.text(characters, min_size=1, max_size=MAX_EVENT_LENGTH).filter(
        lambda name: not name.startswith(RESERVED_EVENT_PREFIXES)
    )


def channel_names(kinds: Iterable[ChannelKind] = CHANNEL_KINDS) -> st.SearchStrategy[str]:
    """Return valid names of channels of these kinds, cached or not, up to the longest."""
    heads = []
    wanted = frozenset(kinds)

    def is_wanted(name: str) -> bool:
        # The text after a prefix may turn it into another prefix with nothing after it.
        return not _is_illegal(name) and parse_channel_name(name).kind in wanted

    for kind in ChannelKind:
        if kind not in wanted:
            continue
        for cache in (False, True) if kind is not ChannelKind.USER else (False,):
            prefix = build_channel_name(kind, "x", cache=cache)[:-1]
            room = MAX_CHANNEL_LENGTH - len(prefix)
            longest = MAX_USER_ID_LENGTH if kind is ChannelKind.USER else room
            heads.append(
                st.text(CHANNEL_CHARACTERS, min_size=1, max_size=longest).map(prefix.__add__)
            )
    return st.one_of(heads).filter(is_wanted)


def illegal_channel_names() -> st.SearchStrategy[str]:
    """Return names that every transport must reject."""
    return st.sampled_from(ILLEGAL_CHANNEL_NAMES) | st.text(max_size=20).filter(_is_illegal)


def socket_ids() -> st.SearchStrategy[str]:
    """Return socket ids in the form of Pusher's protocol."""
    numbers = st.integers(min_value=0, max_value=10**12)
    return st.builds("{}.{}".format, numbers, numbers)


def events(
    *,
    names: st.SearchStrategy[str] | None = None,
    channels: st.SearchStrategy[str] | None = None,
    data: st.SearchStrategy[Any] | None = None,
    socket_ids: st.SearchStrategy[str | None] | None = None,
    max_channels: int = 5,
) -> st.SearchStrategy[Event]:
    """Return events of any valid parts, and by default without a sender to exclude.

    Args:
        names, channels, data, socket_ids: strategies for these parts.
        max_channels: the most channels of one event.
    """
    several = st.lists(channels or channel_names(), min_size=1, max_size=max_channels, unique=True)
    return st.builds(
        Event,
        names or event_names(),
        several,
        data or json_values(),
        socket_id=socket_ids or st.none(),
    )


def _is_illegal(name: str) -> bool:
    try:
        Event("name", name)
    except InvalidEvent:
        return True
    return False
