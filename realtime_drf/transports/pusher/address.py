"""The credentials of a Pusher app and its server, from a URL or the environment."""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from realtime_drf.exceptions import InvalidTransport

_APP_PATH = re.compile(r"/apps/([0-9]+)/?")


class Address(NamedTuple):
    """The credentials and the server of an app; None is not given."""

    app_id: str | None = None
    key: str | None = None
    secret: str | None = None
    host: str | None = None
    port: int | None = None
    ssl: bool | None = None

    def __repr__(self) -> str:
        return f"<Address of app {self.app_id!r}>"


def read_url(url: str | None, *, alias: str) -> Address:
    """Read ``https://key:secret@host:port/apps/app_id``, by default from ``PUSHER_URL``.

    Raise InvalidTransport, without the URL in its text, if it has another form.
    """
    source = "option 'url'" if url else "environment variable PUSHER_URL"
    url = url or os.environ.get("PUSHER_URL")
    if not url:
        return Address()
    try:
        parts = urlsplit(url)
        match = _APP_PATH.fullmatch(parts.path)
        port = parts.port
    except ValueError:
        match = port = None
    if match is None or parts.scheme not in ("http", "https") or not parts.hostname:
        # Without the URL itself, which holds the secret.
        raise InvalidTransport(
            f"{source} is not of the form https://key:secret@host/apps/app_id, with an app_id of "
            f"digits.",
            alias=alias,
        )
    return Address(
        app_id=match[1],
        key=unquote(parts.username or "") or None,
        secret=unquote(parts.password or "") or None,
        host=parts.hostname,
        port=port,
        ssl=parts.scheme == "https",
    )
