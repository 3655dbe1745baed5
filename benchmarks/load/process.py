"""Start the load's process and give it commands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from benchmarks.load.browser import LoadError


@dataclass(frozen=True)
class Arrivals:
    """The result of one run of events."""

    messages: int
    expected: int
    bytes: int
    seconds: float
    publishing_seconds: float
    client_cpu: float
    lost: int


@dataclass(frozen=True)
class LoadClient:
    """Command the process. What goes wrong in it is a LoadError."""

    _stdin: IO[str]
    _stdout: IO[str]

    def open(self, **options: Any) -> None:
        """Connect and subscribe browsers; see `client.Load.open`."""
        self._do("open", options)

    def run(self, **options: Any) -> Arrivals:
        """Trigger events and count what arrives; see `client.Load.run`."""
        return Arrivals(**self._do("run", options))

    def close(self) -> None:
        """End all connections."""
        self._do("close", {})

    def _do(self, command: str, options: dict[str, Any]) -> dict[str, Any]:
        self._stdin.write(json.dumps({"do": command, **options}) + "\n")
        self._stdin.flush()
        line = self._stdout.readline()
        if not line:
            raise LoadError("the load client has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LoadError(answer["error"])
        return answer


@contextmanager
def load_client() -> Iterator[LoadClient]:
    """Run the process for as long as the block lasts."""
    command = [sys.executable, "-m", "benchmarks.load.client"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield LoadClient(process.stdin, process.stdout)
        finally:
            process.stdin.close()  # which ends it
