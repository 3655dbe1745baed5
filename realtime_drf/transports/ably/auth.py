"""Requests of Ably's clients for tokens, and the answers to them.

A token names the client that connects, and what it may do on which channels (its capability):
https://ably.com/docs/auth/token and https://ably.com/docs/auth/capabilities.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from realtime_drf.exceptions import InvalidEvent, InvalidRequest
from realtime_drf.grants import Answer, AuthorizationRequest, Denial, Grant, Identity
from realtime_drf.names import ChannelKind, is_unicode, parse_channel_name
from realtime_drf.rendering import render
from realtime_drf.tracebacks import opaque
from realtime_drf.transports.ably.credentials import Credentials
from realtime_drf.transports.ably.names import Names, user_channel
from realtime_drf.transports.ably.rest import RestClient
from realtime_drf.transports.ably.tokens import Signer, read_channels
from realtime_drf.transports.base import BaseTransport

logger = logging.getLogger("realtime_drf")

MAX_CHANNELS: Final = 200
"""Channels of one token, including those of the token that it renews."""

FORMATS: Final = ("request", "jwt", "object")

FORBIDDEN: Final[Mapping[str, Any]] = {
    "error": {"code": 40300, "statusCode": 403, "message": "Forbidden"}
}
"""For ably-js, which gives up after a 403, and tries again later after any other status."""


@dataclass(frozen=True, kw_only=True)
class TokenRequest(AuthorizationRequest):
    """A request for a token: its format, and the channel on which the answer depends.

    `format` is "request" for a signed request, which ably-js exchanges for a token; "jwt" for a
    token as text; "object" for a token in an object, with the other details that a client needs.
    """

    format: str
    decisive: str | None = None
    is_too_much: bool = False
    """More channels are requested than one client may have; the request has none then."""


class TokenTransport(BaseTransport):
    """A transport that authorizes Ably's clients."""

    authorizes_by_get = True
    authorizes_user_channels = True

    names: Names
    rest: RestClient
    clock: Callable[[], float]

    _master_key: bytes | None

    def set_up_tokens(self, credentials: Credentials, *, ttl: int, max_channels: int) -> None:
        """Sign tokens with a key; without one, no client can be authorized."""
        self._max_channels = max_channels
        self.supports_authorization = credentials.key is not None
        self.supports_user_authentication = credentials.key is not None
        self._key_name = credentials.name
        self._signer = Signer(credentials, ttl, lambda: self.clock())

    @opaque
    def read_authorization(self, data: Mapping[str, Any]) -> AuthorizationRequest:
        """Read the parameters of ably-js, or the request of @ably/laravel-echo.

        ``channel_names`` are several channels, as a list or as JSON. ``channel_name`` is one: if it
        is denied, there is no token. ``token`` is the client's current one, whose channels it keeps
        as far as the policies still allow. ``format`` is one of `FORMATS`. Names are canonical or
        Ably's. The client id and the capability that ably-js proposes are ignored.
        """
        single = [name for name in _strings(data, "channel_name") if name]
        if len(single) > 1:
            raise InvalidRequest("channel_name is one channel; use channel_names for several.")
        many = _strings(data, "channel_names") or _strings(data, "channel_names[]")
        held = read_channels(data.get("token"))
        (form,) = _strings(data, "format")[:1] or ["object" if "token" in data else "request"]
        if form not in FORMATS:
            raise InvalidRequest(f"format is one of {', '.join(FORMATS)}.")
        names = [self._read_name(name) for name in _flatten(many)]
        decisive = self._read_name(single[0]) if single else None
        kept = [name for name in map(self._find_name, held) if name]
        if decisive and _is_public(decisive):
            decisive = None
        asked = dict.fromkeys([*([decisive] if decisive else []), *names, *kept])
        # Every token has the public channels; no policy decides on them.
        channels = [name for name in asked if not _is_public(name)]
        is_too_much = len(channels) > self._max_channels
        if is_too_much:
            logger.warning(
                "A request for %d channels was denied by %r: 'max_channels' is %d.",
                len(channels),
                self,
                self._max_channels,
            )
        return TokenRequest(
            socket_id="",
            channels=() if is_too_much else tuple(channels),
            is_too_much=is_too_much,
            is_many=decisive is None,
            format=form,
            decisive=decisive,
        )

    @opaque
    def answer_authorization(
        self, asked: AuthorizationRequest, decisions: Sequence[Grant | Denial]
    ) -> Answer:
        """Answer a token for the granted and the public channels.

        The answer is 403 if the one requested channel is denied, or all of several, and if they are
        more than one client may have: after any other status, ably-js would ask again.
        """
        if not isinstance(asked, TokenRequest):
            raise InvalidRequest("This is not a token request.")
        if asked.is_too_much:
            message = f"A client may have {self._max_channels} channels."
            error = {**FORBIDDEN["error"], "message": message}
            return Answer(status=403, body={"error": error})
        grants = {
            each.channel: each
            for each in decisions
            if isinstance(each, Grant) and self._can_grant(each)
        }
        if asked.decisive is not None:
            refused = asked.decisive not in grants
        else:
            refused = bool(decisions) and not grants
        if refused or not _is_client_id(asked.user_id):
            return Answer(status=403, body=FORBIDDEN)
        return self._answer(asked, grants)

    def read_user_authentication(self, data: Mapping[str, Any]) -> str:
        """Return the format of the token; Ably's tokens do not depend on the connection."""
        (form,) = _strings(data, "format")[:1] or ["request"]
        if form not in FORMATS:
            raise InvalidRequest(f"format is one of {', '.join(FORMATS)}.")
        return form

    def answer_user_authentication(self, socket_id: str, identity: Identity) -> Answer:
        """Answer a token for the channel of the user, and for the public channels."""
        try:
            channel = user_channel(identity.user_id)
        except InvalidEvent as exc:
            logger.error("A user cannot sign in: %s", exc)
            return Answer(status=403, body=FORBIDDEN)
        asked = TokenRequest(
            socket_id="", channels=(channel,), format=socket_id, user_id=identity.user_id
        )
        return self._answer(asked, {channel: Grant(channel=channel, user_id=identity.user_id)})

    def revoke_tokens(self, user_id: str) -> None:
        """Revoke the tokens of a user: https://ably.com/docs/auth/revocation."""
        user_channel(user_id)  # raises if the id is invalid
        path = f"/keys/{quote(self._key_name, safe='')}/revokeTokens"
        answer = self.rest.post_batch(path, {"targets": [f"clientId:{user_id}"]})
        results = answer if isinstance(answer, list) else [answer]
        for result in results:
            for each in (result, *_results_in(result)):
                if isinstance(each, dict) and isinstance(each.get("error"), dict):
                    raise self.rest.make_error(each["error"], status=400)

    def channel_key(self, channel: str) -> bytes:
        """Return the key of an encrypted channel, which its subscribers receive."""
        if self._master_key is None:
            raise self._unsupported(f"encrypt for channel {channel!r}")
        return hashlib.sha256(channel.encode() + self._master_key).digest()

    # Within

    def _answer(self, asked: TokenRequest, grants: Mapping[str, Grant]) -> Answer:
        capability = {self.names.public: ["subscribe"]}
        for channel, grant in grants.items():
            capability[self.names.to_wire(channel)] = _operations(grant)
        text = json.dumps(dict(sorted(capability.items())), separators=(",", ":"))
        if asked.format == "request":
            return Answer(status=200, body=self._signer.token_request(text, asked.user_id))
        token = self._signer.jwt(text, asked.user_id)
        if asked.format == "jwt":
            return Answer(status=200, body=token, content_type="application/jwt")
        details = {channel: self._details(grant) for channel, grant in grants.items()}
        info = details[asked.decisive].get("info") if asked.decisive else None
        channels = {self.names.to_wire(channel): each for channel, each in details.items()}
        return Answer(status=200, body={"token": token, "info": info, "channels": channels})

    def _details(self, grant: Grant) -> dict[str, Any]:
        """Return the details of a channel that a client needs."""
        details: dict[str, Any] = {}
        if parse_channel_name(grant.channel).kind is ChannelKind.ENCRYPTED:
            details["cipher_key"] = base64.b64encode(self.channel_key(grant.channel)).decode()
        if grant.user_info is not None:
            details["info"] = json.loads(render(grant.user_info))
        return details

    def _can_grant(self, grant: Grant) -> bool:
        """Return whether a grant can be answered; if not, log the project's mistake."""
        kind = parse_channel_name(grant.channel).kind
        try:
            if kind is ChannelKind.ENCRYPTED and not self.supports_encryption:
                raise InvalidRequest("no master key is configured.")
            render(grant.user_info)
        except (InvalidEvent, InvalidRequest) as exc:
            logger.error("%s cannot be granted: %s", grant.channel, exc)
            return False
        return True

    def _read_name(self, name: str) -> str:
        """Return the canonical name; an invalid one is unchanged, and will be denied."""
        return self._find_name(name) or name

    def _find_name(self, name: str) -> str | None:
        try:
            return self.names.read(name)
        except InvalidEvent:
            return None


