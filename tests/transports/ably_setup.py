"""Transports to the stand-in for Ably's REST API."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.services.ably_http import AblyService

if TYPE_CHECKING:
    from realtime_drf.transports.ably import AblyTransport

MakeAbly = Callable[..., "AblyTransport"]


def options_for(service: AblyService) -> dict[str, Any]:
    """Return the OPTIONS with which a transport reaches a service: the key goes over TLS only."""
    if service.context is not None:
        return {"key": service.key, "endpoint": "localhost", "tls_port": service.port}
    return {
        "key": service.key,
        "use_token_auth": True,
        "endpoint": service.host,
        "port": service.port,
        "tls": False,
    }
