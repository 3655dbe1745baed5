"""What is known of the channels of one transport, and where it is kept."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.core.cache import BaseCache

from realtime_drf.deadlines import call_within
from realtime_drf.events import Event
from realtime_drf.logs import Incident
from realtime_drf.names import ChannelKind, parse_channel_name
from realtime_drf.occupancy.prefixes import get_prefix
from realtime_drf.occupancy.recent import RecentlyOccupied
from realtime_drf.occupancy.vacancy import (
    BELIEVED_FOR,
    LISTED_FOR,
    Found,
    Listing,
    Observation,
    is_unknown,
    is_vacant,
    read_listing,
    read_observation,
    read_time,
)
from realtime_drf.webhook_events import WebhookEvent

LISTING_TIMEOUT: Final = 1.0
"""Seconds that a request waits for a listing."""

KEPT_FOR: Final = 3600
"""Seconds after which a channel that is not reported is forgotten."""

MAX_RECENT: Final = 50_000
"""Occupied channels that a process remembers by itself, with some 150 bytes each."""

MAX_LISTED: Final = 1000
"""Occupied channels under a prefix beyond which their list is not kept."""

MAX_IN_KEY: Final = 64
"""Characters of a name beyond which its hash is in the key: memcached allows keys of 250."""

MAX_PENDING: Final = 10_000
"""Reports that wait to be written, beyond which all channels are taken for occupied."""

SLOW_CALL: Final = 0.5
COOLDOWN: Final = 5.0
"""Seconds without a look-up after one that failed or took longer than `SLOW_CALL` seconds."""

NOTHING_SKIPPED: Final = "no events are skipped"
"""What the log says of a cache or a listing that fails."""

OCCUPIED_KINDS: Final = frozenset({"channel_occupied", "member_added"})
VACATED_KIND: Final = "channel_vacated"


class Pending(NamedTuple):
    """A report of an occupied channel that is still to be written to the cache."""

    since: float
    stamp: float
    """The time that it is about."""


class Occupancy:
    """The vacant channels of a transport, as far as they are known. One an alias and process.

    Args:
        transport: is asked for its occupied channels.
        get_cache: returns the cache; each thread has one of its own.
        with_public: whether events to public channels may be skipped as well.
        clock: returns the time in seconds since 1970.
        call: calls a function, and raises an exception if it takes more than so many seconds.
    """

    def __init__(
        self,
        transport: Any,
        get_cache: Callable[[], BaseCache],
        *,
        with_public: bool = True,
        clock: Callable[[], float] = time.time,
        call: Callable[[Callable[[], Any], float], Any] | None = None,
    ) -> None:
        self._transport = transport
        self._get_cache = get_cache
        self._with_public = with_public
        self._clock = clock
        self._call = call or call_within
        app = f"{transport.alias}\n{getattr(transport, 'app_id', '')}"
        self._prefix = f"realtime_drf:{hashlib.sha256(app.encode()).hexdigest()[:16]}"
        # The clock is looked up each time, since tests set it.
        self._recent = RecentlyOccupied(BELIEVED_FOR, MAX_RECENT, lambda: self._clock())
        self._pending: dict[str, Pending] = {}
        self._paused_until = 0.0
        self._cache_incident = Incident("The cache of occupied channels", NOTHING_SKIPPED)
        self._listing_incident = Incident("The list of occupied channels", NOTHING_SKIPPED)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._transport!r}>"

    def filter(self, events: Sequence[Event]) -> list[Event]:
        """Return the events without the channels that are vacant; raise nothing."""
        names = dict.fromkeys(name for event in events for name in event.channels)
        try:
            vacant = self._find_vacant([name for name in names if self._may_skip(name)])
        except Exception as exc:  # noqa: BLE001  any cache, any error: send
            self._pause(exc)
            return list(events)
        return [left for event in events if (left := _without(event, vacant))]

    def mark_occupied(self, channels: Iterable[str]) -> None:
        """Remember that these channels have subscribers, or are about to; raise nothing."""
        self._remember(dict.fromkeys(filter(self._may_skip, channels)))

    def learn(self, events: Sequence[WebhookEvent]) -> None:
        """Remember what a service reports; raise nothing."""
        occupied = {
            event.channel: event.time_ms / 1000
            for event in events
            if event.kind in OCCUPIED_KINDS and self._may_skip(event.channel)
        }
        now = self._clock()
        vacated = {
            # Nothing has happened later than now, even if the service's clock is ahead.
            self._key("vacated", event.channel): min(event.time_ms / 1000, now)
            for event in events
            if event.kind == VACATED_KIND and self._may_skip(event.channel)
        }
        self._remember(occupied)
        if vacated:
            try:
                self._get_cache().set_many(vacated, timeout=KEPT_FOR)
            except Exception as exc:  # noqa: BLE001  any cache, any error: go on sending
                self._pause(exc)

    def _may_skip(self, name: str) -> bool:
        """Return whether a channel's events may be skipped at all.

        A cache channel keeps the event for later subscribers. Not every service reports users.
        """
        parsed = parse_channel_name(name)
        if parsed.cache or parsed.kind is ChannelKind.USER:
            return False
        return self._with_public or parsed.kind is not ChannelKind.PUBLIC

    # Occupied

    def _remember(self, channels: Mapping[str, float | None]) -> None:
        self._recent.add(channels)
        now = self._clock()
        for name, stamp in channels.items():
            self._pending[name] = Pending(now, now if stamp is None else stamp)
        if len(self._pending) > MAX_PENDING:
            self._pending.clear()
            self._recent.assume_all()
        self._write_pending()

    def _write_pending(self) -> bool:
        """Write what is pending; return whether nothing is left."""
        now = self._clock()
        for name, pending in list(self._pending.items()):
            if now - pending.since >= BELIEVED_FOR:  # it no longer overrides anything
                self._pending.pop(name, None)
        due = dict(self._pending)
        if not due:
            return True
        observed = {
            self._key("observed", name): tuple(Observation(now, pending.stamp, True))
            for name, pending in due.items()
        }
        try:
            # Some caches return nothing where Django's return an empty list.
            failed = self._get_cache().set_many(observed, timeout=KEPT_FOR) or ()
        except Exception as exc:  # noqa: BLE001  any cache, any error: it stays pending
            self._pause(exc)
            return False
        for name in due:
            if self._key("observed", name) not in failed:
                self._pending.pop(name, None)
        return not failed

    # Vacant

    def _find_vacant(self, names: Sequence[str]) -> set[str]:
        if not names or self._clock() < self._paused_until or not self._write_pending():
            return set()
        found = self._look_up(names)
        if found is None:
            return set()
        vacant = {name for name in names if self._is_vacant(name, found[name])}
        unknown = [name for name in names if name not in vacant and is_unknown(found[name])]
        if unknown:
            watched = dict(self._watch(unknown, found))
            vacant |= self._ask(watched)
        return vacant

    def _look_up(self, names: Sequence[str]) -> dict[str, Found] | None:
        """Return what the cache knows, in one round trip; None if it is too slow."""
        observed, vacated = (
            [self._key(what, name) for name in names] for what in ("observed", "vacated")
        )
        prefixes = [get_prefix(name) for name in names]
        listed = {prefix: self._key("listing", prefix) for prefix in dict.fromkeys(prefixes)}
        started = self._clock()
        values = self._get_cache().get_many([*observed, *vacated, *listed.values()])
        if self._clock() - started > SLOW_CALL:
            self._pause(TimeoutError())
            return None
        self._cache_incident.end()
        listings = {prefix: read_listing(values.get(key)) for prefix, key in listed.items()}
        return {
            name: Found(
                read_observation(values.get(observed_key)),
                read_time(values.get(vacated_key)),
                listings[prefix],
            )
            for name, prefix, observed_key, vacated_key in zip(
                names, prefixes, observed, vacated, strict=True
            )
        }

    def _watch(
        self, names: Iterable[str], found: Mapping[str, Found]
    ) -> Iterator[tuple[str, Observation]]:
        """Begin to watch those never observed; yield since when each has been watched.

        This is written before the service is asked, so that reports from now on are newer.
        """
        for name in names:
            observed = found[name].observed
            if observed is None:
                observed = Observation(self._clock(), 0.0, False)
                # Not over a report that it is occupied.
                if not self._get_cache().add(
                    self._key("observed", name), tuple(observed), timeout=KEPT_FOR
                ):
                    continue
            yield name, observed

    def _ask(self, watched: Mapping[str, Observation]) -> set[str]:
        """Ask which channels are occupied, for the prefix that most of them have.

        The others are sent this time, so that a request waits once.
        """
        if not watched or not getattr(self._transport, "supports_channel_info", False):
            return set()
        cache = self._get_cache()
        prefix = Counter(map(get_prefix, watched)).most_common(1)[0][0]
        # Names that share no prefix take turns: there may be any number of them.
        asked = "" if prefix in watched else prefix
        if not cache.add(self._key("asked", asked), 1, timeout=LISTED_FOR):
            return set()
        listing = self._list(prefix)
        if listing is None:
            return set()
        if len(listing.names) <= MAX_LISTED:
            # A list: JSON and msgpack, in which some caches write, have no sets.
            kept = (listing.at, sorted(listing.names))
            cache.set(self._key("listing", prefix), kept, timeout=LISTED_FOR)
        self._remember({name: listing.at for name in watched if name in listing.names})
        return {
            name
            for name, observed in watched.items()
            if get_prefix(name) == prefix and self._is_vacant(name, Found(observed, None, listing))
        }

    def _is_vacant(self, name: str, found: Found) -> bool:
        return is_vacant(name, found, self._recent.latest(name), self._clock())

    def _list(self, prefix: str) -> Listing | None:
        asked_at = self._clock()
        try:
            names = self._call(
                lambda: frozenset(self._transport.occupied_channels(prefix)), LISTING_TIMEOUT
            )
        except Exception as exc:  # noqa: BLE001  whatever a transport does, the event goes
            self._listing_incident.report(exc)
            return None
        self._listing_incident.end()
        return Listing(asked_at, names)

    def _pause(self, exc: Exception) -> None:
        self._paused_until = max(self._paused_until, self._clock() + COOLDOWN)
        self._recent.assume_all()  # it may come back without what was last written to it
        self._cache_incident.report(exc)

    def _key(self, what: str, name: str) -> str:
        if len(name) > MAX_IN_KEY:
            name = hashlib.sha256(name.encode()).hexdigest()
        return f"{self._prefix}:{what}:{name}"


def _without(event: Event, vacant: set[str]) -> Event | None:
    if vacant.isdisjoint(event.channels):
        return event
    channels = [name for name in event.channels if name not in vacant]
    return event.to(channels) if channels else None
