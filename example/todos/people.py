"""Who is looking: a demo user or a guest, another one in each window if one likes.

A cookie belongs to all windows of a browser. So the page keeps a signed token for each window and
sends it in a header, and nobody types a password. That is for a demonstration and nothing else.
"""

from __future__ import annotations

import secrets
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.core import signing
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

SCHEME = "Window"
"""What stands before the token in the header Authorization."""

DEMO_USERS = ("ann", "bob", "cleo")
"""Whom everybody may be."""

ADMIN, PASSWORD = "admin", "demo"
"""Who signs in to the admin, and with what; the demo users have the same password."""

ANIMALS = (
    *("Badger", "Beaver", "Crane", "Dormouse", "Falcon", "Finch", "Fox", "Gecko", "Hare", "Heron"),
    *("Ibex", "Jackdaw", "Koala", "Lynx", "Marten", "Newt", "Otter", "Puffin", "Quail", "Robin"),
    *("Seal", "Stoat", "Tapir", "Vole", "Walrus", "Wren", "Yak", "Zebra"),
)

_signer = signing.TimestampSigner(salt="todos.people")
_DAY = 24 * 60 * 60


class Guest(AnonymousUser):
    """A user without an account, who can still be distinguished from other guests."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.pk = self.username = name


def make_guest() -> Guest:
    """Return a new guest: an animal and a number."""
    return Guest(f"{secrets.choice(ANIMALS)}-{secrets.randbelow(9000) + 1000}")


def get_name(user: Any) -> str:
    """Return what the others read; somebody without a name at all is nobody."""
    if isinstance(user, Guest):
        return f"Guest {user.username.partition('-')[0]}"
    if not user.is_authenticated:
        return ""
    return user.get_full_name() or str(user.get_username())


def make_token(user: User | Guest) -> str:
    """Return what a window sends to be somebody."""
    kind = "guest" if isinstance(user, Guest) else "user"
    return _signer.sign_object([kind, user.pk])


class WindowAuthentication(BaseAuthentication):
    """Believe a window's token; without one, leave the request to the other authentications."""

    def authenticate(self, request: Request) -> tuple[User | Guest, None] | None:
        scheme, _, token = get_authorization_header(request).decode("latin-1").partition(" ")
        return (_read(token), None) if scheme == SCHEME else None


def _read(token: str) -> User | Guest:
    try:
        kind, pk = _signer.unsign_object(token, max_age=_DAY)
    except signing.BadSignature as exc:
        raise AuthenticationFailed("The token of this window has expired.") from exc
    if kind == "guest":
        return Guest(pk)
    user = User.objects.filter(pk=pk, username__in=DEMO_USERS).first()
    if user is None:
        raise AuthenticationFailed("This user is gone.")
    return user
