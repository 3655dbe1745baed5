"""Logging of what fails again and again, such as each call of a service that is away."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final

logger = logging.getLogger("realtime_drf")

PAUSE: Final = 1.0
"""Seconds between two lines of a log, at least."""


class FailureLog:
    """Log failures of one kind: the first at once, and then no more than one line a second.

    Args:
        what: what has failed, as the log says it.
        clock: returns seconds that never go back.
    """

    def __init__(self, what: str, clock: Callable[[], float]) -> None:
        self._what = what
        self._clock = clock
        self._logged_at = -math.inf
        self._unsaid = 0

    def add(self, exc: BaseException) -> None:
        """Log a failure, or count it for the next line that is due.

        Of the exception there is only its name: in its text an address with a password may be.
        """
        now = self._clock()  # without a lock: threads that add at once may miscount, at worst
        if now - self._logged_at < PAUSE:
            self._unsaid += 1
            return
        self._logged_at = now
        unsaid, self._unsaid = self._unsaid, 0
        more = f" ({unsaid} more since this was last said)" if unsaid else ""
        logger.error(f"{self._what}: %s%s", type(exc).__name__, more)


class Incident:
    """Trouble with one thing, such as the cache."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._is_on = False

    def report(self, exc: Exception) -> None:
        """Log the error, unless the trouble is known."""
        if not self._is_on:
            self._is_on = True
            # A cache's error may quote its address, and that a password.
            logger.warning("%s fails (%s): no events are skipped.", self._what, type(exc).__name__)

    def end(self) -> None:
        """Log that it works again, if there was trouble."""
        if self._is_on:
            self._is_on = False
            logger.info("%s works again.", self._what)
