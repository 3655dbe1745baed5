"""Take webhooks as a careful receiver does: nothing counts that is not signed, byte for byte."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from tests.services.http_connection import Answer, Request
from tests.services.http_service import HttpService


class WebhookReceiver(HttpService):
    """Verify and keep what is posted; answer 200, or 401 where the signature is wrong."""

    path = "/hooks/"

    def __init__(self, key: str, secret: str) -> None:
        super().__init__()
        self.key = key
        self.secret = secret
        #: Requests that were genuine and answered with a 200, in order.
        self.taken: list[Request] = []

    @property
    def webhook_url(self) -> str:
        return f"{self.url}{self.path}"

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return all events that were taken, in order."""
        with self.changed:
            return [event for request in self.taken for event in request.body["events"]]

    def wait_for_events(self, count: int, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Return the events once there are so many."""
        self.wait_for(lambda: len(self.events) >= count, timeout)
        return self.events

    def respond(self, request: Request) -> Answer:
        signature = hmac.new(self.secret.encode(), request.raw_body, hashlib.sha256).hexdigest()
        genuine = (
            request.method == "POST"
            and request.path == self.path
            and request.headers.get("x-pusher-key") == self.key
            and hmac.compare_digest(request.headers.get("x-pusher-signature", ""), signature)
            and request.headers.get("content-type") == "application/json"
        )
        if not genuine:
            return Answer(401)
        with self.changed:
            self.taken.append(request)
            self.changed.notify_all()
        return Answer(200, json.dumps({"taken": len(request.body["events"])}).encode())
