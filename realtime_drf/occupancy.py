"""Occupancy: which channels nobody is known to listen to, so that their events are not sent.

One law: an event to an occupied channel is never skipped because of us. What is not known is sent.

**What is kept**, in a Django cache, under keys that carry the transport's alias and app:

- of a channel, when we last heard that somebody is there (`Heard`): by a grant, a webhook or a
  listing. For a channel never heard of, when we began to watch;
- of a channel, when the service says that it was vacated;
- of a prefix, when the occupied channels were last listed, and which they were.

**What skips.** A "no" counts only while it is fresh, and only if the time that it speaks of is
later than `Heard.at` by a margin. ``at`` is always the time at which it is written, by our clock,
and never the time of which a webhook speaks. So whatever word of a subscriber reached us before, it
spoke of a time before ``at``, and the "no" is newer than all of it, also than what the cache has
lost since: an entry that is gone begins anew with an ``at`` of now. Therefore:

- Writers need no lock. Each writes a whole value without reading the old one. The last of two words
  of "yes" wins, and either is enough; one of "no" is never written over one of "yes", they have
  different keys and are compared when they are read.
- Late, doubled and reordered webhooks harm nobody: a late "yes" makes ``at`` later, which refuses
  more; a late "no" speaks of a time before ``at``.
- A listing speaks of the time at which it was asked: what was heard while it ran refuses it.
- A word of "yes" that could not be written is owed: until this process has written it, it skips
  nothing, for as long as the word can refuse a "no".

**A cache may go back**: to an older copy after a failover, to a replica that lags, or to another
one with a deploy that changes ``VERSION`` or ``KEY_PREFIX``. What it was given last is then gone,
while an older "no" in it may be fresh. So each process compares a "no" also with its own words of
"yes", which it keeps for `BELIEVED_FOR` seconds; after those, no "no" is fresh that they refuse.
One that saw the cache fail believes no "no" from before that.

**The margin** is `SKEW` for a word of the service's, whose clock is not ours, and `GRACE` for
channels that need a grant, between which and the subscription a client is nowhere to be seen.

**Supposed** is that clocks agree to within `SKEW` with the service and much better among us, that
a write reaches the cache within that time, and that a client subscribes within ``GRACE - SKEW`` of
its grant. Beyond that, and for a public channel between its first subscriber and the webhook that
says so, a "no" may be wrong for as long as it is fresh: `VACATED_FOR` and `LISTED_FOR` seconds. The
same goes for processes that have no word of "yes" of their own, where another process could not
write it, or where the cache has lost it without failing.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.core.cache import BaseCache, caches

from realtime_drf.conf import PerAlias, TransportConfig, configs, get_cache_alias
from realtime_drf.deadlines import call_within
from realtime_drf.events import Event
from realtime_drf.logs import Incident
from realtime_drf.names import ChannelKind, parse_channel_name
from realtime_drf.own_words import OwnWords
from realtime_drf.transports import transports
from realtime_drf.vacancy import (
    BELIEVED_FOR,
    LISTED_FOR,
    Found,
    Heard,
    Listing,
    is_unknown,
    is_vacant,
    read_heard,
    read_listing,
    read_time,
)
from realtime_drf.webhook_events import WebhookEvent

__all__ = ["Occupancy", "occupancies"]

LISTING_TIMEOUT: Final = 1.0
"""Seconds that a request waits for a listing."""

KEPT_FOR: Final = 3600
"""Seconds after which a channel that is not heard of is forgotten."""

MAX_OWN: Final = 50_000
"""Words of "yes" that a process keeps for itself, of some 150 bytes each."""

MAX_LISTED: Final = 1000
"""Occupied channels under a prefix beyond which their list is not kept."""

MAX_IN_KEY: Final = 64
"""Characters of a name beyond which a key has its hash: memcached's keys are 250 at most."""

MAX_OWED: Final = 10_000
SLOW: Final = 0.5
REST: Final = 5.0
"""A cache that fails, or takes longer than `SLOW`, is not asked about events for `REST` seconds."""

OCCUPIED_KINDS: Final = frozenset({"channel_occupied", "member_added"})
VACATED_KIND: Final = "channel_vacated"

