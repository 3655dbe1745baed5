"""Run a process which takes commands and reports what happens, both as lines of JSON."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self


class Report(dict[str, Any]):
    """A report: its `type` and details; what it does not have is None.

    So a predicate may ask for a detail that only some types have.
    """

    def __missing__(self, key: str) -> None:
        return None


Predicate = Callable[[Report], object]


class ReporterError(Exception):
    """A process that did not do what was expected, with everything that it did."""


class Reporter:
    """A process of that kind; `first` is the line that it reads at its start.

    It must end by itself at the end of its input, so that it never outlives the tests.
    """

    def __init__(
        self, command: Sequence[str], *, first: Mapping[str, Any], timeout: float = 10.0
    ) -> None:
        self.timeout = timeout
        #: Held for every change of what was seen, and notified after it.
        self.changed = threading.Condition(threading.RLock())
        self._command = list(command)
        self._first = first
        self._seen: list[Report] = []
        self._writing = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def arrived(self, report: Report) -> None:
        """React to a report, in the thread that reads them; nothing by default."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Start the process."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            # Ctrl-C is for the tests; this ends with its input.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self.send(self._first)
        return self

    def close(self) -> None:
        """End the process; harmless when repeated."""
        process, self._process = self._process, None
        if process is None:
            return
        with self._writing, contextlib.suppress(BrokenPipeError):
            process.stdin.close()  # type: ignore[union-attr]
        try:
            process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join()
        process.stdout.close()  # type: ignore[union-attr]

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one line to the process; raise ReporterError when it has ended."""
        with self._writing:
            process = self._process
            try:
                if process is None:
                    raise BrokenPipeError
                process.stdin.write(f"{json.dumps(message)}\n")  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]
            except BrokenPipeError as error:
                raise ReporterError(f"The process is not running. {self.account()}") from error

    @property
    def seen(self) -> list[Report]:
        """Return all reports so far, in order."""
        with self.changed:
            return list(self._seen)

    def account(self) -> str:
        """Return all reports so far as text."""
        lines = [json.dumps(report, ensure_ascii=False) for report in self.seen]
        return "\n  ".join(["Seen so far:", *(lines or ["nothing"])])

    def wait_for(
        self, predicate: Predicate, timeout: float | None = None, *, after: int = 0
    ) -> Report:
        """Return the first report that satisfies the predicate, waiting for it if need be.

        `after` leaves out that many of the earliest: pass `len(client.seen)` for new ones only.
        """
        with self.changed:
            return self._seen[self.find(predicate, timeout, after=after)]

    def find(
        self,
        predicate: Predicate,
        timeout: float | None = None,
        *,
        after: int = 0,
        skip: Collection[int] = (),
        what: str = "such report",
    ) -> int:
        """Return the index of the first report that satisfies the predicate, waiting for it."""
        timeout = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + timeout
        looked_at = after
        with self.changed:
            while True:
                for index, report in enumerate(self._seen[looked_at:], looked_at):
                    if index not in skip and predicate(report):
                        return index
                looked_at = max(looked_at, len(self._seen))
                if self._seen and self._seen[-1]["type"] == "ended":
                    raise ReporterError(f"No {what}: the process ended. {self.account()}")
                if not self.changed.wait(deadline - time.monotonic()):
                    raise ReporterError(f"No {what} within {timeout:g} s. {self.account()}")

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout:  # type: ignore[union-attr]
            report = _parsed(line)
            self._add(report)
            self.arrived(report)
        self._add(Report(type="ended"))

    def _add(self, report: Report) -> None:
        with self.changed:
            self._seen.append(report)
            self.changed.notify_all()


def _parsed(line: str) -> Report:
    """Return a report; what the program or its runtime prints besides is one of type "output"."""
    try:
        report = json.loads(line)
    except ValueError:
        report = None
    if isinstance(report, dict) and "type" in report:
        return Report(report)
    return Report(type="output", text=line.rstrip("\n"))
