"""The base of the transports of Pusher's protocol: authorization, and payload sizes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from realtime_drf.events import Event
from realtime_drf.exceptions import InvalidEvent, InvalidRequest
from realtime_drf.grants import Answer, AuthorizationRequest, Denial, Grant, Identity
from realtime_drf.names import ChannelKind, parse_channel_name
from realtime_drf.pusher_protocol.signatures import (
    Signer,
    is_socket_id,
    read_authorization,
    read_socket_id,
)
from realtime_drf.tracebacks import opaque
from realtime_drf.transports.base import BaseTransport

__all__ = ["SigningTransport"]

logger = logging.getLogger("realtime_drf")

FORBIDDEN: Mapping[str, Any] = {"error": "Forbidden"}


class SigningTransport(BaseTransport):
    """A transport that authorizes clients of Pusher's protocol; a subclass sets its `signer`."""

    supports_exclusion = True
    supports_authorization = True
    supports_user_authentication = True

    signer: Signer

    def is_socket_id(self, socket_id: str) -> bool:
        return is_socket_id(socket_id)

    def wire_size(self, event: Event) -> int:
        """Return the bytes of the data as it is sent: encrypted where the channel is."""
        size = super().wire_size(event)
        if any(parse_channel_name(name).kind is ChannelKind.ENCRYPTED for name in event.channels):
            return _encrypted_size(size)
        return size

    def read_authorization(self, data: Mapping[str, Any]) -> AuthorizationRequest:
        """Read ``socket_id`` and ``channel_name``, or up to 100 ``channel_names``."""
        return read_authorization(data)

    @opaque
    def answer_authorization(
        self, asked: AuthorizationRequest, decisions: Sequence[Grant | Denial]
    ) -> Answer:
        """Answer 200 with a token, or 403; for many channels, 200 with a result of each."""
        results = {each.channel: self._result(asked.socket_id, each) for each in decisions}
        if asked.is_many:
            return Answer(status=200, body=results)
        (result,) = results.values()
        return Answer(status=result["status"], body=result.get("data", FORBIDDEN))

    def read_user_authentication(self, data: Mapping[str, Any]) -> str:
        return read_socket_id(data)

    @opaque
    def answer_user_authentication(self, socket_id: str, identity: Identity) -> Answer:
        try:
            return Answer(status=200, body=self.signer.user_token(socket_id, identity))
        except (InvalidEvent, InvalidRequest) as exc:
            logger.error("A user cannot sign in: %s", exc)
            return Answer(status=403, body=FORBIDDEN)

    def _result(self, socket_id: str, decision: Grant | Denial) -> dict[str, Any]:
        if isinstance(decision, Grant):
            try:
                return {"status": 200, "data": self.signer.channel_token(socket_id, decision)}
            except (
                InvalidEvent,
                InvalidRequest,
            ) as exc:  # of a policy's data, or a missing master key
                logger.error("%s cannot be granted: %s", decision.channel, exc)
        return {"status": 403}


def _encrypted_size(size: int) -> int:
    """Return the bytes of ``{"nonce": …, "ciphertext": …}`` for data of a size.

    The box adds 16 bytes; base64 makes 4 of each 3, and 32 of the nonce.
    """
    return len('{"nonce": "", "ciphertext": ""}') + 32 + 4 * -(-(size + 16) // 3)
