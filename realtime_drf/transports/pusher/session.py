"""The HTTP session of Pusher's SDK, which is one of `requests`."""

from __future__ import annotations

import ssl
import time
from typing import Any, Final

from realtime_drf.http_connections import find_stale, pool_classes, time_left

VARIABLES: Final = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
)
"""The environment variables that `requests` reads."""

POOL_SIZE: Final = 100
"""Idle connections to keep, for as many threads.

The default of the HTTP client is 10. With more threads it would open a connection for nearly every
event, and log a warning.
"""


def prepare(client: Any, urllib3: Any) -> None:
    """Make a client of the SDK trust certifi's authorities, and avoid stale connections."""
    # By itself, the SDK trusts a list of authorities of 2021 and no other. A redirect would turn
    # the POST into a GET with a signature for another path.
    client.http.options = {"verify": True, "allow_redirects": False}
    session = client.http.session
    # Without an auth of its own, a session would send what ~/.netrc has for the host.
    session.auth = _leave_unchanged
    base = type(session.get_adapter(f"{client.scheme}://"))
    adapter_class: Any = type(base.__name__, (_Adapter, base), {"urllib3": urllib3})
    session.mount(f"{client.scheme}://", adapter_class(pool_maxsize=POOL_SIZE))


def read_environment(client: Any) -> None:
    """Read the environment as a call would; raise what the call would raise."""
    session = client.http.session
    url = f"{client.scheme}://{client.host}:{client.port}/"
    found = session.merge_environment_settings(url, {}, stream=False, verify=True, cert=None)
    adapter = session.get_adapter(url)
    for scheme, proxy in found["proxies"].items():
        if scheme in ("all", client.scheme):
            adapter.proxy_manager_for(proxy if "://" in proxy else f"http://{proxy}")
    if isinstance(found["verify"], str) and client.ssl:
        ssl.create_default_context(cafile=found["verify"])


def _leave_unchanged(request: Any) -> Any:
    return request


_RequestsAdapter: Any = object


class _Adapter(_RequestsAdapter):  # type: ignore[misc]
    """An adapter whose calls take no longer than their timeout, a second try included.

    A mixin of requests' adapter.
    """

    urllib3: Any

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = pool_classes(self.urllib3)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):  # which has connections of its own
            manager.pool_classes_by_scheme = pool_classes(self.urllib3)
        return manager

    def send(self, request: Any, *, timeout: float, **kwargs: Any) -> Any:
        deadline = time.monotonic() + timeout
        try:
            return self._send(request, deadline, **kwargs)
        except OSError as exc:
            self.close()  # other idle connections may be stale too
            if not self._may_try_again(exc, request.method):
                raise
        return self._send(request, deadline, **kwargs)

    def _may_try_again(self, exc: OSError, method: str) -> bool:
        """Return whether the service cannot have processed a call, or a second one is harmless."""
        if isinstance(exc.__context__, self.urllib3.exceptions.ClosedPoolError):
            return True  # closed by another thread, whose call failed
        stale = find_stale(exc)
        return stale is not None and (method == "GET" or not stale.was_sent)

    def _send(self, request: Any, deadline: float, **kwargs: Any) -> Any:
        timeout = self.urllib3.Timeout(total=time_left(deadline))
        return super().send(request, timeout=timeout, **kwargs)
