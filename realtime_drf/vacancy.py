"""What is known of a channel, and whether it follows that nobody is on it.

The law by which that is decided stands in `realtime_drf.occupancy`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from realtime_drf.names import ChannelKind, parse_channel_name

SKEW: Final = 5.0
"""Seconds by which the service's clock and ours may differ."""

GRACE: Final = 15.0
"""Seconds after a grant in which nobody is believed that its channel is vacant."""

VACATED_FOR: Final = 60.0
"""Seconds for which a webhook of a vacated channel is fresh."""

LISTED_FOR: Final = 5.0
"""Seconds for which a listing is fresh, and no other of its prefix is asked for."""

BELIEVED_FOR: Final = GRACE + VACATED_FOR
"""Seconds after a "yes" in which a "no" may be fresh that is not later than it by the margin."""


class Heard(NamedTuple):
    """The last word of a subscriber; or, where there is none, since when we have listened."""

    at: float
    """When this was written, by our clock."""
    stamp: float
    """The time of which we heard: a webhook's time, or ``at``."""
    is_occupied: bool
    """False where we have only begun to listen."""


class Listing(NamedTuple):
    """The channels under a prefix that were occupied when the service was asked."""

    at: float
    names: frozenset[str]


class Found(NamedTuple):
    """All that the cache knows of a channel."""

    heard: Heard | None
    vacated: float | None
    listing: Listing | None


def is_vacant(name: str, found: Found, own: float, now: float) -> bool:
    """Tell whether nobody is on a channel, by what the cache knows of it.

    Args:
        own: when this process itself last knew that somebody was, or 0.
    """
    heard = found.heard
    if heard is None:
        return False
    needs_grant = parse_channel_name(name).kind is not ChannelKind.PUBLIC
    margin = GRACE if needs_grant else SKEW
    at = max(heard.at, own)
    vacated, listing = found.vacated, found.listing
    is_fresh = vacated is not None and now - vacated < VACATED_FOR
    if vacated is not None and is_fresh and vacated > max(at + margin, heard.stamp):
        return True
    if listing is None or name in listing.names or now - listing.at >= LISTED_FOR:
        return False
    # Both times are ours; and of a public channel that we only watch, no word can be on its way.
    is_ours = not (needs_grant or heard.is_occupied or own > heard.at)
    return listing.at >= at + (0 if is_ours else margin)


def is_unknown(found: Found) -> bool:
    """Tell whether it is worth asking the service."""
    heard, vacated = found.heard, found.vacated
    if heard is None or not heard.is_occupied:
        return True
    return vacated is not None and vacated >= heard.stamp


def read_heard(value: Any) -> Heard | None:
    """Return a value of the cache as what was written; None if another version wrote it."""
    match value:
        case [float() | int() as at, float() | int() as stamp, bool() as is_occupied]:
            return Heard(at, stamp, is_occupied)
    return None


def read_time(value: Any) -> float | None:
    """Return a time, by the same rule."""
    return value if isinstance(value, float | int) else None


def read_listing(value: Any) -> Listing | None:
    """Return a listing, by the same rule."""
    match value:
        case [float() | int() as at, list() | tuple() as names]:
            return Listing(at, frozenset(map(str, names)))
    return None
