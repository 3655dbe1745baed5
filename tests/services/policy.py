"""Decide what a missing service means: a skipped test on a laptop, a failed one in CI."""

from __future__ import annotations

import os

import pytest

REQUIRE_VARIABLE = "REALTIME_REQUIRE_SERVICES"


def services_are_required() -> bool:
    """Return whether this run requires every service, so that a missing one is an error."""
    return os.environ.get(REQUIRE_VARIABLE) == "1"


def require(service: str, reason: str | None) -> None:
    """Skip the running test when `service` is missing, or fail it when services are required.

    `reason` is what the service's `unavailable()` returned: None when it can be used.
    """
    if reason is None:
        return
    message = f"{service} is needed: {reason}"
    if services_are_required():
        pytest.fail(f"{message} ({REQUIRE_VARIABLE}=1 forbids to skip)", pytrace=False)
    pytest.skip(message)
