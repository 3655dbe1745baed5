"""HTTP connections to services: never a stale one, and opened within a time limit.

NAT gateways and firewalls forget idle flows (AWS's after 350 seconds) and answer later packets with
a reset, or not at all. Servers close idle connections, those in Node after 5 seconds. An event sent
over such a connection is lost, and nobody knows whether the service received it. So a connection
that was idle is closed, and the next call opens another.
"""

from __future__ import annotations

import functools
import socket
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

T = TypeVar("T")

MAX_IDLE: Final = 4.0
"""Seconds: less than the 5 after which servers in Node close an idle connection."""

_MIN_TIMEOUT: Final = 0.001
"""Seconds: stands for no time at all, as a timeout of 0 makes a socket non-blocking."""

KEEP_ALIVE: Final = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]
"""Socket options by which the kernel notices within a minute that the peer is gone."""


class StaleConnection(ConnectionResetError):
    """The failure of a connection that had answered before, while it was sent another request.

    `was_sent` tells whether the whole request was written to the socket. If not, the service cannot
    have processed it.
    """

    def __init__(self, *, was_sent: bool) -> None:
        super().__init__("The connection was lost before a request was answered.")
        self.was_sent = was_sent


def find_stale(exc: BaseException | None) -> StaleConnection | None:
    """Return the cause of an HTTP client's error, if that is a stale connection."""
    while exc is not None and not isinstance(exc, StaleConnection):
        exc = exc.__cause__ or exc.__context__
    return exc


def time_left(deadline: float) -> float:
    """Return the seconds until a time of `time.monotonic`; hardly any if it has passed."""
    return max(deadline - time.monotonic(), _MIN_TIMEOUT)


def try_addresses(host: str, port: int, timeout: float, connect: Callable[[str, float], T]) -> T:
    """Connect to the addresses of a host in turn until one answers, all within `timeout`.

    `connect` is given an address and its share of the time. The error of the last one is raised.
    """
    deadline = time.monotonic() + timeout
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    for left in range(len(addresses), 1, -1):
        try:
            return connect(addresses[-left], time_left(deadline) / left)
        except Exception:  # noqa: BLE001, S112  any HTTP client's error; the next may answer
            continue
    return connect(addresses[-1], time_left(deadline))


def read_retry_after(text: str) -> float | None:
    """Return the seconds that a ``Retry-After`` header means, or None if it is malformed."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, at.timestamp() - time.time())


@functools.cache
def pool_classes(urllib3: Any) -> dict[str, Any]:
    """Return classes for the ``pool_classes_by_scheme`` of urllib3's pool managers."""
    pools = (urllib3.HTTPConnectionPool, urllib3.HTTPSConnectionPool)
    return {
        pool.scheme: type(pool.__name__, (pool,), {"ConnectionCls": _extend(pool, urllib3)})
        for pool in pools
    }


def _extend(pool: Any, urllib3: Any) -> Any:
    """Return the class of a pool's connections, with `_Connection` in front."""
    base = pool.ConnectionCls
    return type(base.__name__, (_Connection, base), {"urllib3": urllib3})


_UrllibConnection: Any = object


class _Connection(_UrllibConnection):  # type: ignore[misc]
    """A connection that counts as dropped once it has been idle for `MAX_IDLE` seconds.

    A mixin of urllib3's connections.
    """

    urllib3: Any
    answered_at: float | None = None

    @property
    def is_connected(self) -> bool:
        at = self.answered_at
        is_fresh = at is None or time.monotonic() - at < MAX_IDLE
        return is_fresh and bool(super().is_connected)

    def connect(self) -> None:
        self.answered_at = None
        super().connect()

    def send(self, data: Any) -> None:
        try:
            super().send(data)
        except OSError as exc:
            if self.answered_at is None:
                raise
            raise StaleConnection(was_sent=False) from exc

    def getresponse(self) -> Any:
        try:
            response = super().getresponse()
        except ConnectionError as exc:
            if self.answered_at is None:
                raise
            raise StaleConnection(was_sent=True) from exc
        self.answered_at = time.monotonic()
        return response

    def _new_conn(self) -> Any:
        errors = self.urllib3.exceptions
        try:
            return try_addresses(self._dns_host, self.port, self.timeout, self._connect_to)
        except TimeoutError as exc:
            raise errors.ConnectTimeoutError(self, f"Connection to {self.host} timed out.") from exc
        except OSError as exc:
            raise errors.NewConnectionError(
                self, f"Failed to establish a new connection: {exc}"
            ) from exc

    def _connect_to(self, address: str, timeout: float) -> Any:
        options = [*(self.socket_options or ()), *KEEP_ALIVE]
        return self.urllib3.util.connection.create_connection(
            (address, self.port), timeout, self.source_address, options
        )
