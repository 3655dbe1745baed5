"""The console transport keeps the contract."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from realtime_drf.testing import Received, TransportContract
from realtime_drf.testing.strategies import event_names
from realtime_drf.transports.console import ConsoleTransport

LEGAL = r"[\w\-=@,.;#]"
LINE = re.compile(
    rf"(.*?) to ((?:{LEGAL}*, )*{LEGAL}+)( \(not to its sender\))? (.*)", re.ASCII | re.DOTALL
)


class TestConsole(TransportContract):
    in_process = True
    # What is printed is read back here, line by line and word by word.
    event_names = event_names().filter(lambda name: not re.search(r"\s", name))

    @pytest.fixture(autouse=True)
    def _stream(self) -> None:
        self.stream = io.StringIO()

    def create_transport(self, **options: Any) -> ConsoleTransport:
        return ConsoleTransport(stream=self.stream, **options)

    def received(self) -> Sequence[Received]:
        return list(self._read())

    def _read(self) -> Iterator[Received]:
        for line in self.stream.getvalue().split("\n")[:-1]:
            match = LINE.fullmatch(line)
            assert match, line
            excluded = self.create_socket_id() if match[3] else None
            for channel in match[2].split(", "):
                yield Received(channel, match[1], match[4], excluded)
