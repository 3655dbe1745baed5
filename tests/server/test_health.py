"""A load balancer is told when a process may be sent browsers, and staff how it fares."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from pytest_django import Settings
from rest_framework.test import APIRequestFactory, force_authenticate

from realtime_drf.exceptions import InvalidTransport
from realtime_drf.transports import transports
from realtime_drf.views import (
    ChannelAuthorizationView,
    HealthView,
    UserAuthenticationView,
    WebhookView,
)

pytest.importorskip("channels")

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


def test_a_node_is_healthy_from_when_it_hears_to_when_it_ends(settings: Settings) -> None:
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH}}
    transport: Any = transports["default"]
    staff = User(is_staff=True)

    async def live() -> list[Any]:
        from realtime_drf.server.node import Node

        node = Node(transport)
        transport.nodes.add(node)
        answers = [await sync_to_async(ask)()]
        node.start()
        await node.ready()
        answers.append(await sync_to_async(ask)(staff))
        await node.send_away()
        answers.append(await sync_to_async(ask)())
        await node.stop()
        return answers

    names = ("connections", "channels", "lost_handovers", "dropped_clients", "dropped_webhooks")
    figures = dict.fromkeys(names, 0)
    assert asyncio.run(live()) == [
        (503, {"status": "unavailable"}),
        (200, {"status": "ok", "nodes": [figures]}),
        (503, {"status": "unavailable"}),
    ]
