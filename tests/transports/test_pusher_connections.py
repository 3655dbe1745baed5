"""Connections to Pusher: kept, shared by threads and not by processes, to trusted hosts only."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from realtime_drf import Event
from realtime_drf import http_connections as connections
from realtime_drf.exceptions import PayloadTooLarge, TransportUnavailable
from tests.services import faults
from tests.services.pusher_http import PusherService
from tests.transports.conftest import MakePusher, options_for

pytest.importorskip("pusher")


@pytest.fixture(autouse=True)
def _no_connection_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have connections kept, however slow this machine is."""
    monkeypatch.setattr(connections, "MAX_IDLE", 60.0)


def names(service: PusherService) -> list[str]:
    return [received.name for received in service.received]


def test_a_thousand_events_in_sequence_share_one_connection(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    transport = make_pusher(pusher_service)
    for number in range(1_000):
        transport.send([Event(f"e{number}", "x")])
    assert names(pusher_service) == [f"e{number}" for number in range(1_000)]
    assert pusher_service.connections == 1


def test_making_a_transport_connects_to_nobody(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    make_pusher(pusher_service).close()
    assert pusher_service.connections == 0


def test_a_refused_event_does_not_cost_the_connection(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    pusher_service.data_limit = 10
    transport = make_pusher(pusher_service)
    for data in ("x" * 100, "x", "x" * 100, "x"):
        with contextlib.suppress(PayloadTooLarge):
            transport.send([Event("e", "x", data)])
    assert (len(pusher_service.received), pusher_service.connections) == (2, 1)


def test_a_connection_that_ended_while_idle_costs_no_event(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    transport = make_pusher(pusher_service)
    transport.send([Event("a", "x")])
    with pusher_service.refuse():
        pass
    transport.send([Event("b", "x")])
    assert names(pusher_service) == ["a", "b"]


def test_it_recovers_by_itself(pusher_service: PusherService, make_pusher: MakePusher) -> None:
    transport = make_pusher(pusher_service)
    transport.send([Event("a", "x")])
    with pusher_service.refuse(), pytest.raises(TransportUnavailable):
        transport.send([Event("b", "x")])
    transport.send([Event("c", "x")])
    assert names(pusher_service) == ["a", "c"]


def test_a_closed_transport_opens_again(
    pusher_service: PusherService, make_pusher: MakePusher
) -> None:
    transport = make_pusher(pusher_service)
    for name in "ab":
        transport.send([Event(name, "x")])
        transport.close()
        transport.close()
    assert names(pusher_service) == ["a", "b"]
    assert pusher_service.connections == 2


# Threads


def test_threads_share_a_transport(pusher_service: PusherService, make_pusher: MakePusher) -> None:
    threads, events = 16, 20
    transport = make_pusher(pusher_service, timeout=60)  # sixteen at once, on a busy machine
    together = threading.Barrier(threads)

    def work(thread: int) -> None:
        together.wait(10)
        for number in range(events):
            transport.send([Event(f"{thread}.{number}", f"c{thread}", thread)])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))

    by_thread: dict[str, list[str]] = defaultdict(list)
    for received in pusher_service.received:
        assert received.channel == f"c{received.data}"
        by_thread[received.data].append(received.name)
    for thread in range(threads):
        # Each thread's own events in their order, whatever the others do.
        assert by_thread[str(thread)] == [f"{thread}.{number}" for number in range(events)]
    assert len(pusher_service.received) == threads * events
    assert pusher_service.connections <= threads


def test_as_many_connections_are_kept_as_threads_need_at_once(
    pusher_service: PusherService, make_pusher: MakePusher, caplog: pytest.LogCaptureFixture
) -> None:
    threads = 32
    transport = make_pusher(pusher_service)
    with ThreadPoolExecutor(threads) as pool:
        for turn in range(1, 4):
            slow = faults.Slow()
            pusher_service.fail_next(slow, times=threads)
            sending = [pool.submit(transport.send, [Event("e", "x")]) for _ in range(threads)]
            pusher_service.wait_for(
                lambda turn=turn: len(pusher_service.requests) == turn * threads
            )
            slow.release()
            for future in sending:
                future.result(10)
    assert pusher_service.connections == threads
    assert "pool is full" not in caplog.text


# Processes

FORKING = """
import json, os, sys
import django
django.setup()
from realtime_drf import Event
from realtime_drf import http_connections as connections
from realtime_drf.transports.pusher import PusherTransport

connections.MAX_IDLE = 60
transport = PusherTransport(**json.loads(sys.argv[1]))
transport.send([Event("before", "x")])
child = os.fork()
for number in range(100):
    transport.send([Event(f"{number}", "child" if child == 0 else "parent")])
transport.close()
if child == 0:
    os._exit(0)
_, status = os.waitpid(child, 0)
transport.send([Event("after", "x")])
transport.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_sends_too_and_does_not_mix_with_its_parent(
    pusher_service: PusherService,
) -> None:
    # In a process of its own: this one has threads.
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKING, json.dumps(options_for(pusher_service))],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    received = [(each.channel, each.name) for each in pusher_service.received]
    for process in ("parent", "child"):
        sent = [name for channel, name in received if channel == process]
        assert sent == [str(number) for number in range(100)]
    assert (received[0], received[-1]) == (("x", "before"), ("x", "after"))
    # One before the fork, one of the child's own, and one after the parent has closed the first.
    assert pusher_service.connections == 3


# TLS


class TlsService(PusherService):
    """A server of the API over TLS."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self.context = context

    def _serve(self, connection: socket.socket, address: tuple[str, int]) -> None:
        try:
            wrapped = self.context.wrap_socket(connection, server_side=True)
        except OSError:  # the caller does not trust us
            return
        with self.changed:
            self._serving[wrapped] = self._serving.pop(connection)
        super()._serve(wrapped, address)


def test_todays_authorities_are_trusted_and_no_others(
    make_pusher: MakePusher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trustme = pytest.importorskip("trustme")
    # An authority that the SDK's own list, of 2021, cannot know.
    authority = trustme.CA()
    bundle = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(bundle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with TlsService(context) as service:
        transport = make_pusher(service, ssl=True)
        with pytest.raises(TransportUnavailable, match="SSLError"):
            transport.send([Event("a", "x")])
        assert service.requests == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        transport.send([Event("b", "x")])
        assert names(service) == ["b"]
        transport.close()
