"""Whether a request to the HTTP API is signed by the app's secret, now and over what it says.

https://pusher.com/docs/channels/library_auth_reference/rest-api/#authentication
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from realtime_drf.pusher_protocol.signatures import Signer

CLOCK_TOLERANCE: Final = 600
"""Seconds by which ``auth_timestamp`` may be off. Within them a request may be repeated."""

VERSION: Final = "1.0"


class Unsigned(Exception):
    """Say why a request is not taken for the app's own. Nothing that was sent is in the text."""


def check_signature(
    signer: Signer,
    *,
    method: str,
    paths: Sequence[str],
    query: Sequence[tuple[str, str]],
    now: float,
) -> dict[str, str]:
    """Return the request's parameters, by names in lower case, if the app's secret has signed them.

    The signature is over the method, one of the paths, and all parameters but itself,
    whichever they are: names in lower case and sorted, values as they are without escapes. Of the
    body it covers no more than ``body_md5``, which `check_body` compares: so a stranger's body need
    not be read.

    Raises:
        Unsigned: the request is not the app's, or not of now.
    """
    parameters = {name.lower(): value for name, value in query}
    if len(parameters) != len(query):
        raise Unsigned("a parameter is given twice")
    if not _is_same(parameters.get("auth_key", ""), signer.key):
        raise Unsigned("auth_key is not of this app")
    if parameters.get("auth_version") != VERSION:
        raise Unsigned(f"auth_version must be {VERSION}")
    _check_time(parameters.get("auth_timestamp", ""), now)
    signature = parameters.pop("auth_signature", "")
    pairs = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()))
    texts = [f"{method}\n{path}\n{pairs}".encode(errors="replace") for path in paths]
    if not any(signer.verify(text, signature) for text in texts):
        raise Unsigned(
            "auth_signature does not match: check the secret, and that nothing on the way "
            "changes the path or the parameters"
        )
    return parameters


def check_body(parameters: Mapping[str, str], body: bytes) -> None:
    """Raise Unsigned unless the body is the one whose MD5 is among the signed parameters."""
    # Some SDKs sign one on requests without a body, too.
    if body or "body_md5" in parameters:
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        if not _is_same(parameters.get("body_md5", ""), digest):
            raise Unsigned("body_md5 is not that of the body")


def _check_time(given: str, now: float) -> None:
    if not (given.isascii() and given.isdigit() and len(given) <= 12):
        raise Unsigned("auth_timestamp must be a time in seconds since 1970")
    if abs(now - int(given)) > CLOCK_TOLERANCE:
        raise Unsigned(f"auth_timestamp is not within {CLOCK_TOLERANCE} s of this server's clock")


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())
