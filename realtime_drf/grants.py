"""What a client asks for, and what it is granted: values, without a service's grammar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "AuthorizationRequest", "Denial", "Grant", "Identity"]


@dataclass(frozen=True, kw_only=True)
class AuthorizationRequest:
    """Say which channels a client asks for, and for which of its connections.

    `is_many` is set where the client expects a result for each of them. `user_id` is whose request
    it is, and nothing that the client says: the view fills it in.
    """

    socket_id: str = field(repr=False)
    channels: tuple[str, ...]
    is_many: bool = False
    user_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Say that a channel may be subscribed to; on presence channels, as whom.

    `may_publish` is for transports that decide by channel who publishes from a client.
    """

    channel: str
    user_id: str | None = None
    user_info: Mapping[str, Any] | None = None
    may_publish: bool = False


@dataclass(frozen=True, kw_only=True)
class Denial:
    """Say that a channel may not be subscribed to."""

    channel: str


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Say who signs in: the id, what others may see, and whom the client watches."""

    user_id: str
    user_info: Mapping[str, Any] | None = None
    watchlist: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Hold what a client is answered: an HTTP status and a body, which may be a token.

    The body is an object for JSON, or text of the `content_type`.
    """

    status: int
    body: Mapping[str, Any] | str = field(repr=False)
    content_type: str = "application/json"
