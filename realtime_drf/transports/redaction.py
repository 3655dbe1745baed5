"""Keep credentials and signatures out of errors and logs.

HTTP clients put the whole URL into their exceptions and debug logs, and Pusher's URLs carry the key
and the signature of the request; services quote what they were sent.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

REDACTED = "[redacted]"

# Signatures are hexadecimal digests of 32 digits or more; keys in a URL are named.
_DIGEST = re.compile(r"[0-9a-fA-F]{32,}")
_PARAMETER = re.compile(r"(auth_(?:key|signature)=)[^&\s\"')]+")


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
        copy: BaseException = type(exc).__new__(type(exc), message)
        copy.args = (message,)
        return copy.with_traceback(exc.__traceback__)


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
    return _DIGEST.sub(REDACTED, _PARAMETER.sub(rf"\1{REDACTED}", text))
