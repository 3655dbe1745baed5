"""A connection that was idle is not used again: a NAT gateway may have forgotten its flow."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from realtime_drf import Event
from realtime_drf import http_connections as connections
from realtime_drf.exceptions import TransportUnavailable
from realtime_drf.transports.base import BaseTransport
from tests.services import faults
from tests.services.ably_http import AblyService
from tests.services.http_service import HttpService
from tests.services.nat import Nat
from tests.services.pusher_http import PusherService
from tests.transports import ably_setup
from tests.transports.conftest import options_for

TIMEOUT = 0.5

Make = Callable[..., BaseTransport]


@pytest.fixture(params=["pusher", "ably"])
def service(request: pytest.FixtureRequest) -> Iterator[Any]:
    pytest.importorskip(request.param)
    with {"pusher": PusherService, "ably": AblyService}[request.param]() as service:
        yield service


@pytest.fixture(params=["reset", "swallow"])
def nat(request: pytest.FixtureRequest, service: HttpService) -> Iterator[Nat]:
    with Nat(service.port, request.param) as nat:
        yield nat


def make(service: Any, **options: Any) -> BaseTransport:
    if isinstance(service, PusherService):
        from realtime_drf.transports.pusher import PusherTransport

        return PusherTransport(**{**options_for(service), **options})
    from realtime_drf.transports.ably import AblyTransport

    return AblyTransport(**{**ably_setup.options_for(service), **options})


def names(service: Any) -> list[str]:
    return [received.name for received in service.received]


class Clock:
    """A clock that stands still, however slow this machine is, until time is passed."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def pass_time(self) -> None:
        """Let more time pass than a connection may be idle."""
        self.now += connections.MAX_IDLE + 0.1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def test_the_first_event_after_quiet_arrives(service: Any, nat: Nat, clock: Clock) -> None:
    with closing(make(service, port=nat.port)) as transport:
        for name in "abc":
            transport.send([Event(name, "x")])
            transport.send([Event(name, "y")])
            nat.forget()
            clock.pass_time()
    assert names(service) == ["a", "a", "b", "b", "c", "c"]
    assert nat.flows == 3


def test_no_connection_of_a_pool_is_stale(service: Any, nat: Nat, clock: Clock) -> None:
    threads = 8
    with closing(make(service, port=nat.port)) as transport:
        transport.send([Event("first", "x")])  # for which Ably's client gets a token
        sent = len(service.requests)
        with ThreadPoolExecutor(threads) as pool:
            slow = faults.Slow()
            service.fail_next(slow, times=threads)
            sending = [pool.submit(transport.send, [Event("warm", "x")]) for _ in range(threads)]
            service.wait_for(lambda: len(service.requests) == sent + threads)
            slow.release()
            for future in sending:
                future.result(10)
        nat.forget()
        clock.pass_time()
        for _ in range(threads + 1):
            transport.send([Event("after", "x")])
    assert names(service).count("after") == threads + 1


def test_one_stale_connection_costs_no_more_than_one_event(
    service: Any, nat: Nat, clock: Clock
) -> None:
    made = make(service, port=nat.port, timeout=1)
    with closing(made) as transport, ThreadPoolExecutor(4) as pool:
        transport.send([Event("first", "x")])
        together = threading.Barrier(4)

        def warm() -> None:
            together.wait(5)
            transport.send([Event("warm", "x")])

        for future in [pool.submit(warm) for _ in range(4)]:
            future.result(10)
        nat.forget()
        failed = 0
        for _ in range(6):
            try:
                transport.send([Event("after", "x")])
            except TransportUnavailable:
                failed += 1
    assert failed <= 1
    assert names(service).count("after") == 6 - failed


def test_the_kernel_looks_after_idle_connections(service: Any) -> None:
    seen: list[int] = []
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        real(self, address)
        seen.append(self.fileno())

    transport = make(service)
    with closing(transport), pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        transport.send([Event("a", "x")])
        assert seen
        for fileno in seen:
            with socket.socket(fileno=fileno) as sock:
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                sock.detach()


