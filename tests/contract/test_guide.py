"""The transport that the documentation shows keeps the contract, as written there."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from tests.pages import ROOT, read_blocks
from tests.services.redis import Redis

pytest.importorskip("redis")

GUIDE = ROOT / "docs" / "writing-a-transport.md"
BLOCKS = {block.file: block for block in read_blocks(GUIDE) if block.file}


def load(file: str) -> Any:
    """Make the module that the page shows as a file."""
    module = ModuleType(file.removesuffix(".py").replace("/", "."))
    exec(BLOCKS[file].compile(), vars(module))  # type: ignore[call-overload]
    return module


TRANSPORTS = load("mysite/transports.py")
with mock.patch.dict(
    sys.modules, {"mysite": ModuleType("mysite"), "mysite.transports": TRANSPORTS}
):
    TESTS = load("mysite/test_transports.py")


@pytest.fixture(scope="module", autouse=True)
def _url(redis: Redis) -> None:
    TESTS.URL = redis.url


class TestRedis(TESTS.TestRedis):  # type: ignore[misc, name-defined]
    realtime_contract = "Redis, of the guide"


def test_it_is_as_short_as_it_says() -> None:
    lines = [line for line in BLOCKS["mysite/transports.py"].text.splitlines() if line.strip()]
    assert len(lines) <= 60
