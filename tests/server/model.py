"""What a browser of the state machine must have received: a model of who receives what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tests.server.harness import Client

PUBLIC, LIST, CACHE = "news", "private-lists.1", "private-cache-prices"
ROOM, HALL = "presence-room", "presence-hall"
ROOMS: Final = (ROOM, HALL)
COUNTED: Final = (PUBLIC, LIST, CACHE)
CHANNELS: Final = (*COUNTED, *ROOMS)
USERS: Final = ("ann", "bob", "eve")

ON, MISS = "on", "miss"

FIELDS: Final = {
    "told": {"n"},
    "client-told": {"n"},
    "pusher_internal:subscription_succeeded": {"presence"},
    "pusher:cache_miss": set[str](),
    "pusher_internal:subscription_count": {"subscription_count"},
    "pusher_internal:member_added": {"user_id", "user_info"},
    "pusher_internal:member_removed": {"user_id"},
    "pusher_internal:watchlist_events": {"events"},
    "pusher:ping": set[str](),
    "pusher:error": {"code", "message"},
    "pusher:subscription_error": {"type", "error", "status"},
    "pusher:signin_success": {"user_data"},
}
"""What the data of each frame may hold."""


def own_channel(user: str) -> str:
    """Return the channel that is a user's alone."""
    return f"#server-to-user-{user}"


class Sent(NamedTuple):
    """Hold an event on one of its channels, by the number that it carries."""

    number: int
    channel: str
    user: str = ""
    """Who sent it, of a client's on a presence channel."""


class Cached(NamedTuple):
    """Hold an event of the cache channel, and who is left out: the cache gives it to anybody."""

    event: Sent
    excluded: Browser | None


