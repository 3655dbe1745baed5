"""Calls with a deadline: they run in a thread of their own, for which the caller waits so long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from realtime_drf.exceptions import TransportUnavailable


def call_within(function: Callable[[], Any], timeout: float) -> Any:
    """Call a function in a thread of its own; raise TransportUnavailable if it takes longer."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((function(), None))
        except Exception as exc:  # noqa: BLE001  raised in the caller's thread
            outcome.append((None, exc))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout)
    if not outcome:
        raise TransportUnavailable(f"No answer within {timeout:g} seconds.")
    result, error = outcome[0]
    if error:
        raise error
    return result