# A second try


def test_ids_make_a_second_try_safe_and_without_them_there_is_none(
    service: Any, clock: Clock
) -> None:
    def take(request: Any) -> Any:
        fault = type(service).take(service, request)
        if isinstance(fault, faults.Reset) and request.path.endswith(("/events", "/messages")):
            service.respond(request)  # it is carried out, and the answer is lost
        return fault

    with closing(make(service)) as transport:
        transport.send([Event("a", "x")])
        service.take = take
        service.fail_next(faults.Reset())
        if transport.supports_idempotency:
            transport.send([Event("b", "x")])
        else:
            with pytest.raises(TransportUnavailable):
                transport.send([Event("b", "x")])
    assert names(service) == ["a", "b"]


def test_what_was_cut_off_while_it_was_sent_is_sent_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pusher")
    with PusherService() as service, closing(make(service)) as transport:
        transport.send([Event("a", "x")])
        cut = []
        real = socket.socket.sendall

        def sendall(self: socket.socket, data: Any, *flags: Any) -> None:
            if b"POST" in bytes(data)[:4] and not cut:
                cut.append(real(self, bytes(data)[:10]))
                raise ConnectionResetError
            real(self, data, *flags)

        monkeypatch.setattr(socket.socket, "sendall", sendall)
        transport.send([Event("b", "x")])
        assert cut
        assert names(service) == ["a", "b"]


def test_what_another_thread_has_closed_is_opened_again() -> None:
    pytest.importorskip("pusher")
    with PusherService() as service, closing(make(service)) as transport:
        transport.send([Event("a", "x")])
        session = transport._client.http.session  # type: ignore[attr-defined]
        pools = session.get_adapter(f"http://{service.host}/").poolmanager.pools
        for key in pools.keys():  # noqa: SIM118  it is no dict
            # As a thread finds it that has got hold of it when the call of another fails.
            pools[key].close()
        transport.send([Event("b", "x")])
        assert names(service) == ["a", "b"]


def test_a_question_is_asked_again(clock: Clock) -> None:
    pytest.importorskip("pusher")
    with PusherService() as service, closing(make(service)) as transport:
        service.occupied["x"] = {}
        assert transport.channel_info("x").occupied
        service.fail_next(faults.Close())
        assert transport.channel_info("x").occupied
        assert len(service.requests) == 3


# The time of a call


def test_all_addresses_of_a_name_share_the_time(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(host: str, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "many.example":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]
        return real(host, port, *args, **kwargs)

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", find)
    host = {"host" if isinstance(service, PusherService) else "endpoint": "many.example"}
    holes = [Hole("127.0.0.2")]
    port = holes[0].port
    holes += [Hole(f"127.0.0.{number}", port) for number in range(3, 6)]
    try:
        addresses = [hole.address for hole in holes]
        started = time.monotonic()
        options = {"fallback_hosts": []} if "endpoint" in host else {}
        with (
            closing(make(service, port=port, timeout=TIMEOUT, **host, **options)) as transport,
            pytest.raises(TransportUnavailable),
        ):
            transport.send([Event("a", "x")])
        assert time.monotonic() - started < 3 * TIMEOUT
    finally:
        for hole in holes:
            hole.close()
    # One that answers is found behind others that refuse.
    addresses = ["127.0.0.7", "127.0.0.8", service.host]
    with closing(make(service, **host)) as transport:
        transport.send([Event("b", "x")])
    assert names(service) == ["b"]


class Hole:
    """An address that answers no attempt to connect, as a firewall does that drops packets."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.address = address
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.port = self.listener.getsockname()[1]
        self.listener.listen(0)
        self.waiting = []
        for _ in range(4):  # more than it has places for
            each = socket.socket()
            each.setblocking(False)
            each.connect_ex((address, self.port))
            self.waiting.append(each)

    def close(self) -> None:
        for each in (self.listener, *self.waiting):
            each.close()
