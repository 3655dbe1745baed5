from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """See to it that nothing is logged that anybody would have to look into."""
    yield
    records = [each for each in caplog.get_records("call") if each.levelno >= logging.WARNING]
    assert [(each.name, each.getMessage()) for each in records] == []
