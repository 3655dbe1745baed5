"""Connections to Ably: kept, shared by threads and not by processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from realtime_drf import Event
from realtime_drf import http_connections as connections
from realtime_drf.exceptions import TransportUnavailable
from realtime_drf.transports.ably.network import Network
from tests.services.ably_http import AblyService
from tests.services.certificate import make_certificate
from tests.transports.ably_setup import MakeAbly, options_for

pytest.importorskip("ably")

import ably.sync
import httpx


@pytest.fixture(autouse=True)
def _no_connection_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have connections kept, however slow this machine is."""
    monkeypatch.setattr(connections, "MAX_IDLE", 60.0)


def names(service: AblyService) -> list[str]:
    return [received.name for received in service.received]


def test_many_events_in_sequence_share_one_connection(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    transport = make_ably(ably_service)
    for number in range(200):
        transport.send([Event(f"e{number}", "x")])
    assert names(ably_service) == [f"e{number}" for number in range(200)]
    assert ably_service.connections == 1


def test_making_a_transport_connects_to_nobody(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    make_ably(ably_service).close()
    assert ably_service.connections == 0


def test_threads_do_not_share_a_connection_of_http_2(
    tmp_path: Path, make_ably: MakeAbly, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, bundle = make_certificate(tmp_path)
    context.set_alpn_protocols(["h2", "http/1.1"])
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with AblyService(context=context) as service:
        make_ably(service).send([Event("a", "x")])
        assert names(service) == ["a"], "which does not speak HTTP/2"


class PublicAlone:
    """A wrapper without the private names, as another version may have others."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"no attribute {name}")
        return getattr(self.inner, name)


def test_events_go_on_with_an_unknown_version_of_the_sdk(
    ably_service: AblyService,
    make_ably: MakeAbly,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Renamed(ably.sync.AblyRestSync):  # type: ignore[misc]
        @property
        def http(self) -> Any:
            return PublicAlone(super().http)

    monkeypatch.setattr(ably.sync, "AblyRestSync", Renamed)
    transport = make_ably(ably_service)
    for name in "ab":
        transport.send([Event(name, "x")])
    assert names(ably_service) == ["a", "b"]
    warnings = [each for each in caplog.records if each.levelname == "WARNING"]
    assert ["This version of ably" in each.getMessage() for each in warnings] == [True]


@pytest.mark.parametrize("name", ["_network_backend", "_keepalive_expiry", "_http2"])
def test_a_part_of_httpcore_that_is_renamed_is_noticed(name: str) -> None:
    with httpx.Client() as client:
        delattr(client._transport._pool, name)  # type: ignore[attr-defined]
        with pytest.raises(AttributeError, match=name):
            Network(1).prepare(client)


def test_a_connection_that_ended_while_idle_costs_no_event(
    ably_service: AblyService, make_ably: MakeAbly
) -> None:
    transport = make_ably(ably_service)
    transport.send([Event("a", "x")])
    with ably_service.refuse():
        pass
    transport.send([Event("b", "x")])
    assert names(ably_service) == ["a", "b"]


def test_it_recovers_by_itself(ably_service: AblyService, make_ably: MakeAbly) -> None:
    transport = make_ably(ably_service)
    transport.send([Event("a", "x")])
    with ably_service.refuse(), pytest.raises(TransportUnavailable):
        transport.send([Event("b", "x")])
    transport.send([Event("c", "x")])
    assert names(ably_service) == ["a", "c"]


def test_a_closed_transport_opens_again(ably_service: AblyService, make_ably: MakeAbly) -> None:
    transport = make_ably(ably_service)
    for name in "ab":
        transport.send([Event(name, "x")])
        transport.close()
        transport.close()
    assert names(ably_service) == ["a", "b"]


def test_channels_leave_nothing_behind(ably_service: AblyService, make_ably: MakeAbly) -> None:
    transport = make_ably(ably_service)
    transport.send([Event("e", f"c{n}") for n in range(300)])
    assert list(transport.rest.client.channels) == []


def test_threads_share_a_transport(ably_service: AblyService, make_ably: MakeAbly) -> None:
    threads, events = 16, 20
    transport = make_ably(ably_service, timeout=60)  # sixteen at once, on a busy machine
    together = threading.Barrier(threads)

    def work(thread: int) -> None:
        together.wait(10)
        for number in range(events):
            transport.send([Event(f"{thread}.{number}", f"c{thread}", thread)])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))

    by_thread: dict[str, list[str]] = defaultdict(list)
    for received in ably_service.received:
        assert received.channel == f"public:c{received.data}"
        by_thread[received.data].append(received.name)
    for thread in range(threads):
        # Each thread's own events in their order, whatever the others do.
        assert by_thread[str(thread)] == [f"{thread}.{number}" for number in range(events)]
    assert ably_service.connections <= threads


FORKING = """
import gc, json, os, sys
import django
django.setup()
from realtime_drf import Event
from realtime_drf import http_connections as connections
from realtime_drf.transports.ably import AblyTransport

connections.MAX_IDLE = 60
transport = AblyTransport(**json.loads(sys.argv[1]))
transport.send([Event("before", "x")])
child = os.fork()
for number in range(50):
    transport.send([Event(f"{number}", "child" if child == 0 else "parent")])
gc.collect()  # which warns of what nobody has closed
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
    ably_service: AblyService,
) -> None:
    # In a process of its own: this one has threads.
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKING, json.dumps(options_for(ably_service))],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    received = [(each.channel, each.name) for each in ably_service.received]
    for process in ("parent", "child"):
        sent = [name for channel, name in received if channel == f"public:{process}"]
        assert sent == [str(number) for number in range(50)]
    assert (received[0], received[-1]) == (("public:x", "before"), ("public:x", "after"))
    # One before the fork, one of the child's own, and one after the parent has closed the first.
    assert ably_service.connections == 3
