"""Ably's webhooks, batched or enveloped, as JSON.

https://ably.com/docs/platform/integrations/webhooks. The signature has no timestamp of its own, but
it covers the timestamps in the body, which tell how old the body is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

from realtime_drf.exceptions import InvalidEvent, InvalidRequest, InvalidSignature
from realtime_drf.pusher_protocol.webhooks import MARGIN, MAX_BODY_BYTES, WINDOW, parse_object
from realtime_drf.transports.ably.names import Names
from realtime_drf.webhook_events import WebhookEvent

_MEMBER_ACTIONS: Final = {2: "member_added", 3: "member_removed"}
_OUR_MESSAGE_ID = re.compile(r"[0-9a-f]{32}(:[0-9]+)?")


class Surroundings(Protocol):
    """The parts of its transport that a reader uses."""

    clock: Callable[[], float]
    names: Names


class Item(NamedTuple):
    """One occurrence, whether it was delivered in a batch or an envelope."""

    source: str
    name: str
    channel: str
    time_ms: int
    data: Mapping[str, Any]
    id: str


class AblyWebhookReader:
    """Reads webhooks that are signed with one of an app's keys and are not too old.

    Args:
        keys: ``appId.keyId`` to secret; several while a key is being replaced.
        transport: has the clock and the names.
    """

    def __init__(self, keys: Mapping[str, str], transport: Surroundings) -> None:
        self._keys = dict(keys)
        self._transport = transport

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @property
    def has_keys(self) -> bool:
        """Whether there is a key that can sign webhooks."""
        return bool(self._keys)

    def read(self, headers: Mapping[str, str], body: bytes) -> list[WebhookEvent]:
        """Return the events of a webhook; raise InvalidSignature or InvalidRequest."""
        if len(body) > MAX_BODY_BYTES:
            raise InvalidRequest(f"The body has more than {MAX_BODY_BYTES:,} bytes.")
        self._verify(headers, body)
        content = parse_object(body)
        items = list(_read_batch(content) if "items" in content else _read_envelope(content))
        self._check_age(items)
        return [event for item in items for event in self._make_events(item)]

    def _verify(self, headers: Mapping[str, str], body: bytes) -> None:
        # A header that is sent twice arrives joined by a comma, and so matches no key.
        key, signature = (headers.get(f"X-Ably-{name}", "") for name in ("Key", "Signature"))
        if not key or not signature:
            raise InvalidSignature("The headers X-Ably-Key and X-Ably-Signature are needed.")
        for name, secret in self._keys.items():
            # The service names a key by its id, with its app or without.
            if key in (name, name.partition(".")[2]):
                digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
                wanted = base64.b64encode(digest)
                if hmac.compare_digest(wanted, signature.encode(errors="replace")):
                    return
        raise InvalidSignature("The signature is not of a key of this app.")

    def _check_age(self, items: list[Item]) -> None:
        """Reject what is older than the service would deliver: it is replayed."""
        now_ms = int(self._transport.clock() * 1000)
        newest = max((item.time_ms for item in items), default=now_ms)
        if not now_ms - (WINDOW + MARGIN) * 1000 <= newest <= now_ms + MARGIN * 1000:
            raise InvalidSignature(
                f"The webhook is not from the last {WINDOW + MARGIN} seconds. If it is new, "
                f"the clock of this machine is wrong."
            )

    def _make_events(self, item: Item) -> Iterator[WebhookEvent]:
        try:
            channel = self._transport.names.from_wire(item.channel)
        except InvalidEvent:
            channel = ""  # not one of ours: it will be ignored
        for number, (kind, time_ms, details) in enumerate(_describe(item)):
            event_id = f"{item.id}:{number}" if item.id else ""
            yield WebhookEvent(
                kind=kind, channel=channel, time_ms=time_ms, details=details, id=event_id
            )


def _read_batch(content: Mapping[str, Any]) -> Iterator[Item]:
    items = content["items"]
    if not isinstance(items, list):
        raise InvalidRequest("items must be a list.")
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("data"), dict):
            raise InvalidRequest("items must hold objects with data.")
        source, name = _text(item, "source"), _text(item, "name")
        # `webhookId` names the rule, `serial` the event in it.
        rule, serial = _text(item, "webhookId"), _text(item, "serial")
        item_id = f"{rule}:{serial}:{source}:{name}" if serial else ""
        channel = _text(item["data"], "channelId")
        yield Item(source, name, channel, _time(item), item["data"], item_id)


def _read_envelope(content: Mapping[str, Any]) -> Iterator[Item]:
    # The status of a channel is in the envelope or in its data.
    data = content.get("data")
    merged = {**content, **data} if isinstance(data, dict) else content
    source, name = _text(merged, "source"), _text(merged, "name")
    if not source:
        raise InvalidRequest("The body must have items, or be an envelope with a source.")
    channel = _text(merged, "channel") or _text(merged, "channelId")
    yield Item(source, name, channel, _time(merged), merged, "")


def _describe(item: Item) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield kind, time and details of an occurrence; an unknown kind will be ignored."""
    match item.source:
        case "channel.lifecycle":
            yield from _describe_lifecycle(item)
        case "channel.occupancy":
            yield from _describe_occupancy(item)
        case "channel.presence":
            yield from _describe_presence(item)
        case "channel.message":
            yield from _describe_messages(item)
        case _:
            yield item.source, item.time_ms, {}


