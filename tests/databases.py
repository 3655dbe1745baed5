"""The databases that tests of commits run on."""

from __future__ import annotations

import pytest
from django.conf import settings

from tests.services.policy import require
from tests.services.postgres import unavailable

PAIRS = {"sqlite": ("default", "other"), "postgresql": ("postgres", "postgres_other")}
"""By vendor, two databases that know nothing of each other."""


def get_pair(vendor: str) -> tuple[str, str]:
    """Return two aliases; skip, or fail where services are required, if they are not there."""
    if vendor == "postgresql" and "postgres" not in settings.DATABASES:
        require("PostgreSQL", unavailable() or "it was not started")
    return PAIRS[vendor]


on_each_database = pytest.mark.parametrize("vendor", PAIRS)
ALL = [alias for pair in PAIRS.values() for alias in pair if alias in settings.DATABASES]
