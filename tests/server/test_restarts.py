"""Processes are restarted as the documentation says, and clients hardly notice."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.services import nginx as nginx_service
from tests.services.asgi_server import AsgiServer
from tests.services.nginx import Nginx
from tests.services.policy import require
from tests.services.process import LOCALHOST, wait_until
from tests.services.pusher_js import PusherJS
from tests.services.redis import Redis

pytestmark = pytest.mark.end_to_end

pytest.importorskip("channels_redis")
pytest.importorskip("uvicorn")


class Visitor:
    """Make one request after the other, and count the statuses of the answers."""

    def __init__(self, port: int) -> None:
        self.statuses: Counter[int | str] = Counter()
        self._url = f"http://{LOCALHOST}:{port}/alive/"
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Visitor:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def wait(self) -> None:
        """Wait for twenty more answers."""
        wanted = self.statuses.total() + 20
        wait_until(lambda: self.statuses.total() >= wanted, 20)

    def _run(self) -> None:
        while not self._end.wait(0.02):
            try:
                with urllib.request.urlopen(self._url, timeout=10) as answer:
                    self.statuses[answer.status] += 1
            except urllib.error.HTTPError as exc:
                self.statuses[exc.code] += 1
            except OSError as exc:
                self.statuses[type(exc).__name__] += 1


def test_no_request_fails_while_one_process_after_the_other_is_restarted(
    redis: Redis, serve: Callable[..., AsgiServer]
) -> None:
    """Takes the time of four starts: less than the 10 s for which nginx could avoid a process."""
    require("nginx", nginx_service.unavailable())
    layer = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [redis.url]},
    }
    servers = [serve(layers={"default": layer}, store=redis.url) for _ in range(2)]
    with Nginx([server.port for server in servers]) as proxy, Visitor(proxy.port) as visitor:
        for server in servers:
            visitor.wait()
            server.stop()
            visitor.wait()
            server.start()
        visitor.wait()
    assert set(visitor.statuses) == {200}
    assert visitor.statuses.total() >= 100


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Listen as systemd does for a process that is yet to come."""
    with socket.socket() as listener:
        listener.bind((LOCALHOST, 0))
        listener.listen(100)
        yield listener


def test_clients_of_a_single_process_are_back_soon_where_the_socket_is_kept(
    serve: Callable[..., AsgiServer],
    pusher_js: Callable[..., PusherJS],
    listener: socket.socket,
) -> None:
    """Those whose connection fails, or is not answered, try again after 15 seconds."""
    server = serve(listener=listener)
    browser = pusher_js(port=server.port, key=server.key)
    before = len(browser.seen)
    server.stop()
    newcomer = pusher_js(port=server.port, key=server.key, wait=False)
    server.start()
    for each, since in ((newcomer, 0), (browser, before)):
        each.wait_for(lambda report: report["type"] == "connected", 12, after=since)
    for each in (browser, newcomer):
        each.subscribe("later")
    server.publish({"name": "told", "channels": ["later"], "data": 1})
    assert [each.expect("told") for each in (browser, newcomer)] == [1, 1]
