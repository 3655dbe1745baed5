"""Settings in which memory transports replace all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

MEMORY_PATH: Final = "realtime_drf.transports.memory.MemoryTransport"


def in_memory(
    entries: Mapping[str, Mapping[str, Any]] | Iterable[str] = (), *, transport: str = MEMORY_PATH
) -> dict[str, dict[str, Any]]:
    """Return entries for REALTIME_TRANSPORTS with the same aliases, all in memory.

    For the settings of tests; it does not import Django. A disabled alias is enabled, which is
    harmless in memory. A ``payload_limit`` is kept; the default is that of the memory transport,
    which is Pusher's.

    >>> in_memory(["default"])["default"]["TRANSPORT"]
    'realtime_drf.transports.memory.MemoryTransport'
    """
    options = entries if isinstance(entries, Mapping) else {}
    swapped: dict[str, dict[str, Any]] = {}
    for alias in entries or ["default"]:
        entry = options.get(alias, {})
        kept = {
            option: value
            for option, value in entry.get("OPTIONS", {}).items()
            if option == "payload_limit"
        }
        swapped[alias] = {"TRANSPORT": transport, "OPTIONS": kept}
        if "ON_ERROR" in entry:
            swapped[alias]["ON_ERROR"] = entry["ON_ERROR"]
    return swapped
