"""Clauses of the contract: one transport serves threads, coroutines, and the children of forks."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from realtime_drf.events import Event
from realtime_drf.exceptions import TransportUnavailable
from realtime_drf.testing.contract.evidence import check_unsent, fail
from realtime_drf.testing.contract.harness import Harness
from realtime_drf.testing.contract.inherited import InheritedSockets

THREADS, EVENTS = 8, 20

_SHARED = b"<shared>"
"""What a child says that has sent through a connection of its parent."""


class Sharing(Harness):
    """Check that one instance is enough."""

    def test_threads_share_it(self) -> None:
        channels = [self.channel(str(number)) for number in range(THREADS)]
        together = threading.Barrier(THREADS)

        def work(number: int) -> None:
            together.wait(self.patience)
            for event in events[number]:
                transport.send([event])

        events = [[Event(f"e{n}", name, n) for n in range(EVENTS)] for name in channels]
        with self.transport() as transport:
            with (
                self.arrivals(transport, channels) as arrived,
                _switching_often(),
                ThreadPoolExecutor(THREADS) as pool,
            ):
                list(pool.map(work, range(THREADS)))
            arrived.check([event for each in events for event in each], transport)

    def test_coroutines_share_it(self) -> None:
        channels = [self.channel(str(number)) for number in range(5)]
        events = [[Event(f"e{n}", name, n) for n in range(5)] for name in channels]

        async def send() -> None:
            await asyncio.gather(*(transport.asend(each) for each in events))
            for each in events:
                await transport.asend(each)

        with self.transport() as transport:
            with self.arrivals(transport, channels) as arrived:
                asyncio.run(send())
            expected = [event for each in events for event in [*each, *each]]
            arrived.check(expected, transport)

    def test_a_coroutine_is_told_what_did_not_go(self) -> None:
        async def send() -> None:
            await transport.asend(events)

        events = [Event("e", self.channel(), n) for n in range(3)]
        transport = self.create_unreachable_transport()
        try:
            asyncio.run(send())
        except TransportUnavailable as exc:
            check_unsent(exc, events)
        else:
            fail("The service is out of reach, and asend() raised nothing.")
        finally:
            transport.close()

    def test_a_closed_transport_opens_again(self) -> None:
        channel = self.channel()
        events = [Event(f"e{n}", channel, n) for n in range(3)]
        with self.transport() as transport:
            transport.close()
            with self.arrivals(transport, [channel]) as arrived:
                for event in events:
                    transport.send([event])
                    transport.close()
                    transport.close()
            arrived.check(events, transport)

    def test_a_forked_child_sends_and_its_parent_goes_on(self) -> None:
        if not hasattr(os, "fork"):
            self.skip("this system does not fork")
        channel = self.channel()
        before, inside, after = (Event(name, channel) for name in ("before", "inside", "after"))
        with self.transport() as transport:
            with self.arrivals(transport, [channel]) as arrived:
                transport.send([before])
                _run_in_child(lambda: transport.send([inside]), self.patience)
                transport.send([after])
            found = [each.name for each in arrived.by_channel[channel]]
            if found == ["before", "after"] and not self.in_process:
                fail(
                    "What a forked child sent did not arrive. If the service, or what stands in "
                    "for it, lives in the memory of this process, set in_process = True."
                )
            events = [before, after] if self.in_process else [before, inside, after]
            arrived.check(events, transport)


@contextmanager
def _switching_often() -> Iterator[None]:
    """Let threads take turns as often as can be, so that what they get wrong shows."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def _run_in_child(work: Callable[[], object], patience: float) -> None:
    """Call a function in a forked child; fail with the child's traceback, or if it hangs."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # From Python 3.12 on, of forking while there are threads: a server's workers do as well.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        said = b""
        try:
            inherited = InheritedSockets(lambda: _end_child(writing, _SHARED))
            work()
            said = _SHARED if inherited.are_used() else b"done"
        except BaseException:  # noqa: BLE001  whatever it is, the parent is told
            said = traceback.format_exc().encode()
        finally:
            _end_child(writing, said)
    os.close(writing)
    killer = threading.Timer(patience * 2, os.kill, [pid, 9])
    killer.start()
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    killer.cancel()
    os.waitpid(pid, 0)
    if _SHARED in said:  # from either thread of the child
        fail(
            "A forked child sent through a connection of its parent, so that their answers are "
            "mixed up sooner or later. Connect anew in a child: see os.register_at_fork()."
        )
    if said != b"done":
        fail(f"A forked child could not send: {said.decode() or 'it hung, and was ended.'}")


def _end_child(writing: int, said: bytes) -> None:
    os.write(writing, said[-4000:])
    os._exit(0)  # and not the rest of the tests
