"""A service that is away does not fill the log, however many calls of it fail."""

from __future__ import annotations

import logging
from typing import Any

import pytest

pytest.importorskip("channels")

from realtime_drf.cluster import messages
from realtime_drf.cluster.layer_backplane import LayerBackplane
from realtime_drf.cluster.memory_state import MemoryStore
from realtime_drf.logs import FailureLog
from tests.server.harness import Clock, Site


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert all(each.levelno == logging.ERROR for each in caplog.records)
    return [each.getMessage() for each in caplog.records]


def test_the_first_failure_is_logged_at_once_and_then_one_line_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    log = FailureLog("The layer failed", clock)
    for _ in range(25):
        log.add(ConnectionError("redis://:a-password@layer/0"))
        clock.now += 0.125
    clock.now += 10
    log.add(TimeoutError())
    assert logged(caplog) == [
        "The layer failed: ConnectionError",
        *["The layer failed: ConnectionError (7 more since the last line)"] * 3,
        "The layer failed: TimeoutError",
    ]


class Down:
    async def group_send(self, group: str, message: Any) -> None:
        raise ConnectionError("redis://:a-password@layer/0")


def test_a_layer_that_is_down_does_not_fill_the_log_with_client_events(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    backplane = LayerBackplane(MemoryStore(), Down(), namespace="1", clock=clock)
    item = messages.EventMessage("client-typing", ["private-a"], "{}")

    def fail(times: int) -> None:
        for _ in range(times):
            backplane.post([item])
        with pytest.raises(ConnectionError):  # after all that came before it
            backplane.publish([item], 5)

    try:
        fail(500)
        clock.now += 1
        fail(1)
    finally:
        backplane.close()
    failed = "Could not publish a batch to the channel layer"
    assert logged(caplog) == [
        f"{failed}: ConnectionError",
        f"{failed}: ConnectionError (499 more since the last line)",
    ]


class DownStore(MemoryStore):
    async def _fail(self, *args: Any) -> Any:
        raise ConnectionError("redis://:a-password@store/0")

    sync = read = recall = _fail


def test_a_store_that_is_down_does_not_fill_the_log_with_subscribers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Site(store=DownStore()) as site:
        client = site.connect()
        for number in range(100):
            client.join(f"cache-{number}", settle=False)
            client.join(f"presence-{number}", "ann", settle=False)
        site.settle()
        assert len(logged(caplog)) == 1
        site.clock.now += 1
        client.join("cache-last")
        assert len(logged(caplog)) == 2
    assert "password" not in caplog.text
