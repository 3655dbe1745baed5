"""Name the ways in which a stand-in service can let a caller down, one class each."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field


class Fault:
    """A way to fail, for one request, which has no effect."""


@dataclass(frozen=True)
class Status(Fault):
    """Answer with this status; the connection stays usable."""

    code: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Html(Fault):
    """Answer with a page instead of JSON, by default as a 200: so do captive portals."""

    code: int = 200
    body: str = "<!doctype html><html><body><h1>Not the API</h1></body></html>"


# Compared by identity: two of them are released apart.
@dataclass(frozen=True, eq=False)
class Slow(Fault):
    """A request that has effect and is recorded, but whose answer waits for `release()`.

    A caller that gives up meanwhile sees what it must reckon with: its events did go out.
    """

    _gate: threading.Event = field(default_factory=threading.Event, repr=False)

    def release(self) -> None:
        """Release the answer; the service does so too when it stops."""
        self._gate.set()

    def wait(self) -> None:
        """Block until released."""
        self._gate.wait()


@dataclass(frozen=True)
class Hang(Fault):
    """Never answer; the connection stays open until the caller leaves or the service stops."""


@dataclass(frozen=True)
class Reset(Fault):
    """Abort the connection with a TCP reset instead of an answer."""


@dataclass(frozen=True)
class Close(Fault):
    """Close the connection in order, without an answer."""


@dataclass(frozen=True)
class Half(Fault):
    """An answer of half the body that Content-Length promises, on a connection that stays open."""


@dataclass(frozen=True)
class HalfThenClose(Fault):
    """An answer of half the body that Content-Length promises, on a connection that closes."""


@dataclass(frozen=True)
class Garbage(Fault):
    """An answer that is not HTTP, on a connection that closes."""

    data: bytes = b"\x15\x03\x03\x00\x02\x02\x28\x00\xff not HTTP at all\r\n\r\n"


def timeout_for(fault: object) -> float:
    """Return how long a caller waits: not long for what never comes, else for a busy machine."""
    return 0.4 if isinstance(fault, Slow | Hang | Half) else 10.0
