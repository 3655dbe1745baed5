"""The credentials of an Ably app: a key, or a token."""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

from realtime_drf.exceptions import InvalidTransport

VARIABLE: Final = "ABLY_API_KEY"

_KEY = re.compile(r"([^.:\s]+)\.([^.:\s]+):([^\s:]+)", re.ASCII)


class Credentials(NamedTuple):
    """A key, or a token in its place."""

    key: str | None
    token: str | None

    def __repr__(self) -> str:
        return f"<Credentials of app {self.app_id!r}>"

    @classmethod
    def read(cls, key: str | None, token: str | None, *, alias: str) -> Credentials:
        """Read options or the environment; raise InvalidTransport if they are wrong."""
        if token and token != token.strip():
            raise InvalidTransport(
                "'token' begins or ends with a blank or line end: strip() it.", alias=alias
            )
        if key and token:
            raise InvalidTransport("Give 'key' or 'token', not both.", alias=alias)
        if not token:
            source = "'key'" if key else f"environment variable {VARIABLE}"
            key = key or os.environ.get(VARIABLE)
            if not key:
                raise InvalidTransport(
                    f"OPTIONS need 'key' or 'token' (or the environment variable {VARIABLE}).",
                    alias=alias,
                )
            if not _KEY.fullmatch(key):
                # Without the key itself.
                raise InvalidTransport(
                    f"{source} is not of the form appId.keyId:secret.", alias=alias
                )
        return cls(key or None, token or None)

    @property
    def name(self) -> str:
        """The public part of the key."""
        return (self.key or "").partition(":")[0]

    @property
    def secret(self) -> str:
        """The secret part of the key."""
        return (self.key or "").partition(":")[2]

    @property
    def app_id(self) -> str:
        """The app of the key; empty for a token."""
        return self.name.partition(".")[0]

    def as_keys(self) -> dict[str, str]:
        """Return the name of the key and its secret, if there is one."""
        return {self.name: self.secret} if self.key else {}

    def secrets(self) -> list[str]:
        """Return the texts that are secret."""
        return [each for each in (self.key, self.secret, self.token) if each]
