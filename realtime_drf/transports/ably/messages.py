"""Messages in the form of Ably's REST API, and its answers to batches of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from realtime_drf.events import Event
from realtime_drf.names import ChannelKind, parse_channel_name
from realtime_drf.rendering import render
from realtime_drf.transports.ably.packing import Group
from realtime_drf.transports.ably.sender import Sender, read_sender

_BLOCK = 16  # bytes of AES; the first block is the initialization vector


class Encoder:
    """Makes messages with the SDK's own class, and encrypts them with its cipher.

    Args:
        message_class: the SDK's ``Message``.
        crypto: its module of ciphers.
        binary: the format is msgpack, which needs no base64.
        get_key: returns the key of an encrypted channel.
        get_extras: returns the extras of a message.
    """

    def __init__(
        self,
        message_class: Any,
        crypto: Any,
        *,
        binary: bool,
        get_key: Callable[[str], bytes],
        get_extras: Callable[[Event], Mapping[str, Any] | None],
    ) -> None:
        self._message_class = message_class
        self._crypto = crypto
        self._binary = binary
        self._get_key = get_key
        self._get_extras = get_extras

    def wire_size(self, event: Event) -> int:
        """Return the bytes of name, data and extras, as the service counts them."""
        size = len(event.body.encode())
        if any(map(is_encrypted, event.channels)):
            size = _BLOCK + (size // _BLOCK + 1) * _BLOCK
            size = size if self._binary else 4 * -(-size // 3)
        extras = self._get_extras(event)
        return size + len(event.name.encode()) + (len(render(extras).encode()) if extras else 0)

    def encode(self, group: Group, channel: str) -> list[dict[str, Any]]:
        """Return the messages of a group, for one of its channels."""
        ids = _message_ids(group.events)
        return [
            self._encode(event, message_id, channel)
            for event, message_id in zip(group.events, ids, strict=True)
        ]

    def _encode(self, event: Event, message_id: str, channel: str) -> dict[str, Any]:
        sender = read_sender(event.socket_id) if event.socket_id else None
        key, client_id = sender or Sender("")
        message = self._message_class(
            name=event.name,
            data=event.body,
            id=message_id,
            encoding="json",
            client_id=client_id,
            connection_key=key or None,
            extras=self._get_extras(event),
        )
        if is_encrypted(channel):
            message.encrypt(self._crypto.get_cipher({"key": self._get_key(channel)}))
        body: dict[str, Any] = message.as_dict(binary=self._binary)
        return body


def is_encrypted(channel: str) -> bool:
    """Return whether the data of a channel is encrypted."""
    return parse_channel_name(channel).kind is ChannelKind.ENCRYPTED


def read_results(answer: Any) -> dict[str, Mapping[str, Any]]:
    """Return the result of each channel.

    The answer to a batch is a list of results: depending on the version of the API, of channels, or
    of specifications that contain those of their channels.
    """
    results = answer if isinstance(answer, list) else [answer]
    flat: list[Any] = []
    for result in results:
        inner = result.get("results") if isinstance(result, dict) else None
        flat += inner if isinstance(inner, list) else [result]
    return {
        result["channel"]: result
        for result in flat
        if isinstance(result, dict) and isinstance(result.get("channel"), str)
    }


def _message_ids(events: Sequence[Event]) -> list[str]:
    """Return an id for each message of one publish; the same events get the same ids again.

    Several messages of one publish must share a base, followed by their index:
    https://ably.com/docs/pub-sub/advanced#idempotency
    """
    if len(events) == 1:
        return [events[0].id]
    base = hashlib.sha256("".join(event.id for event in events).encode()).hexdigest()[:32]
    return [f"{base}:{place}" for place in range(len(events))]
