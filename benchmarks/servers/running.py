"""Start the servers, and read what they use of the machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.load.events import CHANNEL
from benchmarks.servers import usage
from tests.services.process import LOCALHOST, ServerProcess, accepts_connections, free_port
from tests.services.soketi import Soketi

_ROOT = Path(__file__).parents[2]
_UVICORN = (
    "--loop=uvloop",
    "--http=httptools",
    "--ws=websockets-sansio",
    "--log-level=warning",
    "--no-access-log",
)


@dataclass(frozen=True)
class Running:
    """A running server: its address for the load client, and its resources."""

    name: str
    ports: Sequence[int]
    path: str
    subscribe: bool
    app: dict[str, str] = field(repr=False)
    deflate: bool = False
    pids: list[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pids", [usage.listener(port) for port in self.ports])

    @property
    def listening(self) -> dict[str, Any]:
        """Return what `LoadClient.open` takes."""
        return {
            "ports": self.ports,
            "path": self.path,
            "subscribe": self.subscribe,
            "deflate": self.deflate,
        }

    @property
    def publishing(self) -> dict[str, Any]:
        """Return what `LoadClient.run` takes."""
        return {"ports": self.ports, "app": self.app}

    def cpu_seconds(self) -> float:
        """Return the processor's time that its processes have used."""
        return sum(usage.cpu_seconds(pid) for pid in self.pids)

    def memory(self) -> int:
        """Return the bytes that its processes hold."""
        return sum(usage.memory(pid) for pid in self.pids)

    def peak_memory(self) -> int:
        """Return the most bytes that its processes have held since `forget_peak`."""
        return sum(usage.peak_memory(pid) for pid in self.pids)

    def forget_peak(self) -> None:
        """Reset the peak."""
        for pid in self.pids:
            usage.forget_peak(pid)


@contextmanager
def ours(**options: Any) -> Iterator[Running]:
    """Run RealtimeServer with the Channels transport."""
    app = {"app_id": "ours", "key": "benchmark-key", "secret": "benchmark-secret"}
    path = f"/app/{app['key']}?protocol=7&client=js&version=8.4.0"
    with _under_uvicorn("ours", **options) as ports:
        yield Running("ours", ports, path, True, app, options.get("deflate", False))


@contextmanager
def plain(**options: Any) -> Iterator[Running]:
    """Run a consumer of Django Channels for each connection."""
    with _under_uvicorn("plain", **options) as ports:
        deflate = options.get("deflate", False)
        yield Running("plain", ports, f"/live/{CHANNEL}/", False, _anyone("plain"), deflate)


@contextmanager
def bare(**options: Any) -> Iterator[Running]:
    """Run a loop over all connections."""
    with _under_uvicorn("bare", **options) as ports:
        yield Running("bare", ports, "/", False, _anyone("bare"), options.get("deflate", False))


@contextmanager
def soketi() -> Iterator[Running]:
    """Run soketi, a server of the Pusher protocol on Node."""
    with Soketi() as service:
        app = {"app_id": service.app_id, "key": service.key, "secret": service.secret}
        path = f"/app/{service.key}?protocol=7&client=js&version=8.4.0"
        yield Running("soketi", [service.port], path, True, app)


def _anyone(app_id: str) -> dict[str, str]:
    return {"app_id": app_id, "key": "-", "secret": "-"}


@contextmanager
def _under_uvicorn(
    name: str, *, processes: int = 1, deflate: bool = False, redis: str | None = None
) -> Iterator[list[int]]:
    """Run so many processes of one server, each on a port of its own."""
    env = {"BENCHMARK_SERVER": name, **({"BENCHMARK_REDIS": redis} if redis else {})}
    with ExitStack() as stack:
        ports = []
        for _ in range(processes):
            port = free_port()
            server = ServerProcess(name)
            stack.callback(server.stop)
            command = [
                *(sys.executable, "-m", "uvicorn", f"benchmarks.servers.{name}:application"),
                *(f"--host={LOCALHOST}", f"--port={port}", f"--app-dir={_ROOT}", *_UVICORN),
                f"--ws-per-message-deflate={deflate}",
            ]
            server.start(command, env=env, ready=partial(accepts_connections, port))
            ports.append(port)
        yield ports
