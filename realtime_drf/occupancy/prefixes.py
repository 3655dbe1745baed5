"""Prefixes under which channels are listed together."""

from __future__ import annotations

import functools
import itertools
import re

from realtime_drf.names import parse_channel_name

_FIRST_PART = re.compile(r"[^-_\d][^-_]*[-_]")


@functools.lru_cache(maxsize=4096)
def get_prefix(name: str) -> str:
    """Return the beginning of the channels that are listed along with one, or its whole name.

    It ends before the first of the parts between dots that looks like an id, and before the last
    part at the latest; where there are no dots, after the first hyphen or underscore.

    >>> get_prefix("private-tenants.5.todos"), get_prefix("private-room-5")
    ('private-tenants.', 'private-room-')
    """
    base = parse_channel_name(name).base
    *parts, _ = base.split(".")
    shared = "".join(f"{part}." for part in itertools.takewhile(_is_word, parts))
    if not parts and (match := _FIRST_PART.match(base)):
        shared = match[0]
    return name[: len(name) - len(base)] + shared if shared else name


def _is_word(part: str) -> bool:
    return not part[:1].isdigit() and sum(map(str.isdigit, part)) < 3
