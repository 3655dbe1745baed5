"""The network under the HTTP client of Ably's SDK: with time limits, without stale connections."""

from __future__ import annotations

import importlib
import threading
import time
from typing import Any, Final

from realtime_drf import http_connections as connections

VARIABLES: Final = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
"""The environment variables that httpx reads."""


class Network:
    """The network of one client: the time left for each call, and whether its connection was stale.

    Args:
        timeout: seconds for a call, including all machines that are tried.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._call = threading.local()
        self._pools: list[Any] = []

    def begin(self) -> None:
        """Begin a call of this thread."""
        self._call.deadline = time.monotonic() + self._timeout
        self._call.is_stale = False

    def time_left(self) -> float:
        """Return the seconds that are left for the call of this thread."""
        deadline = getattr(self._call, "deadline", None)
        return self._timeout if deadline is None else connections.time_left(deadline)

    def may_try_again(self) -> bool:
        """Return once whether the call of this thread met a stale connection."""
        is_stale = getattr(self._call, "is_stale", False)
        self._call.is_stale = False
        return is_stale

    def note_stale(self) -> None:
        """Note that the connection of this call had answered before, and was lost."""
        self._call.is_stale = True

    def prepare(self, client: Any) -> None:
        """Make an httpx client use this network.

        Raise AttributeError if this version of httpx or httpcore keeps its parts elsewhere.
        """
        client.event_hooks = {"request": [self._bound]}
        backend = Backend(importlib.import_module("httpcore"), self)
        # One transport without a proxy, and one for each proxy; None uses the first.
        transports = filter(None, [client._transport, *client._mounts.values()])
        self._pools = [transport._pool for transport in transports]
        for pool in self._pools:
            _replace(pool, "_network_backend", backend)
            _replace(pool, "_keepalive_expiry", connections.MAX_IDLE)
            # The SDK asks for HTTP/2, where threads share a connection. httpcore sometimes mixes up
            # their streams, and events are lost.
            _replace(pool, "_http2", value=False)

    def drop_idle(self) -> None:
        """Close idle connections: after one was lost, the others may be stale."""
        for pool in self._pools:
            for connection in pool.connections:
                if connection.is_idle():
                    connection.close()

    def _bound(self, request: Any) -> None:
        # The SDK limits the time to connect and to read, each by itself, and not the time to write.
        kinds = ("connect", "read", "write", "pool")
        request.extensions["timeout"] = dict.fromkeys(kinds, self.time_left())


def _replace(pool: Any, name: str, value: Any) -> None:
    getattr(pool, name)  # raises AttributeError in a version that does not have it
    setattr(pool, name, value)


class Backend:
    """A network backend of httpcore's, by its methods.

    It tries all addresses of a host within the time of the call.
    """

    def __init__(self, httpcore: Any, network: Network) -> None:
        self._httpcore = httpcore
        self._sync = httpcore.SyncBackend()
        self._network = network

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, **kwargs: Any
    ) -> Stream:
        options = [*(kwargs.pop("socket_options", None) or ()), *connections.KEEP_ALIVE]

        def connect(address: str, share: float) -> Any:
            return self._sync.connect_tcp(
                address, port, timeout=share, socket_options=options, **kwargs
            )

        try:
            found = connections.try_addresses(host, port, self._network.time_left(), connect)
        except OSError as exc:  # the name cannot be resolved
            raise self._httpcore.ConnectError(str(exc)) from exc
        return Stream(found, self._httpcore, self._network)

    def sleep(self, seconds: float) -> None:
        self._sync.sleep(seconds)


class Stream:
    """A connection whose every read and write ends within the time of the call.

    A network stream of httpcore's, by its methods.
    """

    def __init__(self, stream: Any, httpcore: Any, network: Network) -> None:
        self._stream = stream
        self._httpcore = httpcore
        self._network = network
        self._has_answered = self._is_asked = False

    def read(self, max_bytes: int, timeout: float | None = None) -> Any:
        try:
            data = self._stream.read(max_bytes, self._network.time_left())
        except self._httpcore.ReadError:
            self._note_end()
            raise
        if not data:
            self._note_end()
        self._has_answered, self._is_asked = True, False
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._is_asked = True
        try:
            self._stream.write(buffer, self._network.time_left())
        except self._httpcore.WriteError:
            self._note_end()
            raise

    def start_tls(self, ssl_context: Any, *args: Any, **kwargs: Any) -> Stream:
        kwargs["timeout"] = self._network.time_left()
        encrypted = self._stream.start_tls(ssl_context, *args, **kwargs)
        return Stream(encrypted, self._httpcore, self._network)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _note_end(self) -> None:
        if self._has_answered and self._is_asked:
            self._network.note_stale()
