"""Logging of what happens again and again, such as each call of a service that is away."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final

logger = logging.getLogger("realtime_drf")

PAUSE: Final = 1.0
"""Seconds between two lines of a log, at least."""


class FailureLog:
    """Failures of one kind in the log: the first at once, then at most one line a second.

    Args:
        what: what has failed, as the log says it.
        clock: returns seconds that never go back.
    """

    def __init__(self, what: str, clock: Callable[[], float]) -> None:
        self._what = what
        self._clock = clock
        self._logged_at = -math.inf
        self._skipped = 0

    def add(self, exc: BaseException) -> None:
        """Log a failure, or count it for the next line that is due.

        Only the name of the exception is logged: its text may have an address with a password.
        """
        now = self._clock()  # without a lock: threads that add at once may miscount, at worst
        if now - self._logged_at < PAUSE:
            self._skipped += 1
            return
        self._logged_at = now
        skipped, self._skipped = self._skipped, 0
        more = f" ({skipped} more since the last line)" if skipped else ""
        logger.error(f"{self._what}: %s%s", type(exc).__name__, more)


class Once:
    """A line that is logged once, and again only after `reset`.

    Args:
        level: of the line, such as `logging.WARNING`.
        text: with placeholders as in `logging.Logger.log`.
    """

    def __init__(self, level: int, text: str) -> None:
        self._level = level
        self._text = text
        self._is_logged = False

    def log(self, *args: object) -> None:
        """Log the line, unless it has been."""
        if not self._is_logged:  # without a lock: threads may log it once each, at worst
            self._is_logged = True
            logger.log(self._level, self._text, *args)

    def reset(self) -> bool:
        """Have the next call log the line again; return whether it has been logged."""
        was_logged, self._is_logged = self._is_logged, False
        return was_logged


class Incident:
    """Trouble with one thing, which is logged when it begins and ends.

    Args:
        what: the thing, such as "The cache".
        meanwhile: what happens until it works again.
    """

    def __init__(self, what: str, meanwhile: str) -> None:
        self._what = what
        self._meanwhile = meanwhile
        self._line = Once(logging.WARNING, "%s fails (%s): %s.")

    def report(self, exc: Exception) -> None:
        """Log the error, unless the trouble has been logged."""
        # A cache's error may have its address in the text, with a password.
        self._line.log(self._what, type(exc).__name__, self._meanwhile)

    def end(self) -> None:
        """Log that it works again, if there was trouble."""
        if self._line.reset():
            logger.info("%s works again.", self._what)