_FIRST_PART = re.compile(r"[^-_\d][^-_]*[-_]")


class Owed(NamedTuple):
    """A word of "yes" that the cache has yet to be given."""

    since: float
    stamp: float
    """The time of which we heard."""


class Occupancy:
    """Know which channels of a transport are vacant; one instance an alias and process.

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
        self._own = OwnWords(BELIEVED_FOR, MAX_OWN, lambda: self._clock())
        self._owed: dict[str, Owed] = {}
        self._silent_until = 0.0
        self._cache_trouble = Incident("The cache of occupied channels")
        self._listing_trouble = Incident("The list of occupied channels")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._transport!r}>"

    def filter(self, events: Sequence[Event]) -> list[Event]:
        """Return the events without the channels that are vacant; raise nothing."""
        names = dict.fromkeys(name for event in events for name in event.channels)
        try:
            vacant = self._find_vacant([name for name in names if self._may_skip(name)])
        except Exception as exc:  # noqa: BLE001  any cache, any error: send
            self._rest(exc)
            return list(events)
        return [left for event in events if (left := _without(event, vacant))]

    def mark_occupied(self, channels: Iterable[str]) -> None:
        """Remember that somebody is on these channels, or is about to be; raise nothing."""
        self._remember(dict.fromkeys(filter(self._may_skip, channels)))

    def learn(self, events: Sequence[WebhookEvent]) -> None:
        """Take in what a service reports; raise nothing."""
        heard = {
            event.channel: event.time_ms / 1000
            for event in events
            if event.kind in OCCUPIED_KINDS and self._may_skip(event.channel)
        }
        now = self._clock()
        vacated = {
            # Nothing has happened later than now, whatever the service's clock says.
            self._key("vacated", event.channel): min(event.time_ms / 1000, now)
            for event in events
            if event.kind == VACATED_KIND and self._may_skip(event.channel)
        }
        self._remember(heard)
        if vacated:
            try:
                self._get_cache().set_many(vacated, timeout=KEPT_FOR)
            except Exception as exc:  # noqa: BLE001  any cache, any error: go on sending
                self._rest(exc)

    def _may_skip(self, name: str) -> bool:
        """Tell whether a channel's events may be skipped at all.

        A cache channel keeps the event for those who come later. Not every service reports users.
        """
        parsed = parse_channel_name(name)
        if parsed.cache or parsed.kind is ChannelKind.USER:
            return False
        return self._with_public or parsed.kind is not ChannelKind.PUBLIC

    # Yes

    def _remember(self, channels: Mapping[str, float | None]) -> None:
        self._own.note(channels)
        now = self._clock()
        for name, stamp in channels.items():
            self._owed[name] = Owed(now, now if stamp is None else stamp)
        if len(self._owed) > MAX_OWED:
            self._owed.clear()
            self._own.doubt()
        self._repay()

    def _repay(self) -> bool:
        """Write what is owed; tell whether nothing is left."""
        now = self._clock()
        for name, owed in list(self._owed.items()):
            if now - owed.since >= BELIEVED_FOR:  # it refuses nothing any more
                self._owed.pop(name, None)
        due = dict(self._owed)
        if not due:
            return True
        heard = {
            self._key("heard", name): tuple(Heard(now, owed.stamp, True))
            for name, owed in due.items()
        }
        try:
            # Some caches return nothing where Django's return an empty list.
            failed = self._get_cache().set_many(heard, timeout=KEPT_FOR) or ()
        except Exception as exc:  # noqa: BLE001  any cache, any error: it stays owed
            self._rest(exc)
            return False
        for name in due:
            if self._key("heard", name) not in failed:
                self._owed.pop(name, None)
        return not failed

    # No

    def _find_vacant(self, names: Sequence[str]) -> set[str]:
        if not names or self._clock() < self._silent_until or not self._repay():
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
        heard, vacated = (
            [self._key(what, name) for name in names] for what in ("heard", "vacated")
        )
        prefixes = [get_prefix(name) for name in names]
        listed = {prefix: self._key("listing", prefix) for prefix in dict.fromkeys(prefixes)}
        started = self._clock()
        values = self._get_cache().get_many([*heard, *vacated, *listed.values()])
        if self._clock() - started > SLOW:
            self._rest(TimeoutError())
            return None
        self._cache_trouble.end()
        listings = {prefix: read_listing(values.get(key)) for prefix, key in listed.items()}
        return {
            name: Found(
                read_heard(values.get(heard_key)),
                read_time(values.get(vacated_key)),
                listings[prefix],
            )
            for name, prefix, heard_key, vacated_key in zip(
                names, prefixes, heard, vacated, strict=True
            )
        }

    def _watch(
        self, names: Iterable[str], found: Mapping[str, Found]
    ) -> Iterator[tuple[str, Heard]]:
        """Begin to watch those never heard of; return since when each has been watched.

        This is written before anybody is asked: what is heard from now on is seen to be newer.
        """
        for name in names:
            heard = found[name].heard
            if heard is None:
                heard = Heard(self._clock(), 0.0, False)
                # Not over a word of "yes".
                if not self._get_cache().add(
                    self._key("heard", name), tuple(heard), timeout=KEPT_FOR
                ):
                    continue
            yield name, heard

    def _ask(self, watched: Mapping[str, Heard]) -> set[str]:
        """Ask which channels are occupied, for the prefix that most of them have.

        The others are sent this time, so that a request waits once.
        """
        if not watched or not getattr(self._transport, "supports_channel_info", False):
            return set()
        cache = self._get_cache()
        prefix = Counter(map(get_prefix, watched)).most_common(1)[0][0]
        # Names that share nothing take turns: there may be any number of them.
        turn = "" if prefix in watched else prefix
        if not cache.add(self._key("asked", turn), 1, timeout=LISTED_FOR):
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
            for name, heard in watched.items()
            if get_prefix(name) == prefix and self._is_vacant(name, Found(heard, None, listing))
        }

    def _is_vacant(self, name: str, found: Found) -> bool:
        return is_vacant(name, found, self._own.latest(name), self._clock())

    def _list(self, prefix: str) -> Listing | None:
        asked_at = self._clock()
        try:
            names = self._call(
                lambda: frozenset(self._transport.occupied_channels(prefix)), LISTING_TIMEOUT
            )
        except Exception as exc:  # noqa: BLE001  whatever a transport does, the event goes
            self._listing_trouble.report(exc)
            return None
        self._listing_trouble.end()
        return Listing(asked_at, names)

    def _rest(self, exc: Exception) -> None:
        self._silent_until = max(self._silent_until, self._clock() + REST)
        self._own.doubt()  # it may come back without what it was last given
        self._cache_trouble.report(exc)

    def _key(self, what: str, name: str) -> str:
        if len(name) > MAX_IN_KEY:
            name = hashlib.sha256(name.encode()).hexdigest()
        return f"{self._prefix}:{what}:{name}"


class OccupancyHandler(PerAlias[Occupancy]):
    """Hold what is known of the channels of each transport, by alias."""

    def create(self, config: TransportConfig) -> Occupancy:
        return Occupancy(
            transports[config.alias],
            lambda: caches[get_cache_alias()],
            with_public=config.skip_vacant == "all",
        )


occupancies = OccupancyHandler()
"""The occupancy of each alias: ``occupancies["default"]``."""


def mark_occupied(transport: Any, channels: Sequence[str]) -> None:
    """Remember that channels were granted, if events of this transport may be skipped."""
    if channels and configs[transport.alias].skip_vacant:
        occupancies[transport.alias].mark_occupied(channels)


@functools.lru_cache(maxsize=4096)
def get_prefix(name: str) -> str:
    """Return how channels begin that are listed along with one: the name itself if none are.

    These are the parts, by dots, before the first that looks like an id, the last excepted; where
    there are no dots, the part before the first hyphen or underscore.

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


def _without(event: Event, vacant: set[str]) -> Event | None:
    if vacant.isdisjoint(event.channels):
        return event
    channels = [name for name in event.channels if name not in vacant]
    return event.to(channels) if channels else None
