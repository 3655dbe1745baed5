"""Sign what a project would, for clients of a server of the tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from realtime_drf.grants import Grant, Identity
from realtime_drf.pusher_protocol.signatures import Signer
from tests.services.pusher_sdk import PusherApp

MASTER_KEY = b"k" * 32


def channel_tokens(
    app: PusherApp, user_id: str = "", info: dict[str, Any] | None = None
) -> Callable[[str, str], dict[str, str]]:
    """Return a function that lets a user on every channel."""
    signer = Signer(app.key, app.secret, MASTER_KEY)

    def sign(socket_id: str, channel: str) -> dict[str, str]:
        grant = Grant(channel=channel, user_id=user_id, user_info=info)
        return signer.channel_token(socket_id, grant)

    return sign


def user_tokens(
    app: PusherApp, user_id: str, watchlist: tuple[str, ...] = (), **info: Any
) -> Callable[[str], dict[str, str]]:
    """Return a function that signs a user in."""
    signer = Signer(app.key, app.secret)
    identity = Identity(user_id=user_id, user_info=info or None, watchlist=watchlist)
    return lambda socket_id: signer.user_token(socket_id, identity)
