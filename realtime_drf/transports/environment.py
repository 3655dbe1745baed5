"""The environment of HTTP clients: proxies, and certificate authorities."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from django.core import checks

from realtime_drf.transports.redaction import Redactor


def check_environment(
    read: Callable[[], Any], variables: Sequence[str], *, alias: str
) -> list[checks.CheckMessage]:
    """Report the error of `read`, which reads the variables as a client does."""
    try:
        read()
    except Exception as exc:  # noqa: BLE001  any HTTP client, any error
        text = Redactor(_find_users(variables)).text(str(exc))
        return [
            checks.Error(
                f"REALTIME_TRANSPORTS[{alias!r}]: the HTTP client cannot use its environment: "
                f"{type(exc).__name__}: {text}",
                hint=f"Correct one of {', '.join(variables)}: until then nothing is sent.",
                id="realtime_drf.E001",
            )
        ]
    return []


def _find_users(variables: Sequence[str]) -> list[str]:
    """Return the user names and passwords in the URLs of proxies."""
    values = [os.environ.get(case, "") for name in variables for case in (name, name.lower())]
    return [user for value in values for user in re.findall(r"[^/\s,]+(?=@)", value)]
