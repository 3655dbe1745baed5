"""What names an app of Pusher's and where it lives, from options, a URL or the environment."""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from realtime_drf.exceptions import InvalidTransport
from realtime_drf.transports.hosts import read_host

_APP_ID = re.compile(r"[0-9]+")
_CLUSTER = re.compile(r"[A-Za-z0-9-]+")
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

    def checked(self, *, alias: str) -> Address:
        """Return it as a client takes it; raise InvalidTransport if something cannot be right."""
        credentials = {"app_id": self.app_id, "key": self.key, "secret": self.secret}
        for name, value in credentials.items():
            if value is not None and not isinstance(value, str):
                raise InvalidTransport(
                    f"{name!r} must be a str, not {type(value).__name__}.", alias=alias
                )
            if value and value != value.strip():
                raise InvalidTransport(
                    f"{name!r} begins or ends with a blank or line end: strip() it.", alias=alias
                )
        if self.app_id and not _APP_ID.fullmatch(self.app_id):
            raise InvalidTransport(
                "'app_id' must be digits: Pusher's own SDKs take nothing else. Give a server of "
                "your own an app id that is a number.",
                alias=alias,
            )
        if self.port is not None and (type(self.port) is not int or not 0 < self.port < 65536):
            raise InvalidTransport("'port' must be a number from 1 to 65535.", alias=alias)
        if missing := [repr(name) for name, value in credentials.items() if not value]:
            raise InvalidTransport(
                f"OPTIONS need {' and '.join(missing)} (or 'url', or the environment variable "
                f"PUSHER_URL).",
                alias=alias,
            )
        return self._replace(host=read_host("host", self.host, alias=alias) if self.host else None)


def check_cluster(cluster: object, *, alias: str) -> None:
    """Raise InvalidTransport for what is not the name of a cluster."""
    if cluster is not None and not isinstance(cluster, str):
        raise InvalidTransport(
            f"'cluster' must be a str, not {type(cluster).__name__}.", alias=alias
        )
    if cluster and not _CLUSTER.fullmatch(cluster):
        raise InvalidTransport(
            "'cluster' is the name of a cluster alone, such as 'eu', without blanks, line ends or "
            "the rest of a URL; a server of your own goes into 'host'.",
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
    return Address(
        app_id=match[1],
        key=unquote(parts.username or "") or None,
        secret=unquote(parts.password or "") or None,
        host=parts.hostname,
        port=port,
        ssl=parts.scheme == "https",
    )
