"""What carries the events, as the environment says, and how a browser connects to it.

``REALTIME`` is "channels" (the default), "pusher", "ably", "console" or "memory". With "pusher",
either ``PUSHER_URL`` or the variables of `PUSHER_VARIABLES` name the app; with "ably",
``ABLY_API_KEY`` or those of `ABLY_VARIABLES`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

PATHS = {
    "ably": "realtime_drf.transports.ably.AblyTransport",
    "channels": "realtime_drf.transports.channels.ChannelsTransport",
    "console": "realtime_drf.transports.console.ConsoleTransport",
    "memory": "realtime_drf.transports.memory.MemoryTransport",
    "pusher": "realtime_drf.transports.pusher.PusherTransport",
}
PUSHER_VARIABLES = {
    "PUSHER_APP_ID": "app_id",
    "PUSHER_KEY": "key",
    "PUSHER_SECRET": "secret",
    "PUSHER_CLUSTER": "cluster",
    "PUSHER_HOST": "host",
    "PUSHER_PORT": "port",
    "PUSHER_SSL": "ssl",
    "PUSHER_ENCRYPTION_MASTER_KEY_BASE64": "encryption_master_key_base64",
}
ABLY_VARIABLES = {
    "ABLY_API_KEY": "key",
    "ABLY_ENDPOINT": "endpoint",
    "ABLY_PORT": "port",
    "ABLY_TLS": "tls",
    "ABLY_USE_TOKEN_AUTH": "use_token_auth",
    "ABLY_ENCRYPTION_MASTER_KEY_BASE64": "encryption_master_key_base64",
}
"""What may be set in the environment, and the option of the transport that it becomes."""

CHANNELS_KEY = "example"


def get_name() -> str:
    """Return which of the transports the environment asks for."""
    name = os.environ.get("REALTIME", "channels")
    if name not in PATHS:
        raise ImproperlyConfigured(f"REALTIME is one of {', '.join(PATHS)}, not {name!r}.")
    return name


def get_transport(name: str, secret_key: str) -> dict[str, Any]:
    """Return the entry of REALTIME_TRANSPORTS for a transport."""
    # The master key of encrypted channels is ours, whatever the transport.
    master_key = base64.b64encode(hashlib.sha256(secret_key.encode()).digest()).decode()
    options: dict[str, Any] = {}
    if name == "channels":
        options = {"key": CHANNELS_KEY, "encryption_master_key_base64": master_key}
    elif name == "pusher":
        options = {"encryption_master_key_base64": master_key, **_read_options(PUSHER_VARIABLES)}
    elif name == "ably":
        options = _read_options(ABLY_VARIABLES)
    return {"TRANSPORT": PATHS[name], "OPTIONS": options}


def _read_options(variables: dict[str, str]) -> dict[str, Any]:
    """Read the transport's options; with none of them it looks for its own variable itself."""
    options: dict[str, Any] = {
        option: os.environ[name] for name, option in variables.items() if name in os.environ
    }
    if "port" in options:
        options["port"] = int(options["port"])
    for flag in {"ssl", "tls", "use_token_auth"} & set(options):
        options[flag] = options[flag].lower() in ("1", "true", "yes", "on")
    return options


def get_client(request: HttpRequest) -> dict[str, Any] | None:
    """Return the key and the options with which a page makes its ``new Pusher(key, options)``.

    None is for a transport that reaches no browser, or none with pusher-js.
    """
    if settings.REALTIME == "channels":
        # The server of the page is that of the events too.
        match = re.fullmatch(r"(.*?)(?::(\d+))?", request.get_host())
        host, port = match.groups() if match else (None, None)
        return {"key": CHANNELS_KEY, "options": _connect_to(host, port, request.is_secure())}
    if settings.REALTIME == "pusher":
        return _get_pusher_client(settings.REALTIME_TRANSPORTS["default"]["OPTIONS"])
    return None


def _get_pusher_client(options: dict[str, Any]) -> dict[str, Any]:
    url = urlsplit("" if options.get("key") else os.environ.get("PUSHER_URL", ""))
    key = options.get("key") or unquote(url.username or "")
    host = options.get("host") or url.hostname
    of_pusher = re.fullmatch(r"api(?:-(\w+))?\.pusher(?:app)?\.com", host or "api.pusher.com")
    if of_pusher or "cluster" in options:
        cluster = options.get("cluster") or (of_pusher and of_pusher[1]) or "mt1"
        return {"key": key, "options": {"cluster": cluster}}
    ssl = options.get("ssl", url.scheme != "http")
    return {"key": key, "options": _connect_to(host, options.get("port") or url.port, ssl)}


def _connect_to(host: str | None, port: str | int | None, ssl: bool) -> dict[str, Any]:
    """Return the options for another server than Pusher's; the cluster must be there, unused."""
    port = int(port or (443 if ssl else 80))
    return {
        "cluster": "mt1",
        "wsHost": host,
        "wsPort": port,
        "wssPort": port,
        "forceTLS": ssl,
        "enabledTransports": ["ws", "wss"] if ssl else ["ws"],
    }
