"""The Pusher transport: the service at pusher.com, and servers that speak its HTTP API.

https://pusher.com/docs/channels/library_auth_reference/rest-api/
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.core.checks import CheckMessage

from realtime_drf.events import Event
from realtime_drf.exceptions import (
    AccessRefused,
    EventRejected,
    PayloadTooLarge,
    TransportError,
    TransportUnavailable,
)
from realtime_drf.forks import PerProcess
from realtime_drf.http_connections import read_retry_after
from realtime_drf.names import ChannelKind, build_channel_name, parse_channel_name
from realtime_drf.options import takes_options
from realtime_drf.pusher_protocol.limits import (
    MAX_CHANNELS_PER_EVENT,
    MAX_EVENTS_PER_BATCH,
)
from realtime_drf.pusher_protocol.signatures import Signer
from realtime_drf.pusher_protocol.webhooks import WebhookReader
from realtime_drf.tracebacks import opaque
from realtime_drf.transports.base import ChannelInfo, Limits
from realtime_drf.transports.environment import check_environment
from realtime_drf.transports.hosts import check_encryption
from realtime_drf.transports.pusher.options import PusherOptions
from realtime_drf.transports.pusher.packing import pack_calls
from realtime_drf.transports.pusher.session import VARIABLES, prepare, read_environment
from realtime_drf.transports.redaction import RedactingFilter, Redactor
from realtime_drf.transports.signing import SigningTransport
from realtime_drf.webhook_events import WebhookEvent

_NAME_CHARACTERS = re.compile(r"[A-Za-z0-9_\-=@,.;]*")
_KINDS_ALONE = (ChannelKind.ENCRYPTED, ChannelKind.USER)

# An HTTP client resolves these between slashes, which makes the signature invalid.
_NOT_IN_PATHS = (".", "..")

# The SDK's HTTP client logs every URL it calls, at level DEBUG, and the URL is signed.
_url_filter = RedactingFilter()


class PusherTransport(SigningTransport):
    """The transport that sends events through Pusher's HTTP API.

    It uses Pusher's Python SDK, with one HTTP client a process, which threads share; a forked child
    makes its own. Connections are kept for a few seconds. A request is not repeated if the service
    may have processed it, as one without an answer. Its options are those of `PusherOptions`.
    """

    supports_user_events = True
    supports_channel_info = True
    supports_presence = True
    supports_cache = True
    supports_disconnecting_users = True
    supports_webhooks = True

    @takes_options(PusherOptions)
    def __init__(self, options: PusherOptions) -> None:
        super().__init__(alias=options.alias)
        options = options.complete()
        key, secret = options.key or "", options.secret or ""
        self.app_id = options.app_id
        self.limits = Limits(
            payload_bytes=options.payload_limit,
            channels_per_event=MAX_CHANNELS_PER_EVENT,
            events_per_call=MAX_EVENTS_PER_BATCH,
        )
        self.supports_encryption = options.master_key is not None
        self.signer = Signer(key, secret, options.master_key)
        self._subscription_counting = options.subscription_counting
        self._redactor = Redactor(options.secrets())
        self._webhooks = WebhookReader({**(options.webhook_keys or {}), key: secret})
        self._client_options = options.for_client()
        self._sdk = self.require("pusher", extra="pusher")
        # Sockets shared with the parent of a fork would mix up answers.
        self._clients = PerProcess(self._make_client)
        self._clients.get()  # raises what is wrong with the options
        logging.getLogger("urllib3.connectionpool").addFilter(_url_filter)

    def pack(self, events: Sequence[Event]) -> Iterable[Sequence[Event]]:
        return pack_calls(
            events,
            batch_size=self.limits.events_per_call or 1,
            trigger_size=self.limits.channels_per_event or 1,
            goes_alone=lambda channel: parse_channel_name(channel).kind in _KINDS_ALONE,
        )

    def send_batch(self, events: Sequence[Event]) -> None:
        if len(events) == 1:
            event = events[0]
            body = self._body(event, event.channels[0])
            self._post("/events", {**body, "channels": list(event.channels)})
        else:
            batch = [
                {**self._body(event, channel), "channel": channel}
                for event in events
                for channel in event.channels
            ]
            self._post("/batch_events", {"batch": batch})

    def channel_info(self, channel: str) -> ChannelInfo:
        """Ask for the state of a channel; presence channels have a ``user_count``.

        ``subscription_count`` is there if the option ``subscription_counting`` is on.
        """
        kind = parse_channel_name(channel).kind
        if kind is ChannelKind.USER or channel in _NOT_IN_PATHS:
            raise self._unsupported(f"report the state of {channel!r}")
        attributes = []
        if kind is ChannelKind.PRESENCE:
            attributes.append("user_count")
        if self._subscription_counting:
            attributes.append("subscription_count")
        params = {"info": ",".join(attributes)} if attributes else {}
        return _channel_info(channel, self._get(f"/channels/{channel}", params))

    def occupied_channels(self, prefix: str = "") -> dict[str, ChannelInfo]:
        """Ask for the occupied channels; those of a presence prefix have user counts."""
        if prefix.startswith("#"):
            raise self._unsupported("list the channels of users")
        if not _NAME_CHARACTERS.fullmatch(prefix):
            return {}  # no name has this prefix, and the SDK would not escape it
        params = {"filter_by_prefix": prefix} if prefix else {}
        if prefix.startswith("presence-"):
            params["info"] = "user_count"
        channels = self._get("/channels", params).get("channels", {})
        return {
            name: _channel_info(name, {"occupied": True, **attributes})
            for name, attributes in channels.items()
        }

    def members(self, channel: str) -> list[str]:
        """Ask for the ids of the users on a presence channel."""
        if parse_channel_name(channel).kind is not ChannelKind.PRESENCE:
            raise self._unsupported(f"list the members of {channel!r}")
        users = self._get(f"/channels/{channel}/users", {}).get("users", [])
        return sorted({str(user["id"]) for user in users})

    def disconnect_user(self, user_id: str) -> None:
        """Close the connections on which the user has signed in."""
        build_channel_name(ChannelKind.USER, user_id)  # raises if the id is invalid
        if user_id in _NOT_IN_PATHS:
            raise self._unsupported(f"disconnect the user {user_id!r}")
        # The SDK's own method omits the app from the path, which is answered with 404.
        self._post(f"/users/{user_id}/terminate_connections", {})

    @opaque
    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> list[WebhookEvent]:
        return self._webhooks.read(headers, body)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return check_environment(
            lambda: read_environment(self._client), VARIABLES, alias=self.alias
        )

    def check_deployment(self, **kwargs: Any) -> list[CheckMessage]:
        return check_encryption(
            self._client.host, is_encrypted=self._client.ssl, option="ssl", alias=self.alias
        )

    def close(self) -> None:
        self._client.http.session.close()

    # The SDK

    @property
    def _client(self) -> Any:
        """The client of this process."""
        return self._clients.get()

    def _make_client(self) -> Any:
        client = self._sdk.pusher_client.PusherClient(**self._client_options)
        prepare(client, self.require("urllib3", extra="pusher"))
        return client

    def _body(self, event: Event, channel: str) -> dict[str, Any]:
        data = event.body
        if parse_channel_name(channel).kind is ChannelKind.ENCRYPTED:
            data = self._encrypt(channel, data)
        body = {"name": event.name, "data": data}
        return body if event.socket_id is None else {**body, "socket_id": event.socket_id}

    def _encrypt(self, channel: str, data: str) -> str:
        box = self._sdk.crypto.encrypt(channel, data, self._client._encryption_master_key)
        return json.dumps(box)

    def _get(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        return self._request("GET", path, params)

    def _post(self, path: str, params: Mapping[str, Any]) -> dict[str, Any]:
        return self._request("POST", path, params)

    @opaque
    def _request(self, method: str, path: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Make a signed request with the SDK; raise the error of `_translate`.

        `Pusher.trigger` is not used: it measures data by its memory in Python, and so rejects data
        that the service accepts.
        """
        client = self._client
        response = None
        try:
            request = self._sdk.http.Request(
                client, method, f"/apps/{self.app_id}{path}", dict(params)
            )
            # As the SDK's send_request() does, which does not return the headers of an answer.
            response = client.http.session.request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body,
                timeout=client.timeout,
                **client.http.options,
            )
            answer = self._sdk.http.process_response(response.status_code, response.text)
        except Exception as exc:  # noqa: BLE001  of the SDK, its HTTP client or a parser
            error = self._translate(exc)
            error.__cause__ = self._redactor.exception(exc)
            if response is not None and isinstance(error, TransportUnavailable):
                error.retry_after = read_retry_after(response.headers.get("Retry-After", ""))
        else:
            if isinstance(answer, dict) and "error" not in answer:
                return answer
            error = self._unwelcome(answer)
        # Raised outside the handler, where the original would become its context.
        raise error

    def _translate(self, exc: Exception) -> TransportError:
        errors = self._sdk.errors
        text = self._redactor.text(str(exc))
        for kind, status in (
            (errors.PusherBadRequest, 400),
            (errors.PusherBadAuth, 401),
            (errors.PusherForbidden, 403),
        ):
            if isinstance(exc, kind):
                return _error_of_status(status, text)
        if isinstance(exc, errors.PusherBadStatus):
            status = int(str(exc).partition(": ")[0])
            return _error_of_status(status, text.partition(": ")[2])
        if isinstance(exc, json.JSONDecodeError):
            return TransportUnavailable(f"Pusher's answer could not be read: {type(exc).__name__}.")
        return TransportUnavailable(f"Pusher could not be reached: {type(exc).__name__}.")

    def _unwelcome(self, answer: Any) -> TransportError:
        """Make the error of a 200 with an error inside, which some servers of the protocol send."""
        if isinstance(answer, dict) and isinstance(answer.get("code"), int):
            return _error_of_status(answer["code"], self._redactor.text(str(answer["error"])))
        return TransportUnavailable("Pusher answered 200, but not with its JSON.")


def _error_of_status(status: int, text: str) -> TransportError:
    """Make the error of an HTTP status. Only errors of an event quote the service."""
    if status in (408, 429) or status >= 500:
        return TransportUnavailable(f"Pusher answered {status}.")
    if status == 413:
        return PayloadTooLarge(f"Pusher answered 413: {text[:200]}")
    if status == 401:
        return AccessRefused(
            "Pusher answered 401: check app_id, key, secret and the clock of this machine."
        )
    if status == 403:
        return AccessRefused("Pusher answered 403: the app is disabled or over its quota.")
    if status in (400, 422):  # 422 is Laravel Reverb's
        return EventRejected(f"Pusher answered {status}: {text[:200]}")
    return AccessRefused(f"Pusher answered {status}: check app_id, cluster, host, port and ssl.")


def _channel_info(name: str, attributes: Mapping[str, Any]) -> ChannelInfo:
    return ChannelInfo(
        name=name,
        occupied=bool(attributes.get("occupied")),
        subscription_count=attributes.get("subscription_count"),
        user_count=attributes.get("user_count"),
    )
