"""Redaction of credentials and signatures in errors and logs.

HTTP clients put whole URLs into their exceptions and debug logs, and Pusher's URLs hold the key and
the signature of the request. Services quote what they were sent.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

REDACTED = "[redacted]"

# Signatures are hexadecimal digests of at least 32 digits; keys in a URL have a name.
_DIGEST = re.compile(r"[0-9a-fA-F]{32,}")
_PARAMETER = re.compile(r"(auth_(?:key|signature)=)[^&\s\"')]+")
_USER = re.compile(r"(?<=://)[^/?#\s\"']*@")

_SECRET_NAME = re.compile(r"key|secret|token|pass|pwd|auth|credential|url|dsn|store|header", re.I)
_MIN_LENGTH = 4
"""Characters of a secret that is redacted: shorter ones would be found in ordinary words."""


class Redactor:
    """Replaces given secrets, and everything that looks like a signature."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # The longest first, so that a secret which contains another is replaced as a whole.
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return _redact_patterns(text)

    def exception(self, exc: BaseException) -> BaseException:
        """Return an exception of the same class and traceback, without secrets in its text.

        It replaces the original as the cause of ours: the original, and its own causes, would print
        their text with every traceback.
        """
        message = self.text(str(exc))
        try:
            copy: BaseException = type(exc).__new__(type(exc), message)
        except Exception:  # noqa: BLE001  of a class that needs more than a text
            copy = Exception(f"{type(exc).__name__}: {message}")
        copy.args = (message,)
        return copy.with_traceback(exc.__traceback__)


def find_secrets(options: Mapping[str, Any], declared: Mapping[str, bool]) -> list[str]:
    """Return the texts among options that are secret, or may hold a secret.

    Args:
        declared: by name, whether a declared option is secret. Of any other its name decides.
    """
    return [
        text
        for name, value in options.items()
        for text in _find_texts(value, is_secret=declared.get(name, _has_secret_name(name)))
    ]


def _find_texts(value: Any, *, is_secret: bool) -> list[str]:
    if isinstance(value, str):
        return [value] if is_secret and len(value) >= _MIN_LENGTH else []
    if isinstance(value, Mapping):
        pairs = [(each, is_secret or _has_secret_name(name)) for name, each in value.items()]
    elif isinstance(value, list | tuple | set | frozenset):
        pairs = [(each, is_secret) for each in value]
    else:
        return []
    return [text for each, secret in pairs for text in _find_texts(each, is_secret=secret)]


def _has_secret_name(name: object) -> bool:
    return bool(_SECRET_NAME.search(str(name)))


class RedactingFilter(logging.Filter):
    """Redacts the signatures and keys of signed URLs that an HTTP client logs.

    Other code logs through the same client: its records are unchanged.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if _PARAMETER.search(message):
            record.msg, record.args = _redact_patterns(message), ()
        return True


def _redact_patterns(text: str) -> str:
    text = _USER.sub(f"{REDACTED}@", text)
    return _DIGEST.sub(REDACTED, _PARAMETER.sub(rf"\1{REDACTED}", text))
