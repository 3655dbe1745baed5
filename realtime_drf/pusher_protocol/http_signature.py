"""Signatures of requests to the HTTP API: by the app's secret, of the present time.

https://pusher.com/docs/channels/library_auth_reference/rest-api/#authentication
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from realtime_drf.pusher_protocol.signatures import Signer

CLOCK_TOLERANCE: Final = 600
"""Seconds by which ``auth_timestamp`` may differ. Within them a request can be repeated."""

VERSION: Final = "1.0"


class Unsigned(Exception):
    """The reason why a request is not authorized, which quotes nothing of the request."""


def check_signature(
    signer: Signer,
    *,
    method: str,
    paths: Sequence[str],
    query: Sequence[tuple[str, str]],
    now: float,
) -> dict[str, str]:
    """Return the request's parameters, by names in lower case, if the app's secret has signed them.

    The signature covers the method, one of the paths, and all parameters except itself: names in
    lower case and sorted, values unescaped. Of the body it covers only ``body_md5``, which
    `check_body` compares, so the body of an unsigned request need not be read.

    Raises:
        Unsigned: the request is not the app's, or too old, or of the future.
    """
    parameters = {name.lower(): value for name, value in query}
    if len(parameters) != len(query):
        raise Unsigned("a parameter occurs twice")
    if not _is_same(parameters.get("auth_key", ""), signer.key):
        raise Unsigned("auth_key is not this app's")
    if parameters.get("auth_version") != VERSION:
        raise Unsigned(f"auth_version must be {VERSION}")
    _check_time(parameters.get("auth_timestamp", ""), now)
    signature = parameters.pop("auth_signature", "")
    pairs = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()))
    texts = [f"{method}\n{path}\n{pairs}".encode(errors="replace") for path in paths]
    if not any(signer.verify(text, signature) for text in texts):
        raise Unsigned(
            "auth_signature does not match: check the secret, and that no proxy changes the path "
            "or the parameters"
        )
    return parameters


def check_body(parameters: Mapping[str, str], body: bytes) -> None:
    """Raise Unsigned unless the body is the one whose MD5 is among the signed parameters."""
    # Some SDKs sign one for requests without a body, too.
    if body or "body_md5" in parameters:
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        if not _is_same(parameters.get("body_md5", ""), digest):
            raise Unsigned("body_md5 does not match the body")


def _check_time(given: str, now: float) -> None:
    if not (given.isascii() and given.isdigit() and len(given) <= 12):
        raise Unsigned("auth_timestamp must be a time in seconds since 1970")
    if abs(now - int(given)) > CLOCK_TOLERANCE:
        raise Unsigned(f"auth_timestamp is not within {CLOCK_TOLERANCE} s of this server's clock")


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())
