from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.ably_http import AblyService
from tests.services.pusher_http import PusherService
from tests.services.pusher_sdk import PusherApp
from tests.transports import ably_setup

if TYPE_CHECKING:
    from realtime_drf.transports.ably import AblyTransport
    from realtime_drf.transports.pusher import PusherTransport

MakePusher = Callable[..., "PusherTransport"]


@pytest.fixture(scope="module")
def make_pusher() -> Iterator[MakePusher]:
    """Return a function that makes a transport to a service, closed after the tests.

    Keyword arguments are options and go first.
    """
    pytest.importorskip("pusher")
    from realtime_drf.transports.pusher import PusherTransport

    with ExitStack() as stack:

        def make(service: PusherApp, **options: Any) -> PusherTransport:
            transport = PusherTransport(**{**options_for(service), **options})
            stack.callback(transport.close)
            return transport

        yield make


def options_for(service: PusherApp) -> dict[str, Any]:
    """Return the OPTIONS with which a transport reaches a service."""
    return {
        "app_id": service.app_id,
        "key": service.key,
        "secret": service.secret,
        "host": service.host,
        "port": service.port,
        "ssl": False,
    }


@pytest.fixture(scope="module")
def module_service() -> Iterator[PusherService]:
    """One stand-in for Hypothesis, whose examples share their fixtures: `reset()` it in each."""
    with PusherService() as service:
        yield service


@pytest.fixture(scope="module")
def make_ably() -> Iterator[ably_setup.MakeAbly]:
    """Return a function that makes a transport to a stand-in for Ably, closed after the tests."""
    pytest.importorskip("ably")
    from realtime_drf.transports.ably import AblyTransport

    with ExitStack() as stack:

        def make(service: AblyService, **options: Any) -> AblyTransport:
            transport = AblyTransport(**{**ably_setup.options_for(service), **options})
            stack.callback(transport.close)
            return transport

        yield make


@pytest.fixture(scope="module")
def module_ably() -> Iterator[AblyService]:
    """One stand-in for Hypothesis, whose examples share their fixtures: `reset()` it in each."""
    with AblyService() as service:
        yield service
