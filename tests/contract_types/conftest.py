from __future__ import annotations

from collections.abc import Iterator

import pytest

from realtime_drf.backends import registry
from realtime_drf.channels import registry as channel_registry
from realtime_drf.contract import declared
from tests.contract_types.project import define


@pytest.fixture(autouse=True)
def _only_ours() -> Iterator[None]:
    """Forget the backends and channels of other tests, and what these declare."""
    registry._backends, channel_registry.channels = {}, []
    yield
    declared._events.clear()
    declared._backends.clear()


@pytest.fixture
def project() -> None:
    """Define the backends and the events of `tests.contract_types.project`."""
    define()
