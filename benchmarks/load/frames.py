"""Count the WebSocket frames of a server, and read the few that matter.

Source: RFC 6455, section 5.2. A server's frames are not masked.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

PING = 0x9
PONG = 0xA
CLOSE = 0x8
_TEXT = 0x1
_FIN = 0x80
_COMPRESSED = 0x40
_CONTROL = 0x8
# With a mask of zeros the payload stays as it is.
_NO_MASK = b"\0\0\0\0"

Buffer = bytes | bytearray | memoryview


class Frame(NamedTuple):
    """A frame, and the position of the next one."""

    first_byte: int
    payload: bytes
    end: int

    @property
    def opcode(self) -> int:
        return self.first_byte & 0x0F

    @property
    def is_compressed(self) -> bool:
        return bool(self.first_byte & _COMPRESSED)


class Inflator:
    """Undo permessage-deflate in the messages of one connection, of which it must see each."""

    def __init__(self) -> None:
        self._inflator = zlib.decompressobj(-zlib.MAX_WBITS)

    def read(self, frame: Frame) -> bytes:
        """Return the message in a frame."""
        if not frame.is_compressed:
            return frame.payload
        return self._inflator.decompress(frame.payload + b"\0\0\xff\xff")


def count_messages(buffer: Buffer, start: int, end: int) -> tuple[int, int]:
    """Return how many whole messages there are from `start`, and where they end.

    Stops before a control frame and before what has not arrived in full.
    """
    count = 0
    # This loop is what the client spends its time on besides the kernel: no call in it.
    while end - start >= 4:
        first_byte = buffer[start]
        if first_byte & _CONTROL:
            break
        length = buffer[start + 1]
        if length < 126:
            following = start + 2 + length
        elif length == 126:
            following = start + 4 + (buffer[start + 2] << 8 | buffer[start + 3])
        elif end - start >= 10:
            following = start + 10 + int.from_bytes(buffer[start + 2 : start + 10], "big")
        else:
            break
        if following > end:
            break
        count += first_byte >> 7
        start = following
    return count, start


def read_frame(buffer: Buffer, start: int, end: int) -> Frame | None:
    """Return the frame that begins at `start`, or None while it has not arrived in full."""
    if end - start < 2:
        return None
    length, payload = buffer[start + 1], start + 2
    if length > 125:
        size = 2 if length == 126 else 8
        if end - payload < size:
            return None
        length = int.from_bytes(buffer[payload : payload + size], "big")
        payload += size
    if payload + length > end:
        return None
    return Frame(buffer[start], bytes(buffer[payload : payload + length]), payload + length)


def client_frame(opcode: int, payload: bytes) -> bytes:
    """Return a frame as a client sends it; the payload is at most 125 bytes."""
    assert len(payload) < 126, "a longer payload needs another header"
    return bytes([_FIN | opcode, _FIN | len(payload)]) + _NO_MASK + payload


def client_text(text: str) -> bytes:
    """Return a text frame as a client sends it."""
    return client_frame(_TEXT, text.encode())
