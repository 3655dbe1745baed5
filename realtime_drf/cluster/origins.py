"""Which pages may connect: the option `allowed_origins`, as Django's settings spell such things."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

_LABELS: Final = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*"
_HOST: Final = rf"(?:{_LABELS}\.?|\[[0-9a-f:.]+\])"

_ORIGIN = re.compile(
    rf"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<wildcard>\*\.)?(?P<host>{_HOST})(?::(?P<port>\d+|\*))?"
)
_ALLOWED_HOST = re.compile(rf"(?P<wildcard>\.)?(?P<host>{_HOST})")
_LITERALS: Final = ("null", "file://")

_ANY_SCHEME: Final = r"[a-z][a-z0-9+.-]*"
_ANY_PORT: Final = r"(?::\d+)?"
_SUBDOMAINS: Final = r"(?:[^/:@]+\.)?"

_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_NO_PAGES: Final = ("ws", "wss")


class Origins:
    """Patterns of origins.

    Args:
        patterns: each an origin as in CSRF_TRUSTED_ORIGINS, whose host may begin with ``*.`` and
            whose port may be ``*``; or a host as in ALLOWED_HOSTS, of any scheme and port, which
            may begin with a period.

    Raises:
        ValueError: a pattern is not valid, or no browser sends what it describes.
    """

    def __init__(self, patterns: Collection[Any]) -> None:
        self._pattern = re.compile("|".join(map(_compile, patterns)) or r"(?!)")

    def __contains__(self, origin: str) -> bool:
        """Return whether the value of a header Origin is allowed."""
        return self._pattern.fullmatch(origin) is not None


def _compile(pattern: Any) -> str:
    """Return a regular expression for what a pattern describes."""
    if pattern == "*":
        raise ValueError("has '*': leave the option out to allow any origin")
    if pattern in _LITERALS:
        return re.escape(str(pattern))
    if isinstance(pattern, str) and (match := _ORIGIN.fullmatch(pattern)):
        return _compile_origin(pattern, **match.groupdict())
    if isinstance(pattern, str) and (match := _ALLOWED_HOST.fullmatch(pattern)):
        return f"{_ANY_SCHEME}://{_compile_host(**match.groupdict())}{_ANY_PORT}"
    raise _never(
        pattern,
        "an entry is an origin as browsers send it, such as 'https://example.com', "
        "'https://*.example.com' or 'http://localhost:*', or a host as in ALLOWED_HOSTS: in lower "
        "case, without a path, and a host outside of ASCII in its form that begins with 'xn--'",
    )


def _compile_origin(
    pattern: str, scheme: str, wildcard: str | None, host: str, port: str | None
) -> str:
    if scheme in _NO_PAGES:
        raise _never(pattern, "an origin has the scheme of the page, such as 'https'")
    if port is not None and port == _DEFAULT_PORTS.get(scheme):
        raise _never(pattern, f"browsers leave out the port {port}, and so must the entry")
    if port not in (None, "*") and (port.startswith("0") or int(port) > 65_535):
        raise _never(pattern, "there is no such port")
    end = {None: "", "*": _ANY_PORT}.get(port, f":{port}")
    return f"{re.escape(scheme)}://{_compile_host(wildcard, host)}{end}"


def _compile_host(wildcard: str | None, host: str) -> str:
    return f"{_SUBDOMAINS if wildcard else ''}{re.escape(host)}"


def _never(pattern: Any, reason: str) -> ValueError:
    return ValueError(f"has {pattern!r}, which can never match: {reason}")
