"""Log of trouble that lasts: one line when it begins and one when it is over."""

from __future__ import annotations

import logging

logger = logging.getLogger("realtime_drf")


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
            logger.warning("%s fails (%s): all is sent.", self._what, type(exc).__name__)

    def end(self) -> None:
        """Log that it works again, if there was trouble."""
        if self._is_on:
            self._is_on = False
            logger.info("%s works again.", self._what)
