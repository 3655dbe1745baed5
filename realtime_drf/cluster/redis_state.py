"""The store of an app that several processes serve: the state is in a Redis.

Each call is one command, a script, so nothing else happens in Redis meanwhile. The script is
`redis_state.lua`.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from weakref import WeakKeyDictionary

from realtime_drf.cluster.redis_connections import drop_pool, is_demoted
from realtime_drf.cluster.state import (
    CACHED_FOR,
    CHANGES_KEPT_FOR,
    LEASE,
    VACATED_DELAY,
    ChannelState,
    NodeState,
    StateChange,
    SyncResult,
)

TIMEOUT: Final = 2.0
"""Seconds that a call may take."""

MAX_CONNECTIONS: Final = 8
"""Connections of one event loop; more calls at the same time wait for each other."""

SCRIPT: Final = Path(__file__).with_suffix(".lua")

_MICROSECONDS: Final = 1_000_000


class RedisStore:
    """A store in a Redis, for all processes of an app.

    Leases and reports are timed by Redis's own clock, so those of the hosts need not agree.

    Args:
        url: of the Redis, as redis-py reads it.
        namespace: is in the names of all keys, so that others may use the same Redis.
        vacated_delay: seconds after which an empty channel and a user's leaving are reported.
        cached_for: seconds for which cache channels keep their last event.
        lease: seconds after which a node without a heartbeat counts as dead.
        clock: returns the time in seconds since 1970; Redis's own if it is not given.

    Raises:
        ImportError: redis-py is not installed.
        Exception: the URL is not valid, or has options that redis-py does not know. The type
            depends on what is wrong, and the message may quote a part of the URL.

    A call whose connection turns out to be closed, as idle ones are by some servers, is made once
    more on a new connection; so is one that is refused by a replica that was the master before.
    Otherwise calls raise exceptions of redis-py, OSError or TimeoutError where Redis fails.
    """

    is_shared = True

    on_failover: Callable[[], None] | None = None
    """Called after a failover: the address leads to another server than it did."""

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "app",
        vacated_delay: float = VACATED_DELAY,
        cached_for: float = CACHED_FOR,
        lease: float = LEASE,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._redis = importlib.import_module("redis.asyncio")
        self._url = _clean(url)
        self._make_pool().make_connection()  # refuses unknown options, and does not connect
        # In braces, so that a cluster keeps all of an app in one place.
        self._prefix = f"{{realtime_drf.{namespace}}}"
        self._delay = int(vacated_delay * 1000)
        self._cached_for = int(cached_for * 1000)
        self._lease = int(lease * _MICROSECONDS)
        self._clock = clock
        self._scripts: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    async def sync(self, node: str, states: Sequence[NodeState]) -> SyncResult:
        parts = [part for each in states for part in _flatten(each)]
        channels, reports, time_ms, number, known_since = await self._call(
            "sync", node, self._lease, *parts
        )
        return SyncResult(
            [_read_state(channel) for channel in channels],
            [_arrival(*pair, time_ms) for pair in _pairs(reports)],
            number,
            known_since,
        )

    async def heartbeat(self, node: str, since: int) -> SyncResult:
        changed, due, number, known_since = await self._call(
            "heartbeat",
            node,
            self._lease,
            since,
            int(CHANGES_KEPT_FOR * _MICROSECONDS),
            self._delay,
        )
        return SyncResult(
            (),
            [_departure(_text(key), time_ms) for key, time_ms in _pairs(due)],
            number,
            known_since,
            {_text(name): version for name, version in _pairs(changed)},
        )

    async def read(self, channels: Sequence[str]) -> list[ChannelState]:
        return [_read_state(reply) for reply in await self._call("read", *channels)]

    async def find(self, prefix: str) -> list[ChannelState]:
        return [_read_state(reply) for reply in await self._call("find", prefix)]

    async def remember(self, events: Mapping[str, str], age: float = 0.0) -> None:
        parts = (part for pair in events.items() for part in pair)
        await self._call("remember", self._cached_for, int(age * 1000), *parts)

    async def recall(self, channel: str) -> str | None:
        text = await self._call("recall", channel)
        return None if text is None else _text(text)

    async def close(self) -> None:
        script = self._scripts.pop(asyncio.get_running_loop(), None)
        if script is not None:
            await script.registered_client.aclose()

    async def _call(self, name: str, *arguments: str | int) -> Any:
        now = "" if self._clock is None else int(self._clock() * _MICROSECONDS)
        args = [_bytes(str(each)) for each in (name, now, *arguments)]
        async with asyncio.timeout(TIMEOUT):
            script = self._get_script()
            try:
                return await script(keys=[self._prefix], args=args)
            except Exception as exc:
                if not is_demoted(exc):
                    raise
            # A connection that stays open leads to the old master forever.
            await drop_pool(script.registered_client.connection_pool)
            answer = await script(keys=[self._prefix], args=args)
        if self.on_failover is not None:
            self.on_failover()
        return answer

    def _get_script(self) -> Any:
        """Return the script, with the client of the running event loop."""
        loop = asyncio.get_running_loop()
        script = self._scripts.get(loop)
        if script is None:
            client = self._redis.Redis.from_pool(self._make_pool())
            script = self._scripts[loop] = client.register_script(SCRIPT.read_bytes())
        return script

    def _make_pool(self) -> Any:
        """Make a pool, which opens connections when they are needed."""
        retry = importlib.import_module("redis.asyncio.retry").Retry
        no_pause = importlib.import_module("redis.backoff").NoBackoff()
        return self._redis.BlockingConnectionPool.from_url(
            self._url,
            max_connections=MAX_CONNECTIONS,
            timeout=TIMEOUT,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=retry(no_pause, 1, (self._redis.ConnectionError,)),
            retry_on_error=[self._redis.ConnectionError],  # which older versions ask for as well
        )


def _clean(url: str) -> str:
    """Return the URL without what would change the answers, and in redis-py's spelling.

    Celery and others call ``none`` ``CERT_NONE``, and many URLs are shared with a cache.
    """
    parts = urlsplit(url)
    query = [
        (name, value.lower().removeprefix("cert_") if name == "ssl_cert_reqs" else value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if name != "decode_responses"
    ]
    return urlunsplit(parts._replace(query=urlencode(query)))


def _bytes(text: str) -> bytes:
    # What a client sends may be text that is not valid Unicode.
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _pairs(flat: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _flatten(state: NodeState) -> Iterable[str | int]:
    """Yield what `sync` of the script reads of a state."""
    members = state.members if state.subscriptions else {}
    yield from (state.channel, state.subscriptions, int(state.is_counted), len(members))
    for user_id, info in members.items():
        yield from (user_id, info)


def _read_state(reply: Sequence[Any]) -> ChannelState:
    channel, version, subscriptions, members, previous, joined, left, turned = reply
    return ChannelState(
        _text(channel),
        version,
        subscriptions,
        {_text(user_id): _text(info) for user_id, info in _pairs(members)},
        previous,
        [_text(user_id) for user_id in joined],
        [_text(user_id) for user_id in left],
        None if turned < 0 else bool(turned),
    )


def _arrival(channel: bytes, user_id: bytes, time_ms: int) -> StateChange:
    kind = "member_added" if user_id else "channel_occupied"
    return StateChange(kind, _text(channel), time_ms, _text(user_id))


def _departure(key: str, time_ms: int) -> StateChange:
    channel, _, user_id = key.partition("\n")
    kind = "member_removed" if user_id else "channel_vacated"
    return StateChange(kind, channel, time_ms, user_id)
