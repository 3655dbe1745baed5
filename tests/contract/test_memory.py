"""The memory transport keeps the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from realtime_drf.exceptions import InvalidRequest
from realtime_drf.grants import Answer
from realtime_drf.testing import Received, TransportContract
from realtime_drf.transports.memory import MemoryTransport


class TestMemory(TransportContract):
    in_process = True

    @pytest.fixture(autouse=True)
    def _transports(self) -> None:
        self.made: list[MemoryTransport] = []

    def create_transport(self, **options: Any) -> MemoryTransport:
        self.made.append(MemoryTransport(**options))
        return self.made[-1]

    def received(self) -> Sequence[Received]:
        return [
            Received(channel, event.name, event.body, event.socket_id)
            for transport in self.made
            for event in transport.outbox
            for channel in event.channels
        ]

    def occupy(self, channel: str) -> None:
        self.made[-1].subscribe(channel)

    def admits(self, channel: str, answer: Answer) -> bool:
        browser = self.made[-1].subscribe(socket_id=self.create_socket_id())
        try:
            browser.subscribe(channel, answer.body)
        except InvalidRequest:
            return False
        return channel in browser.channels
