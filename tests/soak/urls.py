"""What the project of the soak serves: subscriptions to rooms, webhooks, and publishing."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from realtime_drf import Event
from realtime_drf import publish as publish_event
from realtime_drf.channels import EncryptedChannel, PresenceChannel, PrivateChannel
from realtime_drf.signals import event_published

counts = {"events sent": 0}


def count(**kwargs: Any) -> None:
    counts["events sent"] += 1


event_published.connect(count)


class Room(PrivateChannel):
    pattern = "rooms.<int:pk>"
    permission_classes = ()

    def authorize(self, request: Any, pk: int) -> bool:
        return True


class PresenceRoom(PresenceChannel):
    pattern = "rooms.<int:pk>"
    permission_classes = ()

    def authorize(self, request: Any, pk: int) -> bool:
        return True


class EncryptedRoom(EncryptedChannel):
    pattern = "rooms.<int:pk>"
    permission_classes = ()

    def authorize(self, request: Any, pk: int) -> bool:
        return True


@csrf_exempt
def publish(request: HttpRequest) -> JsonResponse:
    publish_event(Event("tick", request.POST["channel"], {"number": int(request.POST["number"])}))
    return JsonResponse(counts)


urlpatterns = [path("realtime/", include("realtime_drf.urls")), path("publish/", publish)]
