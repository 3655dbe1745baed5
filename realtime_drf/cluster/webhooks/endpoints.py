"""Where webhooks go, and which: the option `webhooks` of the Channels transport, read and checked.

Filters have the names that servers of the Pusher protocol use. No error quotes a URL or a header:
both may have a token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from django.core import checks

from realtime_drf.cluster.options import AppOptions
from realtime_drf.conf import nearest
from realtime_drf.exceptions import InvalidTransport
from realtime_drf.webhook_events import WebhookEvent

KINDS: Final = (
    "channel_occupied",
    "channel_vacated",
    "member_added",
    "member_removed",
    "client_event",
    "cache_miss",
    "subscription_count",
)
"""https://pusher.com/docs/channels/server_api/webhooks/"""

KEYS: Final = ("url", "events", "channel_name_starts_with", "channel_name_ends_with", "headers")

OURS: Final = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "x-pusher-key",
        "x-pusher-signature",
    }
)
"""Headers that only the server may set."""

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True)
class Endpoint:
    """A receiver of webhooks, and those it gets: by kind, and by how the channel begins and ends.

    Args:
        name: identifies the endpoint in logs.
        url: not in the repr, and neither are the headers: they may have a token.
        kinds: reports that are wanted.
        starts, ends: an empty tuple is any channel.
        headers: are sent besides those of the protocol.
    """

    name: str
    url: str = field(repr=False)
    kinds: frozenset[str] = frozenset(KINDS)
    starts: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_encrypted(self) -> bool:
        """Whether webhooks are sent over TLS."""
        return self.url.lower().startswith("https:")

    def wants(self, event: WebhookEvent) -> bool:
        """Return whether the endpoint wants a report."""
        return (
            event.kind in self.kinds
            and (not self.starts or event.channel.startswith(self.starts))
            and (not self.ends or event.channel.endswith(self.ends))
        )


def read_endpoints(webhooks: Any, *, alias: str) -> tuple[Endpoint, ...]:
    """Read the option.

    Raises:
        InvalidTransport: the message names the entry that is wrong, and the mend.
    """
    if not isinstance(webhooks, Sequence) or isinstance(webhooks, str | bytes):
        raise InvalidTransport(
            f"'webhooks' must be a list of dicts, not {type(webhooks).__name__}.", alias=alias
        )
    return tuple(_Reader(index, alias).read(entry) for index, entry in enumerate(webhooks))


def check_endpoints(
    endpoints: Sequence[Endpoint], options: AppOptions, *, alias: str
) -> list[checks.CheckMessage]:
    """Warn of endpoints that ask by name for events that are never reported."""
    switches = {
        "client_event": ("client_events", options.client_events),
        "subscription_count": ("subscription_counting", options.subscription_counting),
    }
    return [
        checks.Warning(
            f"REALTIME_TRANSPORTS[{alias!r}]: {endpoint.name} asks for {kind!r}, which is never "
            f"reported: {option!r} is off.",
            hint=f"Turn {option!r} on, or ask for others.",
            id="realtime_drf.W009",
        )
        for endpoint in endpoints
        for kind, (option, is_on) in switches.items()
        if not is_on and kind in endpoint.kinds and endpoint.kinds != frozenset(KINDS)
    ]


def check_endpoints_for_production(
    endpoints: Sequence[Endpoint], *, alias: str
) -> list[checks.CheckMessage]:
    """Mention endpoints to which webhooks are sent without TLS."""
    return [
        checks.Info(
            f"REALTIME_TRANSPORTS[{alias!r}]: {endpoint.name} is not https.",
            hint="Anyone on the network path can read the webhooks; in a network of your own, "
            "silence this.",
            id="realtime_drf.I001",
        )
        for endpoint in endpoints
        if not endpoint.is_encrypted
    ]


class _Reader:
    """A reader of one entry, whose errors name its place."""

    def __init__(self, index: int, alias: str) -> None:
        self._place = f"'webhooks'[{index}]"
        self._name = f"webhooks[{index}]"
        self._alias = alias

    def read(self, entry: Any) -> Endpoint:
        if not isinstance(entry, Mapping):
            raise self._error(f"must be a dict, not {type(entry).__name__}.")
        for key in entry:
            if key not in KEYS:
                has = ", ".join(KEYS)
                raise self._error(f"has no key {key!r}; it has: {has}.{nearest(str(key), KEYS)}")
        url, host = self._read_url(entry.get("url"))
        return Endpoint(
            name=f"{self._name} ({host})",
            url=url,
            kinds=self._read_kinds(entry.get("events", KINDS)),
            starts=self._read_words(entry, "channel_name_starts_with"),
            ends=self._read_words(entry, "channel_name_ends_with"),
            headers=self._read_headers(entry.get("headers", {})),
        )

    def _read_url(self, url: Any) -> tuple[str, str]:
        """Return the URL, and the name of its machine."""
        if not url:
            raise self._error("needs a 'url', to which the webhooks are posted.")
        try:
            parts = urlsplit(url)
            is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
            is_url = is_url and parts.port != 0 and re.search(r"[\s\x00-\x1f]", url) is None
            is_url = is_url and (parts.hostname or "").isascii()
        except (AttributeError, TypeError, ValueError):
            is_url = False
        if not (is_url and isinstance(url, str)):
            raise self._error("'url' is not of the form https://host/path.")
        if parts.username is not None or parts.password is not None:
            raise self._error("'url' holds a user's name or password: use 'headers' for these.")
        return url, parts.hostname or ""

    def _read_kinds(self, events: Any) -> frozenset[str]:
        if events == "all":
            return frozenset(KINDS)
        kinds = self._strings("events", events)
        for kind in kinds:
            if kind not in KINDS:
                known = ", ".join(KINDS)
                raise self._error(
                    f"'events' has {kind!r}, and there are: {known}.{nearest(kind, KINDS)}"
                )
        if not kinds:
            raise self._error("'events' is empty, so nothing would be sent; leave it out for all.")
        return frozenset(kinds)

    def _read_words(self, entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
        value = entry.get(key, ())
        return self._strings(key, [value] if isinstance(value, str) else value)

    def _read_headers(self, headers: Any) -> dict[str, str]:
        if not isinstance(headers, Mapping):
            raise self._error(f"'headers' must be a dict, not {type(headers).__name__}.")
        for name, value in headers.items():
            if not (isinstance(name, str) and _HEADER_NAME.fullmatch(name)):
                raise self._error(f"'headers' has {name!r}, which is not a valid name of a header.")
            if name.lower() in OURS:
                raise self._error(f"'headers' has {name!r}, which is set by the server.")
            if not (isinstance(value, str) and _HEADER_VALUE.fullmatch(value)):
                raise self._error(f"the value of header {name!r} must be text in ASCII.")
        return dict(headers)

    def _strings(self, key: str, value: Any) -> tuple[str, ...]:
        is_list = isinstance(value, list | tuple | set | frozenset)
        if not is_list or not all(isinstance(each, str) for each in value):
            raise self._error(f"{key!r} must be a list of strings.")
        return tuple(value)

    def _error(self, message: str) -> InvalidTransport:
        return InvalidTransport(f"{self._place} {message}", alias=self._alias)
