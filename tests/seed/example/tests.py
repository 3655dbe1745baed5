"""What a project written to the README of drf_model_pusher does once its imports are renamed."""

import hmac
import json
import time

from django.core.management import call_command
from django.test import TransactionTestCase, override_settings
from django.urls import reverse

from example.models import MyModel
from realtime_drf.transports import transports
from realtime_drf.transports.pusher import PusherTransport

MEMORY = {"default": {"TRANSPORT": "realtime_drf.transports.memory.MemoryTransport"}}


class SettingsOfTheSeed(TransactionTestCase):
    def test_they_select_pusher(self):
        transport = transports["default"]
        self.assertIsInstance(transport, PusherTransport)
        self.assertEqual(transport.app_id, "4711")
        call_command("check", fail_level="WARNING")

    def test_pusher_says_which_channels_are_occupied(self):
        occupied = {"name": "channel_occupied", "channel": "channel_id"}
        body = json.dumps({"time_ms": int(time.time() * 1000), "events": [occupied]}).encode()
        signature = hmac.new(b"secret", body, "sha256").hexdigest()
        response = self.client.post(
            reverse("pusher-channel-existence-webhook"),
            body,
            content_type="application/json",
            headers={"X-Pusher-Key": "key", "X-Pusher-Signature": signature},
        )
        self.assertEqual((response.status_code, response.json()["handled"]), (200, 1))


@override_settings(REALTIME_TRANSPORTS=MEMORY)
class ReadmeOfTheSeed(TransactionTestCase):
    def setUp(self):
        self.outbox = transports["default"].outbox
        self.outbox.clear()

    def sent(self):
        return [(event.name, *event.channels, event.data, event.socket_id) for event in self.outbox]

    def test_each_backend_of_the_model_pushes(self):
        headers = {"x-pusher-socket-id": "1.1"}
        pk = self.client.post("/mymodels/", headers=headers).json()["id"]
        self.client.put(f"/mymodels/{pk}/", headers=headers)
        self.client.patch(f"/mymodels/{pk}/")
        self.client.delete(f"/mymodels/{pk}/")
        self.assertEqual(
            self.sent(),
            [
                (f"mymodel.{action}", channel, {"id": pk}, socket_id)
                for action, socket_id in (
                    ("create", "1.1"),
                    ("update", "1.1"),
                    ("update", None),
                    ("delete", None),
                )
                for channel in ("channel_id", "private-channel_id")
            ],
        )
        self.assertFalse(MyModel.objects.exists())

    def test_a_backend_with_but_a_model_takes_the_views_serializer(self):
        pk = self.client.post("/others/", {"name": "a"}).json()["id"]
        self.client.put(f"/others/{pk}/", {"name": "b"}, content_type="application/json")
        self.client.delete(f"/others/{pk}/")
        self.assertEqual(
            self.sent(),
            [
                ("other.create", "others", {"id": pk, "name": "a"}, None),
                ("other.delete", "others", {"id": pk, "name": "b"}, None),
            ],
        )

    @override_settings(DRF_MODEL_PUSHER_DISABLED=True, REALTIME_TRANSPORTS=None)
    def test_disabled_it_pushes_nothing(self):
        self.assertEqual(self.client.post("/others/", {"name": "a"}).status_code, 201)
