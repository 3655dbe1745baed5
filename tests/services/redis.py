"""Start a throw-away Redis server: own data folder, own port, nothing written to disk."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
from collections.abc import Iterator

from tests.services.process import LOCALHOST, RetriedService, ServerProcess, ServiceError, free_port

_SETTINGS = {
    "bind": LOCALHOST,
    "save": "",
    "appendonly": "no",
    "protected-mode": "yes",
    "repl-diskless-sync-delay": "0",
}


def unavailable() -> str | None:
    """Return why Redis cannot be used here, or None."""
    if shutil.which("redis-server") is None:
        return "redis-server is not on PATH"
    if importlib.util.find_spec("redis") is None:
        return "the Python package redis is not installed"
    return None


class Redis(RetriedService):
    """An empty Redis on a port of 127.0.0.1 while the `with` block runs.

    After `stop()`, `start(port)` starts an empty one where the last one was: so a test restarts it.
    Where the port `replica_of` is given, it is a replica of the server there.
    """

    host = LOCALHOST

    def __init__(self, *, replica_of: int | None = None) -> None:
        self.port = 0
        self._replica_of = replica_of

    @property
    def url(self) -> str:
        """Return the address, as clients take it."""
        return f"redis://{self.host}:{self.port}/0"

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the server from answering, though it listens, while the block runs."""
        if self._server is None:
            raise ServiceError("Redis is not running.")
        pid = self._server.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def close_idle(self) -> int:
        """Close the connections that Redis' ``timeout`` would close; return how many those were.

        Not those of subscribers, nor those that wait in a command.
        """
        from redis import Redis as Client

        with contextlib.closing(Client(port=self.port)) as client:
            ours = client.client_id()
            idle = [
                each["id"]
                for each in client.client_list()
                if int(each["id"]) != ours and not set("PbMS") & set(each["flags"])
            ]
            return sum(client.client_kill_filter(_id=each) for each in idle)

    def follow(self, port: int) -> None:
        """Become a replica of the server on a port, or a master with 0."""
        from redis import Redis as Client

        with contextlib.closing(Client(port=self.port)) as client:
            client.execute_command("REPLICAOF", *((self.host, port) if port else ("NO", "ONE")))

    def is_in_step(self) -> bool:
        """Return whether it has caught up with its master."""
        from redis import Redis as Client

        with contextlib.closing(Client(port=self.port)) as client:
            return bool(client.info("replication").get("master_link_status") == "up")

    def start(self, port: int = 0) -> None:
        """Start the server, on a given port or any; raise ServiceError when that fails."""
        if (reason := unavailable()) is not None:
            raise ServiceError(f"Redis cannot start: {reason}")
        self._retry(lambda: self._start_once(port or free_port()))

    def _start_once(self, port: int) -> None:
        server = ServerProcess("Redis")
        options = [part for key, value in _SETTINGS.items() for part in (f"--{key}", value)]
        if self._replica_of:
            options += ["--replicaof", f"{LOCALHOST} {self._replica_of}"]
        try:
            server.start(
                ["redis-server", "--port", str(port), "--dir", server.folder, *options],
                ready=lambda: _answers(port),
            )
        except BaseException:
            server.stop()
            raise
        self.port = port
        self._server = server


def _answers(port: int) -> bool:
    # Asked by hand: the client is slow to import, and is not needed for it.
    try:
        with socket.create_connection((LOCALHOST, port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
