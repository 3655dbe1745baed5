"""What this process itself has recently known to be occupied, kept where no cache can lose it."""

from __future__ import annotations

from collections.abc import Callable, Iterable


class RecentlyOccupied:
    """The channels that this process knew to be occupied, and when it last did.

    Times are kept in generations, and the oldest one is dropped as a whole: so nothing that is
    fresh is ever removed, and threads need no lock, which a fork could leave locked. A child of a
    fork goes on with a copy.

    Args:
        kept_for: seconds for which a channel is kept at least.
        limit: channels beyond which all are forgotten. `latest` then answers for any channel with
            the time at which that happened, so that none is taken for vacant by mistake.
        clock: returns the time in seconds since 1970.
    """

    def __init__(self, kept_for: float, limit: int, clock: Callable[[], float]) -> None:
        self._kept_for = kept_for
        self._limit = limit
        self._clock = clock
        self._generations: dict[int, dict[str, float]] = {}
        self._all_occupied_at = 0.0

    def add(self, names: Iterable[str]) -> None:
        """Remember that these channels are occupied now."""
        now = self._clock()
        current = int(now // self._kept_for)
        self._generations.setdefault(current, {}).update(dict.fromkeys(names, now))
        for number in list(self._generations):
            if abs(number - current) > 1:  # the next one is kept too: a clock may be set back
                self._generations.pop(number, None)
        if sum(map(len, list(self._generations.values()))) > self._limit:
            self._forget()

    def assume_all(self) -> None:
        """Answer for every channel as if it were occupied now."""
        self._all_occupied_at = self._clock()

    def latest(self, name: str) -> float:
        """Return when a channel was last known to be occupied, or 0."""
        times = [each.get(name, 0.0) for each in list(self._generations.values())]
        return max(self._all_occupied_at, *times, 0.0)

    def _forget(self) -> None:
        # Emptied in place: another thread may be about to add to one of them.
        for times in list(self._generations.values()):
            times.clear()
        self.assume_all()