class Browser:
    """Model a browser: what it is on, what it is due, and what it has made of its frames."""

    def __init__(self, client: Client, user: str) -> None:
        self.client = client
        self.user = user
        self.channels: set[str] = set()
        self.members: dict[str, dict[str, Any]] = {}
        """The members of each presence channel, as pusher-js would show them."""
        self.counts: dict[str, int] = {}
        """How many subscriptions each channel has, as last received."""
        self.is_signed_in = False
        self.watched: tuple[str, ...] = ()
        self.online: set[str] = set()
        """Users on its watchlist who are online, as it was notified."""
        self.begin_round()

    def __repr__(self) -> str:
        return f"<browser of {self.user}>"

    def begin_round(self) -> None:
        """Forget what was between two looks at everything."""
        self.stable = set(self.channels)
        """What it has been on all the time."""
        self.was_signed_in = self.is_signed_in
        self.may_end = False
        """The user's connections were ended, perhaps before it had signed in."""
        self.sent: dict[str, list[Sent]] = {}
        """What it receives of each channel if it is on it."""
        self.joined: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        """How many frames of those kinds it is due."""

    # What it does

    def join(self, channel: str) -> None:
        if channel in self.channels:
            self.told["pusher:error"] += 1
        else:
            self.channels.add(channel)
            self.joined[channel] += 1

    def leave(self, channel: str) -> None:
        if channel in self.channels:
            self.channels.remove(channel)
            self.stable.discard(channel)
            self.left[channel] += 1
        else:
            self.told["pusher:error"] += 1

    def sign_in(self, watched: tuple[str, ...]) -> None:
        if self.is_signed_in:
            self.told["pusher:error"] += 1
        else:
            self.is_signed_in, self.watched = True, watched
            self.told["pusher:signin_success"] += 1

    # What it receives

    def end_round(
        self, held: Sent | None, cached: Sequence[Cached], *, is_first: bool = False
    ) -> int:
        """Compare the frames with what was due; return how often the cache had nothing.

        The cache channel's cache held an event, or none, before those that came in this round,
        which may be the first there ever were.
        """
        received: dict[str, list[Any]] = {}
        told: Counter[str] = Counter()
        standing = {*self.stable, *self.left}
        for frame in self.client.take():
            self._receive(frame, received, told, standing)
        assert told == self.told, self
        assert set(self.joined.values()) <= {0}, "one answer to each subscription"
        at_cache = received.pop(CACHE, [])
        self._check_cache(at_cache, held, cached, is_first)
        for channel in {*received, *self.sent} - {CACHE}:
            self._check_events(channel, self.sent.get(channel, []), received.get(channel, []))
        self.begin_round()
        return at_cache.count(MISS)

    def _receive(
        self,
        frame: dict[str, Any],
        received: dict[str, list[Any]],
        told: Counter[str],
        standing: set[str],
    ) -> None:
        name, channel, data = frame["event"], frame.get("channel", ""), frame.get("data", {})
        keys = {"event", "channel", "data"}
        if name == "client-told" and channel in ROOMS:
            keys.add("user_id")
        assert frame.keys() <= keys, frame
        assert data.keys() <= FIELDS[name], frame
        match name:
            case "told" | "client-told":
                assert channel in standing, "an event came before its subscription stood"
                sent = Sent(data["n"], channel, frame.get("user_id", ""))
                received.setdefault(channel, []).append(sent)
            case "pusher_internal:subscription_succeeded":
                standing.add(channel)
                self.joined[channel] -= 1
                self.counts.pop(channel, None)
                if channel in ROOMS:
                    self.members[channel] = dict(data["presence"]["hash"])
                if channel == CACHE:
                    received.setdefault(channel, []).append(ON)
            case "pusher:cache_miss":
                received.setdefault(channel, []).append(MISS)
            case "pusher_internal:subscription_count":
                assert channel in standing, "a number came before its subscription stood"
                count = data["subscription_count"]
                assert self.counts.get(channel) != count, "no change"
                self.counts[channel] = count
            case "pusher_internal:member_added":
                assert data["user_id"] not in self.members[channel], "came twice"
                self.members[channel][data["user_id"]] = data["user_info"]
            case "pusher_internal:member_removed":
                del self.members[channel][data["user_id"]]
            case "pusher_internal:watchlist_events":
                for event in data["events"]:
                    self._watch(event["name"], event["user_ids"])
            case "pusher:ping":
                self.client.say({"event": "pusher:pong"}, settle=False)
            case "pusher:error" | "pusher:subscription_error" | "pusher:signin_success":
                told[name] += 1
            case _:
                raise AssertionError(frame)

    def _watch(self, name: str, users: Sequence[str]) -> None:
        """Users come online and go offline alternately."""
        assert set(users) <= set(self.watched)
        for user in users:
            assert (user in self.online) is (name == "offline"), (name, user)
            self.online ^= {user}

    def _check_events(self, channel: str, sent: Sequence[Sent], got: Sequence[Sent]) -> None:
        context = f"{self} on {channel}: {got} of {sent}"
        if self.left[channel]:
            rest = iter(sent)
            assert all(each in rest for each in got), f"order: {context}"
        elif channel in self.stable:
            assert got == sent, context
        elif channel not in self.channels:
            assert got == [], context
        else:
            assert got == sent[len(sent) - len(got) :], f"a gap: {context}"

    def _check_cache(
        self, got: Sequence[Any], held: Sent | None, cached: Sequence[Cached], is_first: bool
    ) -> None:
        """Each subscription begins with the last event, or word that there is none; no gap follows.

        While one is subscribing, any event that was on its way may be the last. A node that never
        had an event of the channel cannot tell what else is on its way: that may come again.
        """
        context = f"{self} on {CACHE}: {got} of {held}, {cached}"
        sent = self.sent.get(CACHE, [])
        starts = [index for index, each in enumerate(got) if each == ON]
        ends = [*starts, len(got)]
        first, *others = [got[a:b] for a, b in zip([0, *starts], ends, strict=True)]
        if CACHE in self.stable:
            assert (first, others) == (sent, []), context
            return
        assert first == sent[: len(first)], f"before it left: {context}"
        lasts = [held or MISS, *(each.event for each in cached)]
        for index, (_, begins_with, *rest) in enumerate(others):
            last = lasts.index(begins_with)
            is_on = index == len(others) - 1 and CACHE in self.channels
            dues = [
                [each.event for each in cached[start:] if each.excluded is not self]
                for start in (range(last + 1) if is_first else [last])
            ]
            assert rest in [due if is_on else due[: len(rest)] for due in dues], context
