"""The event that all servers send, and the message that it is to a browser."""

from __future__ import annotations

import json
import random
import string

NAME = "news.update"
CHANNEL = "news"
#: Bytes of the event's data.
SIZE = 250


def channel_names(number: int = 1) -> list[str]:
    """Return the names of so many channels; the first is CHANNEL."""
    return [CHANNEL, *(f"{CHANNEL}-{each}" for each in range(1, number))]


def event_data(size: int = SIZE) -> str:
    """Return JSON of so many bytes, which compresses as text does and not better."""
    empty = json.dumps({"text": ""})
    letters = random.Random(0).choices(string.ascii_lowercase + " ", k=size - len(empty))
    return json.dumps({"text": "".join(letters)})


def message_text() -> str:
    """Return the message as a server of Pusher's protocol sends it."""
    message = {"event": NAME, "channel": CHANNEL, "data": event_data()}
    return json.dumps(message, separators=(",", ":"))
