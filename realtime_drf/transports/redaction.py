"""Keep credentials and signatures out of errors and logs.

HTTP clients put the whole URL into their exceptions and debug logs, and Pusher's URLs carry the key
and the signature of the request; services quote what they were sent.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

REDACTED = "[redacted]"

# Signatures are hexadecimal digests of 32 digits or more; keys in a URL are named.
_DIGEST = re.compile(r"[0-9a-fA-F]{32,}")
_PARAMETER = re.compile(r"(auth_(?:key|signature)=)[^&\s\"')]+")
_USER = re.compile(r"(?<=://)[^/?#\s\"']*@")

_SECRET_NAME = re.compile(r"key|secret|token|pass|pwd|auth|credential|url|dsn|store|header", re.I)
_SHORTEST = 4
"""Characters of a value that is looked for: a shorter one would be found in every word."""


class Redactor:
    """Replace given secrets, and whatever looks like a signature, in text and exceptions."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # The longest first, so that a secret which contains another goes whole.
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return _redact_patterns(text)

    def exception(self, exc: BaseException) -> BaseException:
        """Return an exception of the same class and traceback whose text holds no secret.

        It stands in for the original as the cause of ours: the original, and what it was raised
        from, would print their text with every traceback.
        """
        message = self.text(str(exc))
        try:
            copy: BaseException = type(exc).__new__(type(exc), message)
        except Exception:  # noqa: BLE001  a class that wants more than a text
            copy = Exception(f"{type(exc).__name__}: {message}")
        copy.args = (message,)
        return copy.with_traceback(exc.__traceback__)


def find_secrets(options: Any, *, is_secret: bool = False) -> list[str]:
    """Return the values of options whose names say that they are secret, or may hold a secret."""
    if isinstance(options, str):
        return [options] if is_secret and len(options) >= _SHORTEST else []
    if isinstance(options, Mapping):
        return [
            found
            for name, value in options.items()
            for found in find_secrets(
                value, is_secret=is_secret or bool(_SECRET_NAME.search(str(name)))
            )
        ]
    if isinstance(options, list | tuple | set | frozenset):
        return [found for each in options for found in find_secrets(each, is_secret=is_secret)]
    return []


class RedactingFilter(logging.Filter):
    """Take signatures and keys out of the signed URLs that an HTTP client logs.

    Others log through the same client: their records are left as they are.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if _PARAMETER.search(message):
            record.msg, record.args = _redact_patterns(message), ()
        return True


def _redact_patterns(text: str) -> str:
    text = _USER.sub(f"{REDACTED}@", text)
    return _DIGEST.sub(REDACTED, _PARAMETER.sub(rf"\1{REDACTED}", text))
