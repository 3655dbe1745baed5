"""A stand-in for Pusher's HTTP API: it checks what the service checks, and records requests."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tests.services.http_connection import Answer, Request
from tests.services.http_service import HttpService
from tests.services.process import closed_port
from tests.services.pusher_rules import (
    BATCH_LIMIT,
    Refusal,
    check_channel,
    check_event,
    check_signature,
    is_presence,
)

DATA_LIMIT = 10_240


def unavailable() -> str | None:
    """Return None: the stand-in needs nothing that Python does not bring."""
    return None


@dataclass(frozen=True)
class Received:
    """An event for one channel, as subscribers would receive it."""

    channel: str
    name: str
    #: The string as it was sent, JSON or not.
    data: str
    #: The connection that is excluded, or None.
    socket_id: str | None


class PusherService(HttpService):
    """A server of Pusher's HTTP API for one app, on 127.0.0.1.

    `occupied` is what the GETs answer from: a channel's name to its `subscription_count`,
    `user_count`, `users` (ids) and `cache`, each optional. `disabled` makes every signed request a
    403; `data_limit` is in bytes. `clock` returns the service's Unix time.
    """

    def __init__(
        self,
        *,
        app_id: str = "4711",
        key: str = "test-key",
        secret: str = "test-secret",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.app_id = app_id
        self.key = key
        self.secret = secret
        self.clock = clock
        self._received: list[Received] = []
        self._terminated: list[str] = []
        self._forget()

    @staticmethod
    def closed_port() -> AbstractContextManager[int]:
        """Yield a port that refuses connections while the block runs."""
        return closed_port()

    @property
    def received(self) -> list[Received]:
        """Return what was accepted for delivery, channel by channel, in order."""
        with self.changed:
            return list(self._received)

    @property
    def terminated(self) -> list[str]:
        """Return the ids of the users whose connections were ended."""
        with self.changed:
            return list(self._terminated)

    def reset(self) -> None:
        """Return to the state of a new service; the server goes on."""
        with self.changed:
            super().reset()
            self._forget()

    def _forget(self) -> None:
        self._received.clear()
        self._terminated.clear()
        self.occupied: dict[str, dict[str, Any]] = {}
        self.disabled = False
        self.data_limit = DATA_LIMIT

    def respond(self, request: Request) -> Answer:
        """Return what the real service would answer."""
        with self.changed:
            try:
                content = self._act(request)
            except Refusal as refusal:
                text = f"{refusal.message}\n".encode()
                return Answer(refusal.status, text, "text/plain; charset=utf-8")
            finally:
                self.changed.notify_all()
        return Answer(body=json.dumps(content).encode())

    def _act(self, request: Request) -> dict[str, Any]:
        match = re.fullmatch(r"/apps/([^/]+)(/.+)", request.path)
        if match is None:
            raise Refusal(404, "Not found")
        if match[1] != self.app_id:
            raise Refusal(404, f"App {match[1]} does not exist")
        check_signature(request, key=self.key, secret=self.secret, now=self.clock())
        if self.disabled:
            raise Refusal(403, f"App {self.app_id} is disabled")
        method, resource = request.method, match[2]
        if method == "POST":
            return self._post(resource, request.body)
        if method == "GET":
            return self._get(resource, request.query)
        raise Refusal(405, f"{method} is not allowed")

    # What changes something

    def _post(self, resource: str, body: Any) -> dict[str, Any]:
        if not isinstance(body, dict):
            raise Refusal(400, "The body must be a JSON object")
        if resource == "/events":
            return self._events(body)
        if resource == "/batch_events":
            return self._batch(body)
        if match := re.fullmatch(r"/users/([^/]+)/terminate_connections", resource):
            self._terminated.append(unquote(match[1]))
            return {}
        raise Refusal(404, "Not found")

    def _events(self, body: dict[str, Any]) -> dict[str, Any]:
        channels: Any = body["channels"] if "channels" in body else [body.get("channel")]
        check_event(body, channels, data_limit=self.data_limit)
        described = self._described(body, channels)
        self._deliver(body, channels)
        return {"channels": dict(zip(channels, described, strict=True))} if "info" in body else {}

    def _batch(self, body: dict[str, Any]) -> dict[str, Any]:
        batch = body.get("batch")
        if not isinstance(batch, list) or not 1 <= len(batch) <= BATCH_LIMIT:
            raise Refusal(400, f"A batch has between 1 and {BATCH_LIMIT} events")
        described = []
        # All are checked before the first is delivered: a batch is refused whole.
        for event in batch:
            if not isinstance(event, dict):
                raise Refusal(400, "An event of a batch must be a JSON object")
            channels = [event.get("channel")]
            check_event(event, channels, data_limit=self.data_limit)
            described += self._described(event, channels)
        for event in batch:
            self._deliver(event, [event["channel"]])
        return {"batch": described} if any("info" in event for event in batch) else {}

    def _deliver(self, event: dict[str, Any], channels: list[str]) -> None:
        for channel in channels:
            received = Received(channel, event["name"], event["data"], event.get("socket_id"))
            self._received.append(received)

    def _described(self, event: dict[str, Any], channels: list[Any]) -> list[dict[str, Any]]:
        wanted = event.get("info", "")
        if not isinstance(wanted, str):
            raise Refusal(400, "info must be a string")
        return [self._attributes(channel, wanted) for channel in channels]

    # What only looks

    def _get(self, resource: str, query: Any) -> dict[str, Any]:
        wanted = query.get("info", "")
        if resource == "/channels":
            return self._channels(query.get("filter_by_prefix", ""), wanted)
        match = re.fullmatch(r"/channels/([^/]+)(/users)?", resource)
        if match is None:
            raise Refusal(404, "Not found")
        channel = unquote(match[1])
        check_channel(channel)
        if match[2]:
            return self._users(channel)
        return {"occupied": channel in self.occupied, **self._attributes(channel, wanted)}

    def _channels(self, prefix: str, wanted: str) -> dict[str, Any]:
        if "user_count" in wanted.split(",") and not is_presence(prefix):
            raise Refusal(
                400,
                "user_count may only be requested for presence channels - "
                "please supply filter_by_prefix beginning with presence-",
            )
        names = [name for name in self.occupied if name.startswith(prefix)]
        return {"channels": {name: self._attributes(name, wanted) for name in names}}

    def _users(self, channel: str) -> dict[str, Any]:
        if not is_presence(channel):
            raise Refusal(400, "Users can only be retrieved for presence channels")
        users = self.occupied.get(channel, {}).get("users", [])
        return {"users": [{"id": user} for user in users]}

    def _attributes(self, channel: str, wanted: str) -> dict[str, Any]:
        """Return the wanted attributes of a channel; `wanted` is a list joined by commas."""
        state = self.occupied.get(channel, {})
        found: dict[str, Any] = {}
        for attribute in filter(None, wanted.split(",")):
            match attribute:
                case "subscription_count":
                    found[attribute] = state.get(attribute, 0)
                case "user_count":
                    if not is_presence(channel):
                        raise Refusal(400, "user_count is only known for presence channels")
                    found[attribute] = state.get(attribute, len(state.get("users", [])))
                case "cache":
                    found[attribute] = state.get(attribute)
                case _:
                    raise Refusal(400, f"Unknown attribute {attribute!r} in info")
        return found
