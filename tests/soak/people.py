"""Who asks for channels in the soak."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication


class Person:
    is_authenticated = True

    def __init__(self, pk: str) -> None:
        self.pk = pk


class Names(BaseAuthentication):
    """Take a client at its word who it is."""

    def authenticate(self, request: Any) -> tuple[Person, None]:
        return Person(request.headers["X-User"]), None
