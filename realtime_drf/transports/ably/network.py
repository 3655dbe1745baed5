"""The network below the HTTP client of Ably's SDK: bounded in time, and nothing stale in it."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable
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
"""What httpx reads of the environment."""


class Network:
    """The calls of one client: how much time is left for each, and whether its connection fell.

    Args:
        timeout: seconds for a call, with all machines that are tried.
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
        """Tell, once, whether the call met a connection that fell before it answered."""
        is_stale = getattr(self._call, "is_stale", False)
        self._call.is_stale = False
        return is_stale

    def note_stale(self) -> None:
        """Note that a connection which had answered before fell before it answered this call."""
        self._call.is_stale = True

    def prepare(self, client: Any) -> None:
        """Have an httpx client go by this network."""
        client.event_hooks = {"request": [self._bound]}
        backend = _make_backend(importlib.import_module("httpcore"), self)
        # One transport for what needs no proxy, and one for each proxy; None goes without.
        transports = filter(None, [client._transport, *client._mounts.values()])
        self._pools = [transport._pool for transport in transports]
        for pool in self._pools:
            pool._network_backend = backend
            pool._keepalive_expiry = connections.MAX_IDLE
            # The SDK asks for HTTP/2, with which threads share a connection: httpcore then mixes
            # up their streams now and then, and events are lost.
            pool._http2 = False

    def drop_idle(self) -> None:
        """Close connections that are not in use: where one has fallen, the others may be stale."""
        for pool in self._pools:
            for connection in pool.connections:
                if connection.is_idle():
                    connection.close()

    def _bound(self, request: Any) -> None:
        # The SDK bounds the time for connecting and reading, each by itself, and not for writing.
        kinds = ("connect", "read", "write", "pool")
        request.extensions["timeout"] = dict.fromkeys(kinds, self.time_left())


def _make_backend(httpcore: Any, network: Network) -> Any:
    class Stream(httpcore.NetworkStream):  # type: ignore[misc]
        """A connection, each piece of which comes within the time of the call that wants it."""

        def __init__(self, stream: Any) -> None:
            self._stream = stream
            self._has_answered = self._is_asked = False

        def read(self, max_bytes: int, timeout: float | None = None) -> Any:
            try:
                data = self._stream.read(max_bytes, network.time_left())
            except httpcore.ReadError:
                self._note_end()
                raise
            if not data:
                self._note_end()
            self._has_answered, self._is_asked = True, False
            return data

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self._is_asked = True
            try:
                self._stream.write(buffer, network.time_left())
            except httpcore.WriteError:
                self._note_end()
                raise

        def start_tls(self, ssl_context: Any, *args: Any, **kwargs: Any) -> Any:
            kwargs["timeout"] = network.time_left()
            return Stream(self._stream.start_tls(ssl_context, *args, **kwargs))

        def close(self) -> None:
            self._stream.close()

        def get_extra_info(self, info: str) -> Any:
            return self._stream.get_extra_info(info)

        def _note_end(self) -> None:
            if self._has_answered and self._is_asked:
                network.note_stale()

    class Backend(httpcore.SyncBackend):  # type: ignore[misc]
        """What opens connections: to all addresses of a name within the time of the call."""

        def connect_tcp(
            self, host: str, port: int, timeout: float | None = None, **kwargs: Any
        ) -> Any:
            options = [*(kwargs.pop("socket_options", None) or ()), *connections.KEEP_ALIVE]
            connect: Callable[[str, float], Any] = super().connect_tcp

            def connect_to(address: str, share: float) -> Any:
                return connect(address, port, timeout=share, socket_options=options, **kwargs)  # type: ignore[call-arg]

            try:
                found = connections.try_addresses(host, port, network.time_left(), connect_to)
            except OSError as exc:  # its name is not known
                raise httpcore.ConnectError(str(exc)) from exc
            return Stream(found)

    return Backend()
