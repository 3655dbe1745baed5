"""What the options of the Ably transport may be, and the credentials among them."""

from __future__ import annotations

import base64
import math
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from realtime_drf.exceptions import InvalidEvent, InvalidTransport
from realtime_drf.rendering import render
from realtime_drf.transports.hosts import read_host

VARIABLE = "ABLY_API_KEY"

_KEY = re.compile(r"([^.:\s]+)\.([^.:\s]+):([^\s:]+)", re.ASCII)
_PREFIX = re.compile(r"(?:[A-Za-z0-9_\-=@,.;]+:)+")

_POLICY = re.compile(r"(nonprod:)?[A-Za-z0-9-]+")
"""https://ably.com/docs/platform/account/enterprise-customization"""

MAX_TTL = 86_400
"""Seconds; the service refuses tokens that are good for longer."""


class Credentials(NamedTuple):
    """Hold a key, or a token in its place."""

    key: str | None
    token: str | None

    def __repr__(self) -> str:
        return f"<Credentials of app {self.app_id!r}>"

    @classmethod
    def read(cls, key: Any, token: Any, *, alias: str) -> Credentials:
        """Return what options or the environment say; raise InvalidTransport if that is wrong."""
        for name, value in (("key", key), ("token", token)):
            if value is not None and not isinstance(value, str):
                raise InvalidTransport(
                    f"{name!r} must be a str, not {type(value).__name__}.", alias=alias
                )
        if token and token != token.strip():
            raise InvalidTransport(
                "'token' begins or ends with a blank or line end: strip() it.", alias=alias
            )
        if key and token:
            raise InvalidTransport("Give 'key' or 'token', and not both.", alias=alias)
        if not token:
            source = "'key'" if key else f"environment variable {VARIABLE}"
            key = key or os.environ.get(VARIABLE)
            if not key:
                raise InvalidTransport(
                    f"OPTIONS need 'key' or 'token' (or the environment variable {VARIABLE}).",
                    alias=alias,
                )
            if not _KEY.fullmatch(key):
                # Without the key itself.
                raise InvalidTransport(
                    f"{source} is not of the form appId.keyId:secret.", alias=alias
                )
        return cls(key or None, token or None)

    @property
    def name(self) -> str:
        """The public part of the key."""
        return (self.key or "").partition(":")[0]

    @property
    def secret(self) -> str:
        """The other part of it."""
        return (self.key or "").partition(":")[2]

    @property
    def app_id(self) -> str:
        """The app of the key; of a token it is not known."""
        return self.name.partition(".")[0]

    def as_keys(self) -> dict[str, str]:
        """Return the name of the key and its secret, if there is one."""
        return {self.name: self.secret} if self.key else {}

    def secrets(self) -> list[str]:
        """Return all that nobody may see."""
        return [each for each in (self.key, self.secret, self.token) if each]


def check_options(
    alias: str,
    *,
    texts: Mapping[str, Any],
    numbers: Mapping[str, Any],
    ports: Mapping[str, Any],
    flags: Mapping[str, Any],
    webhook_keys: Any,
    extras: Any,
    fallback_hosts: Any,
) -> None:
    """Raise InvalidTransport for the first option that is wrong."""

    def refuse(name: str, wanted: str) -> None:
        raise InvalidTransport(f"{name!r} must be {wanted}.", alias=alias)

    for name, value in texts.items():
        if not isinstance(value, str):
            refuse(name, f"a str, not {type(value).__name__}")
    for name, value in flags.items():
        if not isinstance(value, bool):
            refuse(name, "True or False")
    for name, value in numbers.items():
        kinds = int | float if name == "timeout" else int
        if type(value) is bool or not isinstance(value, kinds) or not 0 < value < math.inf:
            refuse(name, "a number above 0")
    for name, value in ports.items():
        if value is not None and (type(value) is not int or not 0 < value < 65536):
            refuse(name, "a number from 1 to 65535")
    if numbers["token_ttl"] > MAX_TTL:
        refuse("token_ttl", f"at most {MAX_TTL} seconds")
    if texts["prefix"] and not _PREFIX.fullmatch(texts["prefix"]):
        refuse("prefix", "words that each end in a colon, such as 'blog:'")
    if texts.get("client_id") == "*":
        refuse("client_id", "the id of one client")
    if fallback_hosts is not None and not _is_list_of_texts(fallback_hosts):
        refuse("fallback_hosts", "a list of names of machines")
    if extras is not None and not isinstance(extras, Mapping):
        refuse("extras", f"a dict, not {type(extras).__name__}")
    try:
        render(extras)
    except InvalidEvent as exc:
        refuse("extras", f"JSON ({exc})")
    keys = {} if webhook_keys is None else webhook_keys
    if not isinstance(keys, Mapping) or not _is_list_of_texts([*keys, *keys.values()]):
        refuse("webhook_keys", "a dict of keys (appId.keyId) and their secrets")


def read_endpoint(endpoint: str | None, *, alias: str) -> str | None:
    """Return a routing policy or a host; raise InvalidTransport for what is neither."""
    if endpoint is None or _POLICY.fullmatch(endpoint):
        return endpoint
    return read_host("endpoint", endpoint, alias=alias)


def read_master_key(text: Any, *, alias: str) -> bytes:
    """Return the 32 bytes of a master key."""
    try:
        key = base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        key = b""
    if len(key) != 32:
        # Without the key itself, and without the cause, which may quote it.
        raise InvalidTransport(
            "'encryption_master_key_base64' must be 32 bytes in base64.", alias=alias
        ) from None
    return key


def _is_list_of_texts(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(
        isinstance(value, str) and value for value in values
    )
