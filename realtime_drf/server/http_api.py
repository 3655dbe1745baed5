"""Pusher's HTTP API, for publishing from other languages and for dashboards.

https://pusher.com/docs/channels/library_auth_reference/rest-api/
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from realtime_drf.cluster import messages
from realtime_drf.cluster.app import App
from realtime_drf.cluster.messages import load_event
from realtime_drf.cluster.state import ChannelState
from realtime_drf.exceptions import InvalidEvent
from realtime_drf.names import (
    ChannelKind,
    build_channel_name,
    check_event_name,
    is_unicode,
    parse_channel_name,
)
from realtime_drf.pusher_protocol.http_signature import Unsigned, check_body, check_signature
from realtime_drf.pusher_protocol.limits import MAX_CHANNELS_PER_EVENT, MAX_EVENTS_PER_BATCH
from realtime_drf.pusher_protocol.signatures import is_socket_id
from realtime_drf.rendering import read
from realtime_drf.server.http_messages import (
    Disconnected,
    Receive,
    Refusal,
    Scope,
    Send,
    answer,
    discard_body,
    read_body,
    read_parameters,
)
from realtime_drf.server.paths import read_signed_paths

logger = logging.getLogger("realtime_drf")

_JSON: Final = b"application/json"
_TEXT: Final = b"text/plain; charset=utf-8"

_KINDS_ALONE: Final = (ChannelKind.ENCRYPTED, ChannelKind.USER)

_EVENTS = re.compile(r"/events")
_BATCH = re.compile(r"/batch_events")
_CHANNELS = re.compile(r"/channels")
_CHANNEL = re.compile(r"/channels/([^/]+)")
_USERS = re.compile(r"/channels/([^/]+)/users")
_TERMINATE = re.compile(r"/users/([^/]+)/terminate_connections")


class HttpApi:
    """The HTTP API of an app: signed requests to ``/apps/<app_id>/…``.

    Args:
        app: whose API it is.
        clock: returns the time in seconds since 1970.
    """

    def __init__(self, app: App, *, clock: Callable[[], float] = time.time) -> None:
        self._app = app
        self._store = app.backplane.store
        self._clock = clock
        self._limit = app.options.payload_limit

    async def __call__(self, scope: Scope, resource: str, receive: Receive, send: Send) -> None:
        """Handle one request; `resource` is the path after that of the app."""
        allow = ""
        try:
            parameters, body = await self._read(scope, receive)
            # Calls of the store have no timeout of their own.
            async with asyncio.timeout(self._app.timeout):
                content = await self._act(scope["method"], resource, parameters, body)
        except Disconnected:
            return
        except Refusal as refusal:
            status, text, kind = refusal.status, f"{refusal}\n".encode(), _TEXT
            allow = refusal.allow
        except Exception as exc:  # noqa: BLE001  any layer or store, any error
            # Its text may contain an address with a password.
            logger.error("The HTTP API could not handle a request: %s", type(exc).__name__)
            status, text, kind = 503, b"Try again later\n", _TEXT
        else:
            status, text, kind = 200, json.dumps(content).encode(), _JSON
        await answer(send, status, text, kind, allow)

    async def _read(self, scope: Scope, receive: Receive) -> tuple[dict[str, str], bytes]:
        """Return the signed parameters and body of a request; discard an unsigned body."""
        try:
            parameters = check_signature(
                self._app.signer,
                method=scope["method"],
                paths=read_signed_paths(scope),
                query=read_parameters(scope),
                now=self._clock(),
            )
        except Unsigned as exc:
            await discard_body(receive)
            raise Refusal(401, f"Not authorized: {exc}") from None
        body = await read_body(receive)
        try:
            check_body(parameters, body)
        except Unsigned as exc:
            raise Refusal(401, f"Not authorized: {exc}") from None
        return parameters, body

    async def _act(
        self, given: str, resource: str, query: Mapping[str, str], body: bytes
    ) -> dict[str, Any]:
        routes: Sequence[tuple[str, re.Pattern[str], Callable[..., Awaitable[dict[str, Any]]]]] = (
            ("POST", _EVENTS, lambda: self._publish(_read_json(body))),
            ("POST", _BATCH, lambda: self._publish_batch(_read_json(body))),
            ("POST", _TERMINATE, self._terminate),
            ("GET", _CHANNELS, lambda: self._list(query)),
            ("GET", _CHANNEL, lambda name: self._show(name, query)),
            ("GET", _USERS, self._list_users),
        )
        for method, pattern, act in routes:
            if match := pattern.fullmatch(resource):
                if given != method:
                    raise Refusal(405, f"This resource supports only {method}", allow=method)
                return await act(*match.groups())
        raise Refusal(404, "Resource not found")

    # Publishing

    async def _publish(self, body: Mapping[str, Any]) -> dict[str, Any]:
        channels = body["channels"] if "channels" in body else [body.get("channel")]
        message = self._read_event(body, channels)
        info = _read_info(body.get("info"))
        described = await self._describe(message.channels, info) if info else []
        await self._app.backplane.apublish([message], self._app.timeout)
        return {"channels": dict(zip(message.channels, described, strict=True))} if info else {}

    async def _publish_batch(self, body: Mapping[str, Any]) -> dict[str, Any]:
        batch = body.get("batch")
        if not isinstance(batch, list) or not batch:
            raise Refusal(400, f"A batch must have 1 to {MAX_EVENTS_PER_BATCH} events")
        if len(batch) > MAX_EVENTS_PER_BATCH:
            # Clients and their tests look for Pusher's wording.
            raise Refusal(400, f"Batch too large ({len(batch)} > {MAX_EVENTS_PER_BATCH})")
        if not all(isinstance(event, dict) for event in batch):
            raise Refusal(400, "The events of a batch must be objects")
        # All are read before the first is published: a batch is refused whole.
        published = [self._read_event(event, [event.get("channel")]) for event in batch]
        described = [
            (await self._describe(message.channels, _read_info(event.get("info"))))[0]
            for message, event in zip(published, batch, strict=True)
        ]
        await self._app.backplane.apublish(published, self._app.timeout)
        return {"batch": described} if any("info" in event for event in batch) else {}

    def _read_event(self, event: Mapping[str, Any], channels: Any) -> messages.EventMessage:
        if not isinstance(channels, list) or not 1 <= len(channels) <= MAX_CHANNELS_PER_EVENT:
            raise Refusal(400, f"An event must have 1 to {MAX_CHANNELS_PER_EVENT} channels")
        name, socket_id = event.get("name"), event.get("socket_id")
        try:
            check_event_name(name)  # type: ignore[arg-type]
            kinds = [parse_channel_name(channel).kind for channel in channels]
        except InvalidEvent as exc:
            raise Refusal(400, str(exc)) from None
        if len(channels) > 1 and any(kind in _KINDS_ALONE for kind in kinds):
            raise Refusal(400, "An event to an encrypted or user channel may have only one")
        data = self._check_data(event.get("data"))
        if not (socket_id is None or (isinstance(socket_id, str) and is_socket_id(socket_id))):
            raise Refusal(400, "socket_id must have the form 123.456")
        return messages.EventMessage(
            str(name),
            list(dict.fromkeys(channels)),
            data,
            socket_id=socket_id or "",
            id=secrets.token_hex(16),
        )

    def _check_data(self, data: Any) -> str:
        if not isinstance(data, str) or not is_unicode(data):
            raise Refusal(400, "The data of an event must be a string, such as JSON")
        if self._limit is not None and len(data.encode()) > self._limit:
            # Clients and their tests look for Pusher's wording.
            raise Refusal(
                413,
                f"The data content of this event exceeds the allowed maximum ({self._limit} bytes)",
            )
        return data

    # Queries

    async def _list(self, query: Mapping[str, str]) -> dict[str, Any]:
        prefix, info = query.get("filter_by_prefix", ""), _read_info(query.get("info"))
        if "user_count" in info and not prefix.startswith("presence-"):
            raise Refusal(400, "user_count needs a filter_by_prefix that starts with presence-")
        states = [
            state for state in await self._store.find(prefix) if not state.channel.startswith("#")
        ]
        described = await self._attributes(states, info)
        return {
            "channels": {state.channel: each for state, each in zip(states, described, strict=True)}
        }

    async def _show(self, name: str, query: Mapping[str, str]) -> dict[str, Any]:
        info, parsed = _read_info(query.get("info")), parse_channel_name(_check_channel(name))
        if "user_count" in info and parsed.kind is not ChannelKind.PRESENCE:
            raise Refusal(400, "user_count is available only for presence channels")
        (state,) = await self._store.read([name])
        (described,) = await self._attributes([state], info)
        return {"occupied": state.subscriptions > 0, **described}

    async def _list_users(self, name: str) -> dict[str, Any]:
        if parse_channel_name(_check_channel(name)).kind is not ChannelKind.PRESENCE:
            raise Refusal(400, "Users are available only for presence channels")
        (state,) = await self._store.read([name])
        return {"users": [{"id": user_id} for user_id in state.members]}

    async def _terminate(self, user_id: str) -> dict[str, Any]:
        try:
            build_channel_name(ChannelKind.USER, user_id)
        except InvalidEvent as exc:
            raise Refusal(400, str(exc)) from None
        message = messages.DisconnectMessage(user_id)
        await self._app.backplane.apublish([message], self._app.timeout)
        return {}

    async def _describe(self, channels: Sequence[str], info: Sequence[str]) -> list[dict[str, Any]]:
        if not info:
            return [{} for _ in channels]
        return await self._attributes(await self._store.read(channels), info)

    async def _attributes(
        self, states: Sequence[ChannelState], info: Sequence[str]
    ) -> list[dict[str, Any]]:
        described: list[dict[str, Any]] = []
        for state in states:
            parsed = parse_channel_name(state.channel)
            attributes: dict[str, Any] = {}
            if "user_count" in info and parsed.kind is ChannelKind.PRESENCE:
                attributes["user_count"] = len(state.members)
            if "subscription_count" in info:
                attributes["subscription_count"] = state.subscriptions
            if "cache" in info and parsed.cache:
                cached = await self._store.recall(state.channel)
                attributes["cache"] = (
                    {"data": load_event(cached, state.channel).body} if cached else None
                )
            described.append(attributes)
        return described


def _read_json(body: bytes) -> Mapping[str, Any]:
    try:
        content = read(body.decode())
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise Refusal(400, "The body must be a JSON object in UTF-8")
    return content


def _read_info(info: Any) -> list[str]:
    if not isinstance(info, str | None):
        raise Refusal(400, "info must be a string of names separated by commas")
    names = [name for name in (info or "").split(",") if name]
    for name in names:
        if name not in ("user_count", "subscription_count", "cache"):
            raise Refusal(400, "info may contain user_count, subscription_count and cache")
    return names


def _check_channel(name: str) -> str:
    try:
        if parse_channel_name(name).kind is ChannelKind.USER:
            raise InvalidEvent("The channel of a user cannot be queried.")
    except InvalidEvent as exc:
        raise Refusal(400, str(exc)) from None
    return name
