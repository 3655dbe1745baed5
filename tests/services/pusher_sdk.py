"""Point the vendor's Python SDK at a service of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class PusherApp(Protocol):
    """Describe where an app is served, as every Pusher-protocol service here does."""

    host: str
    port: int
    app_id: str
    key: str
    secret: str


@contextmanager
def pusher_sdk(service: PusherApp, **options: Any) -> Iterator[Any]:
    """Return a `pusher.Pusher` for a service; `options` take precedence."""
    # Imported here, since the SDK is optional where the services are not.
    from pusher import Pusher

    address = {"host": service.host, "port": service.port, "ssl": False}
    credentials = {"app_id": service.app_id, "key": service.key, "secret": service.secret}
    client = Pusher(**{**address, **credentials, **options})
    # The SDK has no way to close the connections that it pools.
    with client._pusher_client.http.session:
        yield client
