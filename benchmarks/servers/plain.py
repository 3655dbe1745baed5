"""A consumer a connection and `group_send`, as the tutorial of Django Channels teaches it."""

from __future__ import annotations

import json
import os
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.servers.settings"


class NewsConsumer(AsyncJsonWebsocketConsumer):
    """Send what the group is sent."""

    async def connect(self) -> None:
        self.group = self.scope["url_route"]["kwargs"]["channel"]
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def news_event(self, message: dict[str, Any]) -> None:
        await self.send_json({key: message[key] for key in ("event", "channel", "data")})


async def events(request: HttpRequest) -> JsonResponse:
    """Send an event to its group."""
    given = json.loads(request.body)
    for channel in given["channels"]:
        message = {"event": given["name"], "channel": channel, "data": given["data"]}
        await get_channel_layer().group_send(channel, {"type": "news.event", **message})
    return JsonResponse({})


urlpatterns = [path("apps/plain/events", events)]
application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("live/<channel>/", NewsConsumer.as_asgi())]),
    }
)
