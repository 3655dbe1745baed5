"""A load balancer learns when a process can serve browsers, and staff its stats."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.test import Client
from pytest_django import Settings
from rest_framework.test import APIRequestFactory, force_authenticate

from realtime_drf.exceptions import InvalidTransport
from realtime_drf.transports import transports
from realtime_drf.transports.memory import MemoryTransport
from realtime_drf.views import (
    ChannelAuthorizationView,
    HealthView,
    UserAuthenticationView,
    WebhookView,
)

pytest.importorskip("channels")

from channels.layers import InMemoryChannelLayer

from realtime_drf.cluster import layer_backplane
from realtime_drf.cluster.memory_state import MemoryStore
from realtime_drf.server.node import Node
from tests.server.harness import Site

PATH = "realtime_drf.transports.channels.ChannelsTransport"


def ask(user: Any = None, **kwargs: str) -> tuple[int, dict[str, Any]]:
    request = APIRequestFactory().get("/")
    force_authenticate(request, user or AnonymousUser())
    response = HealthView.as_view()(request, **kwargs)
    response.render()
    return response.status_code, json.loads(response.content)


def test_a_process_without_browsers_is_healthy(settings: Settings) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH}}
    assert ask() == (200, {"status": "ok"})
    assert ask(alias="other")[0] == 404


class OwnTransport:
    """A transport that has what callers need, and no more."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def send(self, events: Any) -> None:
        raise NotImplementedError


class Sick(MemoryTransport):
    """A transport whose clients need this process, which is not well."""

    def health(self) -> bool:
        return False

    def stats(self) -> dict[str, Any]:
        return {"queued": 3}


@pytest.mark.parametrize(
    ("transport", "status", "expected"),
    [
        ("realtime_drf.transports.memory.MemoryTransport", 200, {"status": "ok"}),
        (PATH, 200, {"status": "ok", "nodes": []}),
        (f"{__name__}.Sick", 503, {"status": "unavailable", "queued": 3}),
        (f"{__name__}.OwnTransport", 200, {"status": "ok"}),
    ],
)
def test_every_transport_reports_whether_it_is_healthy_and_its_stats_to_staff(
    settings: Settings, transport: str, status: int, expected: dict[str, Any]
) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": transport}}
    assert ask(User(is_staff=True)) == (status, expected)
    assert ask() == (status, {"status": expected["status"]})


def test_a_process_that_answers_is_alive_whatever_it_lacks(client: Client) -> None:
    """No database is asked, and no session."""
    entry = {"TRANSPORT": PATH}
    with Site(transports={"default": entry}) as site:
        site.node.is_draining = True
        assert client.get("/realtime/health/").status_code == 503
        answer = client.get("/realtime/health/live/")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert client.post("/realtime/health/live/").status_code == 405


def test_a_transport_that_is_disabled_and_cannot_be_made_harms_nobody(settings: Settings) -> None:
    entry = {"TRANSPORT": "no.such.Transport", "ENABLED": False}
    settings.REALTIME_TRANSPORTS = {"default": entry}
    assert ask() == (200, {"status": "ok"})
    for view in (ChannelAuthorizationView, UserAuthenticationView, WebhookView):
        request = APIRequestFactory().post("/", {"socket_id": "1.1", "channel_name": "private-x"})
        assert view.as_view()(request).status_code == 404
    settings.REALTIME_TRANSPORTS = {"default": {**entry, "ENABLED": True}}
    with pytest.raises(InvalidTransport):
        ask()
    with pytest.raises(InvalidTransport):
        WebhookView.as_view()(APIRequestFactory().post("/"))


def test_a_node_is_healthy_from_when_events_arrive_to_when_it_ends(settings: Settings) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH}}
    transport: Any = transports["default"]
    staff = User(is_staff=True)

    async def live() -> list[Any]:
        node = Node(transport.app, print)
        transport.app.nodes.add(node)
        answers = [await sync_to_async(ask)()]
        node.start()
        await node.ready()
        answers.append(await sync_to_async(ask)(staff))
        await node.drain()
        answers.append(await sync_to_async(ask)())
        await node.stop()
        return answers

    names = (
        "connections",
        "fast_connections",
        "channels",
        "lost_batches",
        "dropped_clients",
        "dropped_webhooks",
    )
    figures = dict.fromkeys(names, 0)
    assert asyncio.run(live()) == [
        (503, {"status": "unavailable"}),
        (200, {"status": "ok", "nodes": [figures]}),
        (503, {"status": "unavailable"}),
    ]


class Layer(InMemoryChannelLayer):
    """Fail at what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: set[str] = set()

    async def group_add(self, group: str, channel: str) -> None:
        self.fail_at("group_add")
        await super().group_add(group, channel)

    async def receive(self, channel: str) -> Any:
        while True:
            self.fail_at("receive")
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(super().receive(channel), 0.01)

    def fail_at(self, call: str) -> None:
        if call in self.failing:
            raise ConnectionError


@pytest.mark.parametrize("call", ["group_add", "receive"])
def test_a_node_whose_layer_fails_is_not_healthy_until_it_works_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    for name, pause in (("INITIAL_DELAY", 0.01), ("MAX_DELAY", 0.02), ("GROUP_RENEWAL", 0.01)):
        monkeypatch.setattr(layer_backplane, name, pause)
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH}}
    transport: Any = transports["default"]

    async def live() -> None:
        layer = Layer()
        transport.app.backplane = layer_backplane.LayerBackplane(
            MemoryStore(), layer, namespace="1"
        )
        node = Node(transport.app, print)
        transport.app.nodes.add(node)
        layer.failing = {call}
        node.start()
        for _ in range(2):
            await wait_for_status(503)
            layer.failing = set()
            await node.ready()
            await wait_for_status(200)
            layer.failing = {call}
        await wait_for_status(503)
        async with asyncio.timeout(1):
            await node.ready()  # whoever comes does not wait for it once more
        await node.stop()

    asyncio.run(live())


async def wait_for_status(status: int) -> None:
    async with asyncio.timeout(5):
        while (await sync_to_async(ask)())[0] != status:
            await asyncio.sleep(0.001)


def test_a_node_whose_store_is_silent_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*args: Any) -> Any:
        raise ConnectionError

    with Site() as site:
        assert ask()[0] == 200
        with monkeypatch.context() as patch:
            patch.setattr(site.transport.app.backplane.store, "heartbeat", fail)
            statuses = []
            for _ in range(7):
                with pytest.raises(ConnectionError):
                    site.advance(1)
                statuses.append(ask()[0])
        assert statuses == [200] * 5 + [503] * 2
        site.advance(1)
        assert ask()[0] == 200
