"""Requests of clients for channels, and the answers: values that are the same for every service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "AuthorizationRequest", "Denial", "Grant", "Identity"]


@dataclass(frozen=True, kw_only=True)
class AuthorizationRequest:
    """A request to subscribe to channels, for one of a client's connections.

    `is_many` is set where the client expects a result for each channel. `user_id` is the request's
    user; it comes from the view and never from the client.
    """

    socket_id: str = field(repr=False)
    channels: tuple[str, ...]
    is_many: bool = False
    user_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A permission to subscribe to a channel; on presence channels, with the user's id and info.

    `may_publish` is for transports that decide for each channel whether a client may publish.
    """

    channel: str
    user_id: str | None = None
    user_info: Mapping[str, Any] | None = None
    may_publish: bool = False


@dataclass(frozen=True, kw_only=True)
class Denial:
    """A refusal to subscribe to a channel."""

    channel: str


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A user who signs in: the id, what others may see, and the users to watch."""

    user_id: str
    user_info: Mapping[str, Any] | None = None
    watchlist: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer to a client: an HTTP status and a body, which may be a token.

    The body is an object for JSON, or text of the `content_type`.
    """

    status: int
    body: Mapping[str, Any] | str = field(repr=False)
    content_type: str = "application/json"
