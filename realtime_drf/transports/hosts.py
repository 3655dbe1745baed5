"""The host of a service, as settings name it.

A value from an environment variable or a file may have a scheme, a port or a line end, about which
the HTTP client would complain at the first event.
"""

from __future__ import annotations

import ipaddress
import re

from django.core import checks

_HOST = re.compile(r"[\w-]+(\.[\w-]+)*\.?")


def read_host(host: object) -> str:
    """Return a host name or address, an IPv6 address in brackets.

    Raise ValueError, which says what is wrong with it and does not quote it.
    """
    if not isinstance(host, str):
        raise _error(f"must be a str, not {type(host).__name__}")
    if not host or re.search(r"[\s\x00-\x1f\x7f]", host):
        raise _error("is empty, or holds a blank or line end")
    if "/" in host or "@" in host:
        raise _error("holds a scheme, user or path")
    address = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in address:
        try:
            return f"[{ipaddress.IPv6Address(address)}]"
        except ValueError:
            raise _error("holds a port, which has an option of its own, or a colon") from None
    if not _HOST.fullmatch(host):
        raise _error("holds characters that no host name has")
    return host


def _error(problem: str) -> ValueError:
    return ValueError(
        f"{problem}: it is the name or IP address of a machine, such as 'ws.example.com'"
    )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, as far as its name says so."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def check_encryption(
    host: str, *, is_encrypted: bool, option: str, alias: str
) -> list[checks.CheckMessage]:
    """Return a warning, for production, of a connection that is not encrypted."""
    if is_encrypted or is_loopback(host):
        return []
    return [
        checks.Warning(
            f"REALTIME_TRANSPORTS[{alias!r}]: events go over http://, not https://: anyone on "
            f"the way can read them.",
            hint=f"Set {option!r} to True, or write https:// in a URL; in a network of your own, "
            "silence this.",
            id="realtime_drf.W024",
        )
    ]
