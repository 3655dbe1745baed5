"""What is known of one channel, and whether it follows that it is vacant.

`realtime_drf.occupancy` explains the rules.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from realtime_drf.names import ChannelKind, parse_channel_name

SKEW: Final = 5.0
"""Seconds by which the service's clock and ours may differ."""

GRACE: Final = 15.0
"""Seconds after a grant in which no report is believed that its channel is vacant."""

VACATED_FOR: Final = 60.0
"""Seconds for which a webhook of a vacated channel is fresh."""

LISTED_FOR: Final = 5.0
"""Seconds for which a listing is fresh, and no other of its prefix is requested."""

BELIEVED_FOR: Final = GRACE + VACATED_FOR
"""Seconds after a report of occupancy in which one of vacancy that it overrides may be fresh."""


class Observation(NamedTuple):
    """The last report that a channel is occupied; without one, when we began to watch it."""

    at: float
    """When this was written, by our clock."""
    stamp: float
    """The time that it is about: a webhook's time, or ``at``."""
    is_occupied: bool
    """False where we have only begun to watch."""


class Listing(NamedTuple):
    """The channels under a prefix that were occupied when the service was asked."""

    at: float
    names: frozenset[str]


class Found(NamedTuple):
    """The entries of the cache about a channel."""

    observed: Observation | None
    vacated: float | None
    listing: Listing | None


def is_vacant(name: str, found: Found, own: float, now: float) -> bool:
    """Return whether a channel is vacant, by what the cache knows of it.

    Args:
        own: when this process itself last knew that it was occupied, or 0.
    """
    observed = found.observed
    if observed is None:
        return False
    needs_grant = parse_channel_name(name).kind is not ChannelKind.PUBLIC
    margin = GRACE if needs_grant else SKEW
    at = max(observed.at, own)
    vacated, listing = found.vacated, found.listing
    is_fresh = vacated is not None and now - vacated < VACATED_FOR
    if vacated is not None and is_fresh and vacated > max(at + margin, observed.stamp):
        return True
    if listing is None or name in listing.names or now - listing.at >= LISTED_FOR:
        return False
    # Both times are ours; and no report of a public channel that we only watch can be on its way.
    is_ours = not (needs_grant or observed.is_occupied or own > observed.at)
    return listing.at >= at + (0 if is_ours else margin)


def is_unknown(found: Found) -> bool:
    """Return whether it is worth asking the service."""
    observed, vacated = found.observed, found.vacated
    if observed is None or not observed.is_occupied:
        return True
    return vacated is not None and vacated >= observed.stamp


def read_observation(value: Any) -> Observation | None:
    """Return a value of the cache as it was written; None if another version wrote it."""
    match value:
        case [float() | int() as at, float() | int() as stamp, bool() as is_occupied]:
            return Observation(at, stamp, is_occupied)
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
