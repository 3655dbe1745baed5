"""Start a throw-away memcached on a port of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil

from tests.services.process import (
    LOCALHOST,
    RetriedService,
    ServerProcess,
    ServiceError,
    accepts_connections,
    free_port,
)


def unavailable() -> str | None:
    """Return why memcached cannot be used here, or None."""
    if shutil.which("memcached") is None:
        return "memcached is not on PATH"
    if importlib.util.find_spec("pymemcache") is None:
        return "the Python package pymemcache is not installed"
    return None


class Memcached(RetriedService):
    """An empty memcached on a port of 127.0.0.1 while the `with` block runs."""

    def __init__(self) -> None:
        self.port = 0

    @property
    def location(self) -> str:
        """Return the address, as Django's caches take it."""
        return f"{LOCALHOST}:{self.port}"

    def start(self) -> None:
        """Start the server; raise ServiceError when that fails."""
        if (reason := unavailable()) is not None:
            raise ServiceError(f"memcached cannot start: {reason}")
        self._retry(self._start_once)

    def _start_once(self) -> None:
        server = ServerProcess("memcached")
        port = free_port()
        # It refuses to run as root.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        try:
            server.start(
                ["memcached", "-l", LOCALHOST, "-p", str(port), "-U", "0", *user],
                ready=lambda: accepts_connections(port),
            )
        except BaseException:
            server.stop()
            raise
        self.port = port
        self._server = server
