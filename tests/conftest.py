from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from realtime_drf.backends import RealtimeBackend, registry
from realtime_drf.channels import registry as channel_registry
from realtime_drf.transports import transports
from tests.examples import load_profiles
from tests.policies import POLICIES
from tests.recording import PATH, RecordingTransport

load_profiles()

TESTS = Path(__file__).parent


ANY_VERSION = {"cluster", "contract", "server", "services", "transports"}
"""Folders whose tests are about sockets, SDKs and the protocol: all are marked `any_version`."""

SECRETS = ("test-secret", "7ad3773142a6692b25b8", "other-secret", "a2tra2tra2tra2tra2tra2tra2tr")
"""What tests use for secrets of apps, and the beginning of their master key."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests of some folders."""
    if ANY_VERSION.intersection(item.path.relative_to(TESTS).parts[:1]):
        item.add_marker("any_version")


class SecretsHandler(logging.Handler):
    """Keep what is logged with a secret in it, its traceback included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if any(secret in text for secret in SECRETS):
            self.found.append(text)


@pytest.fixture(autouse=True, scope="session")
def _no_secret_is_logged() -> Iterator[None]:
    """Read along what the whole suite logs, of this package and of HTTP clients, down to DEBUG."""
    handler = SecretsHandler()
    loggers = [
        logging.getLogger(name)
        for name in ("realtime_drf", "urllib3", "django", "ably", "httpx", "httpcore", "hpack")
    ]
    for each in loggers:
        each.addHandler(handler)
        each.setLevel(logging.DEBUG)
    yield
    for each in loggers:
        each.removeHandler(handler)
    assert handler.found == []


@pytest.fixture
def recording(settings: Settings) -> RecordingTransport:
    """The default transport, which records; "other" is a second one."""
    settings.REALTIME_TRANSPORTS = {alias: {"TRANSPORT": PATH} for alias in ("default", "other")}
    transport = transports["default"]
    assert isinstance(transport, RecordingTransport)
    return transport


@pytest.fixture(autouse=True)
def _keep_registry() -> Iterator[None]:
    """Forget the backends and channels that a test defines."""
    before = {model: list(backends) for model, backends in registry._backends.items()}
    channels, users = list(channel_registry.channels), list(channel_registry.user_channels)
    yield
    registry._backends = before
    channel_registry.channels, channel_registry.user_channels = channels, users


@pytest.fixture(autouse=True)
def _forget_transports() -> Iterator[None]:
    """Forget the transports that a test used: the memory transport keeps what it was sent."""
    yield
    transports._made.clear()


@pytest.fixture
def policies() -> None:
    """Have the policies of `tests.policies` and no others."""
    channel_registry.channels = list(POLICIES)


@pytest.fixture
def register() -> Any:
    """Leave a model to the backend that a test defines, alone."""

    def alone(backend_class: type[RealtimeBackend[Any]]) -> RealtimeBackend[Any]:
        registry._backends[backend_class.get_model()] = []
        registry.register(backend_class)
        return registry._backends[backend_class.get_model()][0]

    return alone