def _describe_lifecycle(item: Item) -> Iterator[tuple[str, int, dict[str, Any]]]:
    # An open channel may have only a publisher. Later subscribers are not reported, so the channel
    # counts as occupied until it is closed.
    kinds = {"channel.opened": "channel_occupied", "channel.closed": "channel_vacated"}
    yield kinds.get(item.name, item.name), item.time_ms, {"metrics": _metrics(item.data)}


def _describe_occupancy(item: Item) -> Iterator[tuple[str, int, dict[str, Any]]]:
    metrics = _metrics(item.data)
    count = metrics.get("subscribers")
    if type(count) is not int:
        yield "channel.occupancy without subscribers", item.time_ms, {}
        return
    yield "subscription_count", item.time_ms, {"subscription_count": count, "metrics": metrics}
    kind = "channel_occupied" if count else "channel_vacated"
    yield kind, item.time_ms, {"metrics": metrics}


def _describe_presence(item: Item) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for each in _objects(item.data, "presence"):
        action = each.get("action")
        details = {
            "user_id": each.get("clientId"),
            "connection_id": each.get("connectionId"),
            "data": _decode(each),
        }
        kind = _MEMBER_ACTIONS.get(action) if isinstance(action, int) else None
        kind = kind or f"presence action {action!r}"
        yield kind, _time(each, item.time_ms), details


def _describe_messages(item: Item) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for each in _objects(item.data, "messages"):
        message_id = each.get("id")
        is_ours = isinstance(message_id, str) and _OUR_MESSAGE_ID.fullmatch(message_id)
        details = {
            "event": each.get("name"),
            "data": _decode(each),
            "user_id": each.get("clientId"),
            "connection_id": each.get("connectionId"),
        }
        # A message that a server published is not a client event: it has no connection, or our id.
        is_client = bool(each.get("connectionId")) and not is_ours
        yield "client_event" if is_client else "message", _time(each, item.time_ms), details


def _metrics(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of a channel, wherever a status or a message has them."""
    messages = data.get("messages")
    inner = messages[-1] if isinstance(messages, list) and messages else {}
    for found in (data, inner):
        if not isinstance(found, dict):
            continue
        status = found.get("status", found.get("data", found))
        if isinstance(status, str):
            status = _decode({"data": status, "encoding": "json"})
        for key in ("occupancy", "metrics"):
            if isinstance(status, dict) and isinstance(status.get(key), dict):
                status = status[key]
                if key == "metrics":
                    return dict(status)
    return {}


def _decode(message: Mapping[str, Any]) -> Any:
    """Return the data of a message; encrypted and binary data is unchanged."""
    data = message.get("data")
    if message.get("encoding") != "json" or not isinstance(data, str):
        return data
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data


def _objects(data: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = data.get(name)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise InvalidRequest(f"{name} must be a list of objects.")
    return found


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name, "")
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be text.")
    return value


def _time(data: Mapping[str, Any], default: int | None = None) -> int:
    """Return a time in milliseconds; an envelope without one has that of its newest message."""
    value = data.get("timestamp", default)
    if value is None:
        lists = [data.get(name) for name in ("messages", "presence")]
        inner = [each for found in lists if isinstance(found, list) for each in found]
        times = [each.get("timestamp") for each in inner if isinstance(each, dict)]
        value = max((time for time in times if type(time) is int), default=None)
    if type(value) is not int:
        raise InvalidRequest("timestamp must be an integer.")
    return value
