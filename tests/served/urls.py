"""Publish what is posted, from a sync view and from an async one."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

from realtime_drf import Event, apublish, publish
from realtime_drf.authorization import disconnect_user


def _events(request: HttpRequest) -> list[Event]:
    events: list[dict[str, Any]] = json.loads(request.body)
    return [Event(each.pop("name"), each.pop("channels"), **each) for each in events]


def publish_view(request: HttpRequest) -> HttpResponse:
    publish(*_events(request))
    return HttpResponse()


async def apublish_view(request: HttpRequest) -> HttpResponse:
    await apublish(*_events(request))
    return HttpResponse()


def disconnect_view(request: HttpRequest) -> HttpResponse:
    disconnect_user(request.body.decode())
    return HttpResponse()


def alive_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("alive")


urlpatterns = [
    path("publish/", publish_view),
    path("apublish/", apublish_view),
    path("disconnect/", disconnect_view),
    path("alive/", alive_view),
]
