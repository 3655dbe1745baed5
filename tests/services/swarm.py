"""Many clients at once, each as cheap as can be: they subscribe, and read what comes."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.services.process import LOCALHOST

Subscriptions = Callable[[str], Sequence[Mapping[str, Any]]]
"""Returns, for a socket id, the data with which to subscribe."""


class Swarmer:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(
        cls, port: int, key: str, subscriptions: Subscriptions, *, prefix: str = ""
    ) -> Swarmer:
        """Connect and subscribe; return once all subscriptions stand."""
        client = cls(*await asyncio.open_connection(LOCALHOST, port))
        await client._shake_hands(f"{LOCALHOST}:{port}", f"{prefix}/app/{key}?protocol=7")
        data = json.loads((await client.read())["data"])
        wanted = set()
        for subscription in subscriptions(data["socket_id"]):
            client.send({"event": "pusher:subscribe", "data": subscription})
            wanted.add(subscription["channel"])
        while wanted:
            frame = await client.read()
            if frame["event"] == "pusher_internal:subscription_succeeded":
                wanted.remove(frame["channel"])
        return client

    def send(self, frame: Mapping[str, Any]) -> None:
        """Send a frame."""
        payload = json.dumps(frame).encode()
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        size = len(payload)
        # Some servers refuse a length that takes more bytes than it needs.
        length = struct.pack("!B", 0x80 | size) if size < 126 else struct.pack("!BH", 0xFE, size)
        self._writer.write(b"\x81" + length + mask + masked)

    async def read(self) -> dict[str, Any]:
        """Return the next frame; raise OSError or EOFError where there is none."""
        while True:
            kind, length = await self._reader.readexactly(2)
            if length >= 126:
                size = 2 if length == 126 else 8
                length = int.from_bytes(await self._reader.readexactly(size))
            payload = await self._reader.readexactly(length)
            if kind == 0x81:
                frame: dict[str, Any] = json.loads(payload)
                return frame
            if kind == 0x88:
                raise EOFError

    async def gone(self) -> None:
        """Read until the connection ends."""
        try:
            while True:
                await self.read()
        except (OSError, EOFError):
            self.close()

    def close(self) -> None:
        """End the connection."""
        self._writer.close()

    async def _shake_hands(self, host: str, path: str) -> None:
        nonce = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {nonce}",
            "Sec-WebSocket-Version: 13",
        ]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        await self._reader.readuntil(b"\r\n\r\n")