def _is_client_id(user_id: str | None) -> bool:
    """Return whether a user's id can be a client id: ``*`` would stand for any."""
    if user_id is None or (user_id != "*" and user_id.isprintable()):
        return True
    logger.error("The id of a user is not a valid client id of Ably: %.50r", user_id)
    return False


def _operations(grant: Grant) -> list[str]:
    operations = ["subscribe"]
    if parse_channel_name(grant.channel).kind is ChannelKind.PRESENCE:
        operations.insert(0, "presence")
    return ["publish", *operations] if grant.may_publish else operations


def _is_public(channel: str) -> bool:
    try:
        return parse_channel_name(channel).kind is ChannelKind.PUBLIC
    except InvalidEvent:
        return False


def _strings(data: Mapping[str, Any], name: str) -> list[str]:
    """Return the values of a field of a query, a form or JSON."""
    values = data.getlist(name) if hasattr(data, "getlist") else data.get(name)
    values = [] if values is None else [values] if isinstance(values, str) else values
    if not isinstance(values, list) or not all(
        isinstance(value, str) and is_unicode(value) for value in values
    ):
        raise InvalidRequest(f"{name} must be text.")
    return values


def _flatten(names: list[str]) -> list[str]:
    """Return names, some of which may be JSON: ably-js sends a list as one text."""
    found: list[str] = []
    for name in names:
        if not name.startswith("["):
            found.append(name)
            continue
        try:
            inner = json.loads(name)
        except (ValueError, RecursionError):
            inner = None
        if not isinstance(inner, list) or not all(
            isinstance(each, str) and is_unicode(each) for each in inner
        ):
            raise InvalidRequest("channel_names must be names, or JSON of a list of names.")
        found += inner
    return found


def _results_in(result: Any) -> list[Any]:
    inner = result.get("results") if isinstance(result, dict) else None
    return inner if isinstance(inner, list) else []
