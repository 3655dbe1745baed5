"""What one iteration of the event loop has for many clients, where it can bypass `send`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("channels")

from realtime_drf.events import Event
from realtime_drf.server.fast_path import MAX_BYTES, UVICORN
from tests.server.harness import Client, Site, Uvicorn


@pytest.fixture
def site() -> Iterator[Site]:
    with Site(client_events=True) as site:
        yield site


def connect(site: Site, *channels: str) -> tuple[Client, Uvicorn]:
    client = site.connect(is_on_uvicorn=True)
    for channel in channels:
        client.join(channel)
    client.take()
    assert client.uvicorn is not None
    client.uvicorn.writes.clear()
    return client, client.uvicorn


def received(client: Client) -> list[int]:
    return [data for name, _, data in client.events() if name == "told"]


def test_each_client_is_written_once_what_is_for_it(site: Site) -> None:
    (both, both_server), (one, one_server) = connect(site, "a", "b"), connect(site, "a")
    plain = site.connect()
    plain.subscribe("a")
    plain.take()
    events = [Event("told", "ab"[number % 2], number) for number in range(10)]
    site.send(*events, Event("told", "a", 10, socket_id=one.socket_id))
    site.settle()
    assert received(both) == list(range(11))
    assert received(one) == [0, 2, 4, 6, 8]
    assert received(plain) == [0, 2, 4, 6, 8, 10]
    assert len(both_server.writes) == len(one_server.writes) == 1


def test_what_one_client_alone_receives_keeps_its_place(site: Site) -> None:
    client, server = connect(site, "a")

    async def act() -> None:
        connection = site.node.connections[client.socket_id]
        hub = site.node.hub
        for number in range(3):
            connection.send(f'{{"event":"told","data":"{2 * number}"}}')
            hub.broadcast(hub.channels["a"], f'{{"event":"told","data":"{2 * number + 1}"}}')

    site.run(act())
    site.settle()
    assert received(client) == list(range(6))
    assert len(server.writes) == 1


def test_much_is_written_in_parts(site: Site) -> None:
    clients = [connect(site, "a", "b") for _ in range(3)]
    size = 9_000
    site.send(*(Event("told", "ab"[number % 2], "x" * size) for number in range(100)))
    site.settle()
    for client, server in clients:
        assert received(client) == ["x" * size] * 100
        assert max(server.writes) <= 2 * MAX_BYTES
        assert len(server.writes) < 25


def test_what_follows_waits_for_a_client_that_has_enough(site: Site) -> None:
    (full, full_server), (other, _) = connect(site, "a"), connect(site, "a")
    full_server.takes = 1
    site.send(*(Event("told", "a", [number, "x" * 9_000]) for number in range(100)))
    site.settle()
    first = received(full)
    assert 0 < len(first) < 50
    full.read_on()
    assert [number for number, _ in first + received(full)] == list(range(100))
    assert sum(full_server.writes) > 90 * 9_000, "what has waited goes past `send` as well"
    assert [number for number, _ in received(other)] == list(range(100))


class Renamed(Uvicorn):
    """A version of uvicorn that has its WebSocket in another module."""

    __module__ = "uvicorn.protocols.websockets.sansio"


class Changed(Uvicorn):
    """A version of uvicorn that keeps something of another type under a known name."""

    __module__ = UVICORN

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.disconnected = None  # type: ignore[assignment]


class Legacy(Uvicorn):
    """The WebSocket that uvicorn has for `--ws websockets`."""

    __module__ = "uvicorn.protocols.websockets.websockets_impl"


def connect_twice(site: Site, kind: type[Uvicorn]) -> None:
    for _ in range(2):
        client = site.client(is_on_uvicorn=True)
        client.uvicorn = kind(client)
        client.open()
        assert client.socket_id


@pytest.mark.parametrize("kind", [Renamed, Changed])
def test_a_uvicorn_that_is_not_known_is_logged_once(
    site: Site, caplog: pytest.LogCaptureFixture, kind: type[Uvicorn]
) -> None:
    connect_twice(site, kind)
    (record,) = (each for each in caplog.records if each.levelname == "WARNING")
    assert (
        f"does not support this version of uvicorn ({kind.__module__}.{kind.__qualname__})"
        in record.getMessage()
    )
    assert site.node.stats()["fast_connections"] == 0


@pytest.mark.usefixtures("silence")
def test_a_choice_of_another_way_is_not_logged(site: Site) -> None:
    connect_twice(site, Legacy)
    site.connect()
    assert site.node.stats()["fast_connections"] == 0


@pytest.mark.usefixtures("silence")
def test_the_figures_say_how_many_connections_are_fast(site: Site) -> None:
    site.connect()
    site.connect(is_on_uvicorn=True)
    site.connect(is_on_uvicorn=True, is_wrapped=True)
    stats = site.node.stats()
    assert (stats["connections"], stats["fast_connections"]) == (3, 1)
