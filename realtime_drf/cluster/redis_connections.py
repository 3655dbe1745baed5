"""Connections to a Redis that have died, or that lead to a server which is no longer the master.

Redis closes connections that were idle for its ``timeout``, and managed services do so after some
minutes. Behind the address of a managed service another server may be the master after a failover,
while connections to the old one stay open. In both cases the next call on the
connection fails, and a new connection helps. channels_redis leaves both to its callers.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

_DEMOTED: Final = frozenset({"ReadOnlyError", "MasterDownError"})
_DEMOTED_WORDS: Final = ("READONLY", "UNBLOCKED")
"""Of errors that a script raised in Redis 6, and of a call that waited when the server changed."""


def has_died(exc: BaseException) -> bool:
    """Return whether a call, processed or not, failed because its connection was closed."""
    if isinstance(exc, TimeoutError):  # which is an OSError
        return False
    return isinstance(exc, OSError | EOFError) or "ConnectionError" in _names(exc)


def is_demoted(exc: BaseException) -> bool:
    """Return whether a replica refused a call, which was not processed."""
    return not _DEMOTED.isdisjoint(_names(exc)) or any(word in str(exc) for word in _DEMOTED_WORDS)


async def drop_connections(layer: Any, *, subscribed: bool = False) -> None:
    """Close the idle connections that a layer of channels_redis has on this event loop.

    The layer opens others with its next call. Does nothing to other layers.

    Args:
        layer: the channel layer.
        subscribed: close those of subscribers as well, which then subscribe again by themselves.
            They do not notice a failover otherwise: a replica lets its clients subscribe.
    """
    by_loop = getattr(layer, "__dict__", {}).get("_layers")
    own = by_loop.get(asyncio.get_running_loop()) if isinstance(by_loop, dict) else None
    # channels_redis has no public names for the clients of its two layers.
    with contextlib.suppress(AttributeError, TypeError):  # of another version
        for client in getattr(own, "_connections", {}).values():
            await drop_pool(client.connection_pool)
        for shard in getattr(own, "_shards", ()):
            if shard._redis is not None:
                await drop_pool(shard._redis.connection_pool, in_use=subscribed)


async def drop_pool(pool: Any, *, in_use: bool = False) -> None:
    """Close the connections of a pool of redis-py, without waiting for any of them.

    `disconnect` of the pool waits, and cuts off what was opened in the same place meanwhile.
    """
    connections = [*getattr(pool, "_available_connections", ())]
    if in_use:
        connections += getattr(pool, "_in_use_connections", ())
    for connection in connections:
        with contextlib.suppress(Exception):  # of one that is closed already
            await connection.disconnect(nowait=True)


def _names(exc: BaseException) -> frozenset[str]:
    # By their names, since redis-py need not be installed.
    return frozenset(cls.__name__ for cls in type(exc).__mro__)
