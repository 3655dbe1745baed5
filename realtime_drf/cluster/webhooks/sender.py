"""Webhooks that the server sends, as Pusher's protocol has them.

https://pusher.com/docs/channels/server_api/webhooks/
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import threading
import time
import weakref
from collections.abc import Sequence
from typing import Any, Final

from realtime_drf import __version__
from realtime_drf.cluster.webhooks.endpoints import Endpoint
from realtime_drf.cluster.webhooks.queue import DRAIN_TIMEOUT, DeliveryFailed, EndpointQueue
from realtime_drf.forks import PerProcess
from realtime_drf.http_connections import find_stale, pool_classes, time_left
from realtime_drf.pusher_protocol.signatures import Signer
from realtime_drf.tracebacks import opaque
from realtime_drf.webhook_events import WebhookEvent

MAX_RESPONSE_BYTES: Final = 65_536
"""Bytes of a response that are read and ignored, so that its connection can be used again."""

_posting = threading.local()


class _UrlFilter(logging.Filter):
    """Keeps a URL out of the log at level DEBUG while a thread posts to it: it may have a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(_posting, "is_on", False)


_url_filter: Final = _UrlFilter()

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class WebhookSender:
    """The sender of reports to the endpoints that want them, with a queue for each.

    Args:
        endpoints: where webhooks go.
        signer: signs with the key and secret of the app.
        tenacity, urllib3: the modules.
    """

    def __init__(
        self, endpoints: Sequence[Endpoint], signer: Signer, *, tenacity: Any, urllib3: Any
    ) -> None:
        self._count = len(endpoints)

        def make_queues() -> list[tuple[Endpoint, EndpointQueue]]:
            return [
                (each, EndpointQueue(each.name, Sender(each, signer, urllib3), tenacity=tenacity))
                for each in endpoints
            ]

        # What is waiting when a process forks is sent by the parent, from its own threads.
        self._queues = PerProcess(make_queues)
        atexit.register(_close_at_exit, weakref.ref(self))

    def __repr__(self) -> str:
        return f"<WebhookSender to {self._count} endpoints>"

    @property
    def dropped(self) -> int:
        """How many reports were not delivered, to all endpoints together."""
        return sum(queue.dropped for _, queue in self._queues.peek() or ())

    def put(self, events: Sequence[WebhookEvent]) -> None:
        """Queue reports, in this order; return at once."""
        for event in events:
            queues = [queue for endpoint, queue in self._queues.get() if endpoint.wants(event)]
            if queues:
                text = make_text(event)
                for queue in queues:
                    queue.put(text)

    def close(self, seconds: float = DRAIN_TIMEOUT) -> None:
        """Try what is waiting once more, to all endpoints at once, for at most so many seconds."""
        close_at = time.monotonic() + seconds
        queues = self._queues.peek() or ()
        for _, queue in queues:
            queue.flush(seconds)
        for _, queue in queues:
            queue.join(max(0.0, close_at - time.monotonic()))


def _close_at_exit(sender: weakref.ref[WebhookSender]) -> None:
    if (found := sender()) is not None:
        found.close()


class Sender:
    """A sender of signed reports to one endpoint."""

    def __init__(self, endpoint: Endpoint, signer: Signer, urllib3: Any) -> None:
        self._url = endpoint.url
        self._headers = endpoint.headers
        self._signer = signer
        self._urllib3 = urllib3
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=1)
        self._pool.pool_classes_by_scheme = pool_classes(urllib3)
        logging.getLogger("urllib3.connectionpool").addFilter(_url_filter)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @opaque
    def __call__(self, time_ms: int, texts: Sequence[bytes], timeout: float) -> None:
        """Make one request, and follow no redirect.

        Raises:
            DeliveryFailed: there was no response in time, or not one of success.
        """
        body = make_body(time_ms, texts)
        _posting.is_on = True
        try:
            status = self._post(body, timeout)
        except (self._urllib3.exceptions.HTTPError, OSError, ValueError) as exc:
            # Not its text, which may have the URL.
            raise DeliveryFailed(type(exc).__name__) from None
        finally:
            _posting.is_on = False
        if not 200 <= status < 300:
            raise DeliveryFailed(f"status {status}")

    def _post(self, body: bytes, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        try:
            return self._request(body, deadline)
        except self._urllib3.exceptions.HTTPError as exc:
            if find_stale(exc) is None:
                raise
        # A receiver can recognize the body, which is sent until it has arrived in any case.
        return self._request(body, deadline)

    def _request(self, body: bytes, deadline: float) -> int:
        response = self._pool.request(
            "POST",
            self._url,
            body=body,
            headers={**self._headers, **make_headers(self._signer, body)},
            timeout=self._urllib3.Timeout(total=time_left(deadline)),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        # Whatever becomes of the rest, there is a status. A response that is read to its end
        # returns the connection to the pool; any other closes it.
        with contextlib.suppress(self._urllib3.exceptions.HTTPError, OSError):
            response.read(MAX_RESPONSE_BYTES, decode_content=False)
        response.close()
        return int(response.status)


def make_text(event: WebhookEvent) -> bytes:
    """Return a report as JSON."""
    content = {"name": event.kind, "channel": event.channel, **event.details}
    # What is not valid in UTF-8 would have a receiver refuse the whole request.
    return _encode(content).encode(errors="replace")


def make_body(time_ms: int, texts: Sequence[bytes]) -> bytes:
    """Return the body of a webhook."""
    return b'{"time_ms":%d,"events":[%b]}' % (time_ms, b",".join(texts))


def make_headers(signer: Signer, body: bytes) -> dict[str, str]:
    """Return the headers of a webhook."""
    return {
        "Content-Type": "application/json",
        "User-Agent": f"realtime-drf/{__version__}",
        "X-Pusher-Key": signer.key,
        "X-Pusher-Signature": signer.sign(body),
    }
