"""What names an app of Pusher's and where it lives, from options, a URL or the environment."""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from realtime_drf.exceptions import InvalidTransport

_APP_PATH = re.compile(r"/apps/([0-9]+)/?")


class Address(NamedTuple):
    """Hold what is known of an app's address; None is not said."""

    app_id: str | None = None
    key: str | None = None
    secret: str | None = None
    host: str | None = None
    port: int | None = None
    ssl: bool | None = None

    def __repr__(self) -> str:
        return f"<Address of app {self.app_id!r}>"

    def completed_from(self, other: Address) -> Address:
        """Take from another what this one does not say."""
        return other._replace(**{k: v for k, v in self._asdict().items() if v is not None})

    def check(self, *, alias: str) -> None:
        """Raise InvalidTransport if a credential is missing or no text."""
        credentials = {"app_id": self.app_id, "key": self.key, "secret": self.secret}
        for name, value in credentials.items():
            if value is not None and not isinstance(value, str):
                raise InvalidTransport(
                    f"{name!r} must be a str, not {type(value).__name__}.", alias=alias
                )
        if self.app_id and not (self.app_id.isascii() and self.app_id.isdigit()):
            raise InvalidTransport(
                "'app_id' must be digits: Pusher's own SDKs take nothing else. A server of yours "
                "that has another has to be given a number.",
                alias=alias,
            )
        if self.host is not None and "/" in self.host:
            raise InvalidTransport(
                "'host' is the name of a machine, without https:// and path; see 'ssl' and 'port'.",
                alias=alias,
            )
        if isinstance(self.port, int) and not 0 < self.port < 65536:
            raise InvalidTransport("'port' must be a number from 1 to 65535.", alias=alias)
        if missing := [repr(name) for name, value in credentials.items() if not value]:
            raise InvalidTransport(
                f"OPTIONS need {' and '.join(missing)} (or 'url', or the environment variable "
                f"PUSHER_URL).",
                alias=alias,
            )


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
    host = parts.hostname
    return Address(
        app_id=match[1],
        key=unquote(parts.username or "") or None,
        secret=unquote(parts.password or "") or None,
        host=f"[{host}]" if ":" in host else host,  # IPv6, of which urlsplit takes the brackets
        port=port,
        ssl=parts.scheme == "https",
    )
