"""Pusher's API in a process of its own, whose work is not measured.

As a program: print the address, and the counts since the last time for each line on stdin.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any


@dataclass(frozen=True)
class Counts:
    """What the service has counted."""

    requests: int
    connections: int
    events: int


@dataclass(frozen=True)
class Service:
    """The process, from outside."""

    address: dict[str, Any]
    """As the Pusher SDK, and the options of the transport, take it."""
    _stdin: IO[str]
    _stdout: IO[str]

    def counts(self) -> Counts:
        """Return the counts since they were last asked for."""
        self._stdin.write("\n")
        self._stdin.flush()
        return Counts(**json.loads(self._stdout.readline()))


@contextmanager
def pusher_service() -> Iterator[Service]:
    """Run the service while the block runs."""
    command = [sys.executable, "-m", "benchmarks.service"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Service(json.loads(process.stdout.readline()), process.stdin, process.stdout)
        process.stdin.close()  # which ends it


def serve() -> None:
    """Run the service until stdin is closed."""
    from tests.services.pusher_http import PusherService

    with PusherService() as service:
        address = {"host": service.host, "port": service.port, "ssl": False}
        credentials = {"app_id": service.app_id, "key": service.key, "secret": service.secret}
        print(json.dumps({**address, **credentials}), flush=True)
        for _ in sys.stdin:
            counts = {
                "requests": len(service.requests),
                "connections": service.connections,
                "events": len(service.received),
            }
            service.reset()
            print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    serve()
