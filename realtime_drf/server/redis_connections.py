"""Connections to a Redis that have died, or that lead to a server which is no master any more.

Redis closes connections that were idle for its ``timeout``, and managed services do so after some
minutes. Behind the address of a managed service another server may be the master after a failover,
while connections to the old one stay open. In both cases the next call fails that uses the
connection, and a new connection helps. channels_redis leaves both to whoever calls it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Final

_DEMOTED: Final = frozenset({"ReadOnlyError", "MasterDownError"})
_DEMOTED_WORDS: Final = ("READONLY", "UNBLOCKED")
"""Of errors that a script raised in Redis 6, and of a call that waited when the server changed."""


def has_died(exc: BaseException) -> bool:
    """Tell whether a call met a connection that is closed. It may have been done all the same."""
    if isinstance(exc, TimeoutError):  # which is an OSError
        return False
    return isinstance(exc, OSError | EOFError) or "ConnectionError" in _names(exc)


def is_demoted(exc: BaseException) -> bool:
    """Tell whether a replica refused a call, which has not been done."""
    return not _DEMOTED.isdisjoint(_names(exc)) or any(word in str(exc) for word in _DEMOTED_WORDS)


async def drop_connections(layer: Any, *, in_use: bool = False) -> None:
    """Close the connections that a layer of channels_redis has on this event loop.

    The layer opens others with its next call, and subscribes again where it had subscribed. Other
    layers are left alone.
    """
    for pool in _find_pools(layer):
        await drop_pool(pool, in_use=in_use)


async def drop_pool(pool: Any, *, in_use: bool = False) -> None:
    """Close the connections of a pool of redis-py, without waiting for any of them.

    `disconnect` of the pool waits, and cuts off what was opened in the same place meanwhile.
    """
    connections = [*pool._available_connections, *(pool._in_use_connections if in_use else ())]
    for connection in connections:
        with contextlib.suppress(Exception):  # of one that is closed already
            await connection.disconnect(nowait=True)


def _names(exc: BaseException) -> frozenset[str]:
    # By their names, since redis-py need not be installed.
    return frozenset(cls.__name__ for cls in type(exc).__mro__)


def _find_pools(layer: Any) -> Iterator[Any]:
    """Yield redis-py's pools; channels_redis has no public name for them."""
    by_loop = getattr(layer, "__dict__", {}).get("_layers")
    own = by_loop.get(asyncio.get_running_loop()) if isinstance(by_loop, dict) else None
    if own is None:
        return
    clients = [*getattr(own, "_connections", {}).values()]  # of RedisChannelLayer
    clients += [shard._redis for shard in getattr(own, "_shards", ())]  # of the other
    for client in clients:
        if client is not None:
            yield client.connection_pool
