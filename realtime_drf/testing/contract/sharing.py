"""Clauses of the contract: threads, coroutines and forked children share one transport."""

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
"""What a child reports that has sent through a connection of its parent."""


class Sharing(Harness):
    """Tests that one instance is enough."""

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

    def test_asend_reports_what_was_not_sent(self) -> None:
        async def send() -> None:
            await transport.asend(events)

        events = [Event("e", self.channel(), n) for n in range(3)]
        transport = self.create_unreachable_transport()
        try:
            asyncio.run(send())
        except TransportUnavailable as exc:
            check_unsent(exc, events)
        else:
            fail("The service is unreachable, and asend() raised nothing.")
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
                    "What a forked child sent did not arrive. If the service, or its stand-in, is "
                    "in the memory of this process, set in_process = True."
                )
            events = [before, after] if self.in_process else [before, inside, after]
            arrived.check(events, transport)


@contextmanager
def _switching_often() -> Iterator[None]:
    """Switch between threads as often as possible, so that races show."""
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
        # Python 3.12 and later warn about forking with threads, which servers do as well.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        result = b""
        try:
            inherited = InheritedSockets(lambda: _end_child(writing, _SHARED))
            work()
            result = _SHARED if inherited.are_used() else b"done"
        except BaseException:  # noqa: BLE001  whatever it is, the parent reports it
            result = traceback.format_exc().encode()
        finally:
            _end_child(writing, result)
    os.close(writing)
    killer = threading.Timer(patience * 2, os.kill, [pid, 9])
    killer.start()
    with os.fdopen(reading, "rb") as pipe:
        result = pipe.read()
    killer.cancel()
    os.waitpid(pid, 0)
    if _SHARED in result:  # from either thread of the child
        fail(
            "A forked child sent through a connection of its parent, so their answers will "
            "get mixed up. Open a new connection in a child: see os.register_at_fork()."
        )
    if result != b"done":
        fail(f"A forked child could not send: {result.decode() or 'it hung, and was killed.'}")


def _end_child(writing: int, result: bytes) -> None:
    os.write(writing, result[-4000:])
    os._exit(0)  # and not the rest of the tests
