"""Calls to Ably's REST API with the SDK's synchronous client, and the errors they raise.

https://ably.com/docs/api/rest-api
"""

from __future__ import annotations

import base64
import importlib
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from realtime_drf.exceptions import (
    AccessRefused,
    ChannelUnavailable,
    EventRejected,
    PayloadTooLarge,
    TransportError,
    TransportUnavailable,
)
from realtime_drf.forks import PerProcess
from realtime_drf.http_connections import read_retry_after
from realtime_drf.tracebacks import opaque
from realtime_drf.transports.ably.network import Network
from realtime_drf.transports.redaction import REDACTED, Redactor

MAX_COOLDOWN: Final = 60.0
"""Seconds without calls that the service may ask for; longer pauses are cut to this."""

_EXPIRED_TOKEN = range(40140, 40150)
_NOT_CAPABLE = 40160
_TOO_LARGE = 40009
_BUSY_CHANNEL = (42911, 42913, 42914)
"""The rate limits of one connection, and of messages and bytes of one channel. 42910 and others are
the account's: https://ably.com/docs/platform/errors/codes."""

_CREDENTIALS = re.compile(r"(Basic|Bearer) [A-Za-z0-9+/=_\-.]+")

logger = logging.getLogger("realtime_drf")


class _CredentialsFilter(logging.Filter):
    """Redacts the credentials in headers that HTTP/2's library logs at level DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if (clean := _CREDENTIALS.sub(rf"\1 {REDACTED}", message)) != message:
            record.msg, record.args = clean, ()
        return True


class RestClient:
    """One client of the SDK a process, shared by its threads.

    Args:
        sdk: the module ``ably.sync``.
        options: of its ``AblyRestSync``.
        secrets: texts that no error may contain.
        timeout: seconds for a call, including all machines that are tried.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        sdk: Any,
        options: Mapping[str, Any],
        *,
        secrets: list[str],
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sdk = sdk
        self._options = options
        self.clock = clock
        encoded = [base64.b64encode(secret.encode()).decode() for secret in secrets]
        self._redactor = Redactor([*secrets, *encoded])
        self._not_before = 0.0
        self._network = Network(timeout)
        # Made when first needed, as it reads files, and proxies from the environment.
        self._clients = PerProcess(self._make_client)
        # The loggers of the SDK, which logs tokens, and of HTTP/2.
        for name in ("hpack.hpack", "hpack.table", "ably.sync.rest.auth"):
            theirs = logging.getLogger(name)
            if not any(isinstance(each, _CredentialsFilter) for each in theirs.filters):
                theirs.addFilter(_CredentialsFilter())
        logging.getLogger("ably.sync.rest.auth").setLevel(logging.INFO)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @property
    def client(self) -> Any:
        """The SDK's client of this process."""
        return self._clients.get()

    def close(self) -> None:
        """Close the connections; the next call makes a new client."""
        if (client := self._clients.take()) is not None:
            client.close()

    def read_environment(self) -> None:
        """Make a client, unless there is one; raise what the environment makes it raise."""
        if self._clients.peek() is None:
            self._make_client().close()

    @opaque
    def get(self, path: str) -> Any:
        """Return the service's answer."""
        return self.read(self._request("GET", path, None))

    @opaque
    def post(self, path: str, body: Any) -> Any:
        """Post a body and return the service's answer; raise the error of `make_error`."""
        return self.read(self._request("POST", path, body))

    @opaque
    def post_batch(self, path: str, body: Any) -> Any:
        """Post a batch and return the answer, even if a part of the batch failed."""
        response = self._request("POST", path, body)
        if response.status_code == 400:
            content = self._parse(response)
            if isinstance(content, dict) and "batchResponse" in content:
                return content["batchResponse"]
        return self.read(response)

    def read(self, response: Any) -> Any:
        """Return the content of an answer; raise an error if the answer is one."""
        if 200 <= response.status_code < 300:
            content = self._parse(response)
            if isinstance(content, Exception):
                raise TransportUnavailable(
                    f"Ably's answer could not be read: {type(content).__name__}."
                ) from content
            return content
        content = self._parse(response)
        error = content.get("error") if isinstance(content, dict) else None
        made = self.make_error(error, status=response.status_code)
        retry_after = read_retry_after(response.headers.get("Retry-After", ""))
        if isinstance(made, TransportUnavailable) and retry_after is not None:
            made.retry_after = min(retry_after, MAX_COOLDOWN)
            if not isinstance(made, ChannelUnavailable):
                self._not_before = self.clock() + made.retry_after
        raise made

    def make_error(self, error: Any, *, status: int = 500) -> TransportError:
        """Make our error from Ably's, with its status, code and message."""
        fields = error if isinstance(error, dict) else {}
        code = _integer(fields.get("code"), status * 100)
        status = _integer(fields.get("statusCode"), status)
        text = self._redactor.text(str(fields.get("message", "")))[:200]
        return _error_of_status(status, code, text)

    # The SDK

    def _make_client(self) -> Any:
        client = self._sdk.AblyRestSync(**self._options)
        try:
            self._network.prepare(client.http._HttpSync__client)
        except AttributeError as exc:  # neither the SDK nor httpx makes these public
            logger.warning(
                "This version of ably or httpx is not supported (%s). Events are still sent, but "
                "may be lost on a connection that was idle, or that threads share.",
                exc,
            )
        return client

    def _request(self, method: str, path: str, body: Any) -> Any:
        """Make a request with the SDK, and a second one if its token has expired.

        `ChannelSync.publish` is not used: it keeps an object of each channel forever, has no
        batches, and does not return the headers of an error.
        """
        if (left := self._not_before - self.clock()) > 0:
            error = TransportUnavailable(f"Ably has asked for no calls for {left:.0f} seconds.")
            error.retry_after = left
            raise error
        response = self._attempt(method, path, body)
        if response.status_code == 401 and self._can_renew():
            content = self._parse(response)
            fields = content.get("error") if isinstance(content, dict) else None
            if isinstance(fields, dict) and fields.get("code") in _EXPIRED_TOKEN:
                self._call(lambda client: client.auth.authorize())
                response = self._attempt(method, path, body)
        return response

    def _attempt(self, method: str, path: str, body: Any) -> Any:
        return self._call(
            lambda client: client.http.make_request(
                method, path, body=self._encode(body), raise_on_error=False
            )
        )

    def _encode(self, body: Any) -> bytes | None:
        if body is None:
            return None
        if self._options.get("use_binary_protocol"):
            # The library that the SDK packs with; the SDK would pack binary data as text.
            packed: bytes = importlib.import_module("msgpack").packb(body, use_bin_type=True)
            return packed
        return json.dumps(body, separators=(",", ":")).encode()

    def _call(self, function: Callable[[Any], Any]) -> Any:
        """Call the SDK, once more if a connection was stale: message ids make that safe."""
        try:
            client = self.client  # making it takes time, which is not the call's
            self._network.begin()
            try:
                return function(client)
            except Exception:
                self._network.drop_idle()
                if not self._network.may_try_again():
                    raise
                return function(client)
        except Exception as exc:  # noqa: BLE001  of the SDK, its HTTP client or a parser
            error = self._translate(exc)
            error.__cause__ = self._clean(exc)
        # Raised outside the handler, where the original would become its context.
        raise error

    def _translate(self, exc: Exception) -> TransportError:
        if isinstance(exc, self._sdk.util.exceptions.AblyException):
            fields = {"code": exc.code, "statusCode": exc.status_code, "message": exc.message}
            return self.make_error(fields)
        return TransportUnavailable(f"Ably could not be reached: {type(exc).__name__}.")

    def _clean(self, exc: Exception) -> BaseException:
        """Return a copy that may be shown: the original holds the request and its headers."""
        if isinstance(exc, self._sdk.util.exceptions.AblyException):
            text = self._redactor.text(str(exc.message))
            copy: BaseException = type(exc)(text, exc.status_code, exc.code)
            return copy.with_traceback(exc.__traceback__)
        return self._redactor.exception(exc)

    def _parse(self, response: Any) -> Any:
        """Return the content of an answer, or the parser's exception."""
        try:
            return response.to_native()
        except Exception as exc:  # noqa: BLE001  of JSON or msgpack, or for an unknown type
            return self._redactor.exception(ValueError(type(exc).__name__))

    def _can_renew(self) -> bool:
        return bool(self._options.get("use_token_auth") and self._options.get("key"))


def _integer(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _error_of_status(status: int, code: int, text: str) -> TransportError:
    """Make the error of a status. Only errors of an event quote the service."""
    if code in _BUSY_CHANNEL:
        return ChannelUnavailable(f"Ably answered {status} ({code}): a channel is too busy.")
    if status in (408, 429) or status >= 500 or 42900 <= code < 43000:
        return TransportUnavailable(f"Ably answered {status} ({code}).")
    if status == 413 or code == _TOO_LARGE:
        return PayloadTooLarge(f"Ably answered {status} ({code}): {text}")
    if code == _NOT_CAPABLE:
        return EventRejected(
            f"Ably answered {status} ({code}): the key or token may not do this on the channel."
        )
    if status in (400, 422):
        return EventRejected(f"Ably answered {status} ({code}): {text}")
    if status == 401:
        return AccessRefused(f"Ably answered 401 ({code}): check the key, the token and the clock.")
    if status == 403:
        return AccessRefused(
            f"Ably answered 403 ({code}): the account or app is disabled or over its limits."
        )
    return AccessRefused(f"Ably answered {status} ({code}): check endpoint, port and tls.")
