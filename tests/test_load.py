"""The load client of the benchmarks counts every message, however its bytes are cut."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.browser import Browser, Tally
from benchmarks.load.frames import PING, PONG, client_frame, count_messages, read_frame

pytestmark = pytest.mark.end_to_end

TEXT = 0x81
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def server_frame(payload: bytes, first_byte: int = TEXT) -> bytes:
    """Return a frame as a server sends it."""
    size = len(payload)
    if size < 126:
        return bytes([first_byte, size]) + payload
    if size < 1 << 16:
        return bytes([first_byte, 126]) + size.to_bytes(2, "big") + payload
    return bytes([first_byte, 127]) + size.to_bytes(8, "big") + payload


def message(event: str) -> bytes:
    return server_frame(json.dumps({"event": event, "data": "{}"}).encode())


class FakeTransport:
    """Keep what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


def feed(data: bytes, cuts: list[int], channel: str | None) -> tuple[Tally, list[bytes], bool]:
    """Have a browser read the data in pieces; return its count, its writes, whether it is ready."""

    async def go() -> tuple[Tally, list[bytes], bool]:
        tally, transport = Tally(), FakeTransport()
        browser = Browser(tally, host="-", path="/", channel=channel, deflate=False)
        browser.connection_made(transport)  # type: ignore[arg-type]
        edges: list[Any] = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
        for start, end in itertools.pairwise(edges):
            if start < end:
                browser.get_buffer(-1)[: end - start] = data[start:end]
                browser.buffer_updated(end - start)
        return tally, transport.written, browser.ready.done()

    return asyncio.run(go())


sizes = st.sampled_from([0, 1, 2, 125, 126, 127, 300, 65_535, 65_536])
cuts = st.lists(st.integers(0, 1 << 20), max_size=20)


@given(sizes=st.lists(sizes, max_size=6))
def test_whole_messages_are_counted(sizes: list[int]) -> None:
    data = b"".join(server_frame(b"x" * size) for size in [*sizes, 300])
    assert count_messages(data, 0, len(data)) == (len(sizes) + 1, len(data))
    # Of one that is not whole nothing is taken.
    assert count_messages(data, 0, len(data) - 1) == (len(sizes), len(data) - 304)


@given(sizes=st.lists(sizes, max_size=3), cuts=cuts)
def test_messages_are_counted_in_whatever_pieces_they_come(
    sizes: list[int], cuts: list[int]
) -> None:
    data = UPGRADED + b"".join(server_frame(b"x" * size) for size in sizes)
    tally, _, ready = feed(data, cuts, None)
    assert (tally.messages, ready) == (len(sizes), True)


@given(cuts=cuts)
def test_what_subscribes_is_not_counted_and_pings_are_answered(cuts: list[int]) -> None:
    data = b"".join(
        [
            UPGRADED,
            message("pusher:connection_established"),
            server_frame(b"", 0x80 | PING),
            message("pusher_internal:subscription_succeeded"),
            message("news"),
            server_frame(b"still there?", 0x80 | PING),
            message("news"),
        ]
    )
    tally, (_, subscribe, first, second), ready = feed(data, cuts, "news")
    assert (tally.messages, ready) == (2, True)
    assert b'{"event": "pusher:subscribe", "data": {"channel": "news"}}' in subscribe
    assert first == client_frame(PONG, b"")
    assert second == client_frame(PONG, b"still there?")


def test_a_frame_is_read_once_it_is_whole() -> None:
    data = server_frame(b"x" * 300)
    assert all(read_frame(data, 0, end) is None for end in range(len(data)))
    frame = read_frame(data, 0, len(data))
    assert frame is not None
    assert (frame.payload, frame.end) == (b"x" * 300, len(data))
