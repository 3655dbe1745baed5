from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that nothing is logged that would have to be looked into."""
    yield
    records = [each for each in caplog.get_records("call") if each.levelno >= logging.WARNING]
    assert [(each.name, each.getMessage()) for each in records] == []
