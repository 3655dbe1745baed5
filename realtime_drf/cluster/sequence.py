"""The messages of a channel layer: cut to size and numbered, so that a gap is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from realtime_drf.cluster.messages import Message, measure

MAX_IN_MESSAGE: Final = 1_048_576
"""Characters in one message of the layer.

Redis disconnects a client for which more than 32 MB are waiting.
"""


class GapDetector:
    """The numbers of other processes' batches: some are missing, and some come twice.

    Args:
        on_gap: called with the number of batches that are missing.
    """

    MAX_SENDERS: Final = 1000
    MAX_MISSING: Final = 100
    """Missing batches of one sender that may still come."""

    def __init__(self, on_gap: Callable[[int], None]) -> None:
        self._on_gap = on_gap
        self._last: dict[str, int] = {}
        self._missing: dict[str, set[int]] = {}

    def take(self, sender: str, number: int) -> bool:
        """Note a batch, and report those that are missing before it.

        Returns:
            False if it has come before: a layer may deliver twice what was sent once, and what had
            to be sent twice.
        """
        last = self._last.pop(sender, None)
        missing = self._missing.setdefault(sender, set())
        if last is not None and number <= last:
            self._last[sender] = last
            is_late = number in missing
            missing.discard(number)
            return is_late
        self._last[sender] = number
        if last is not None and number > last + 1:
            self._on_gap(number - last - 1)
            missing.update(range(max(last + 1, number - self.MAX_MISSING), number))
            missing.intersection_update(range(number - self.MAX_MISSING, number))
        self._forget_oldest()
        return True

    def _forget_oldest(self) -> None:
        if len(self._last) > self.MAX_SENDERS:
            oldest = next(iter(self._last))  # the one that has sent nothing for longest
            del self._last[oldest], self._missing[oldest]


def cut(batch: Iterable[Message]) -> Iterator[list[Message]]:
    """Cut messages into lists for one message of the layer each.

    A message that is too large is alone in its list.
    """
    part: list[Message] = []
    size = 0
    for each in batch:
        each_size = measure(each)
        if part and size + each_size > MAX_IN_MESSAGE:
            yield part
            part, size = [], 0
        part.append(each)
        size += each_size
    if part:
        yield part
