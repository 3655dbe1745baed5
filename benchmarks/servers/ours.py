"""Our server around a Django project whose view publishes."""

from __future__ import annotations

import json
import os

from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.servers.settings"


async def events(request: HttpRequest) -> JsonResponse:
    """Publish an event."""
    from realtime_drf import Event, apublish

    given = json.loads(request.body)
    await apublish(Event(given["name"], given["channels"], json.loads(given["data"])))
    return JsonResponse({})


urlpatterns = [path("apps/ours/events", events)]
django_application = get_asgi_application()

from realtime_drf.server import RealtimeServer  # noqa: E402  after the settings

application = RealtimeServer(django_application)
