"""Hypothesis strategies for what an event is made of."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import strategies as st

LEGAL = string.ascii_letters + string.digits + "_-=@,.;"
PREFIXES = [
    "",
    "private-",
    "presence-",
    "private-encrypted-",
    "cache-",
    "private-cache-",
    "presence-cache-",
    "private-encrypted-cache-",
    "#server-to-user-",
]

bases = st.text(LEGAL, min_size=1, max_size=128)
channel_names = st.builds(str.__add__, st.sampled_from(PREFIXES[:-1]), bases)
texts = st.text(st.characters(exclude_categories=["Cs"]))
event_names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200).filter(
    lambda name: not name.startswith(("pusher:", "pusher_internal:"))
)


def json_values(max_leaves: int = 15) -> st.SearchStrategy[Any]:
    """Return what JSON can hold, so that reading it back gives the same."""
    leaves = st.none() | st.booleans() | st.integers() | texts
    leaves |= st.floats(allow_nan=False, allow_infinity=False)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=max_leaves,
    )
