"""A project that serves browsers notifies another, which sends nothing to channels without any.

The other project is the one of the tests: its Pusher transport is pointed at the server, and its
view takes the server's webhooks.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from django.core.cache import caches
from django.core.wsgi import get_wsgi_application
from pytest_django import Settings

from realtime_drf import Event, publish, signals
from realtime_drf.occupancy import occupancies, vacancy
from tests.server.tokens import channel_tokens
from tests.services.asgi_server import COMMANDS, AsgiServer
from tests.services.faults import Status
from tests.services.process import LOCALHOST, wait_until
from tests.services.pusher_js import PusherJS
from tests.services.webhook_receiver import WebhookReceiver

Serve = Callable[..., AsgiServer]
OpenBrowser = Callable[..., PusherJS]

pytest.importorskip("tenacity")

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def heard() -> Iterator[list[tuple[str, str, Any]]]:
    """Return what the signals of webhooks report, in their order."""
    seen: list[tuple[str, str, Any]] = []

    def note(signal: Any, channel: str, event: Any, **kwargs: Any) -> None:
        seen.append((event.kind, channel, dict(event.details)))

    names = ("channel_occupied", "channel_vacated", "member_added", "member_removed")
    watched = [getattr(signals, name) for name in (*names, "client_event", "subscription_count")]
    for each in watched:
        each.connect(note)
    yield seen
    for each in watched:
        each.disconnect(note)


class QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's
        pass


@pytest.fixture
def webhook_url() -> Iterator[str]:
    """Serve the project of the tests; return the URL of its view for webhooks."""
    with make_server(LOCALHOST, 0, get_wsgi_application(), handler_class=QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
        thread.start()
        yield f"http://{LOCALHOST}:{server.server_port}/webhooks/"
        server.shutdown()
        thread.join()


@pytest.fixture
def other_project(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Callable[[AsgiServer], None]:
    """Return a function that has this project send its events by a server of the tests."""
    pytest.importorskip("pusher")
    settings.ROOT_URLCONF = "realtime_drf.urls"
    # One machine has one clock; the service's may differ by seconds, which would be waited for.
    monkeypatch.setattr(vacancy, "SKEW", 0.0)
    monkeypatch.setattr(vacancy, "GRACE", 0.0)
    caches["default"].clear()

    def configure(server: AsgiServer) -> None:
        address = {"host": server.host, "port": server.port, "ssl": False}
        credentials = {"app_id": server.app_id, "key": server.key, "secret": server.secret}
        settings.REALTIME_TRANSPORTS = {
            "default": {
                "TRANSPORT": "realtime_drf.transports.pusher.PusherTransport",
                "OPTIONS": {**address, **credentials},
                "SKIP_VACANT": True,
            }
        }

    return configure


def test_another_project_learns_which_channels_are_vacant(
    serve: Serve,
    pusher_js: OpenBrowser,
    webhook_url: str,
    other_project: Callable[[AsgiServer], None],
    heard: list[tuple[str, str, Any]],
) -> None:
    server = serve(
        http_api=True,
        client_events=True,
        vacated_delay=0.1,
        webhooks=[{"url": webhook_url}],
    )
    other_project(server)

    def browser(user: str) -> PusherJS:
        return pusher_js(
            port=server.port, key=server.key, auth=channel_tokens(server, user, {"name": user})
        )

    ann, bob = browser("ann"), browser("bob")
    for client in (ann, bob):
        client.subscribe("presence-room")
    wait_until(lambda: len(heard) >= 3, 10)
    publish(Event("told", "presence-room", {"n": 1}))
    assert ann.expect("told") == {"n": 1}
    ann.trigger("presence-room", "client-typing", {"text": "…"})
    bob.expect("client-typing")
    bob.unsubscribe("presence-room")
    ann.unsubscribe("presence-room")
    wait_until(lambda: "channel_vacated" in [kind for kind, _, _ in heard], 10)
    kinds = [(kind, details.get("user_id")) for kind, _, details in heard]
    assert {channel for _, channel, _ in heard} == {"presence-room"}
    assert kinds[:4] == [
        ("channel_occupied", None),
        ("member_added", "ann"),
        ("member_added", "bob"),
        ("client_event", "ann"),
    ]
    assert sorted(kinds[4:], key=str) == [
        ("channel_vacated", None),
        ("member_removed", "ann"),
        ("member_removed", "bob"),
    ]
    known = occupancies["default"]
    wait_until(lambda: not known.filter([Event("told", "presence-room")]), 5)
    found = known._look_up(["presence-room"])
    assert found is not None
    assert found["presence-room"].vacated is not None, "it was told, and did not ask"
    ann.subscribe("presence-room")
    wait_until(lambda: known.filter([Event("told", "presence-room")]), 10)
    publish(Event("told", "presence-room", {"n": 2}))
    assert ann.expect("told") == {"n": 2}


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"runserver"}))
def test_what_waits_is_sent_before_the_process_ends(
    serve: Serve, pusher_js: OpenBrowser, name: str
) -> None:
    """It has failed once, and would be tried again in a second or two."""
    pytest.importorskip(name)
    with WebhookReceiver("served-key", "served-secret") as receiver:
        receiver.fail_next(Status(503))
        server = serve(name, webhooks=[{"url": receiver.webhook_url, "events": ["member_added"]}])
        client = pusher_js(
            port=server.port, key=server.key, auth=channel_tokens(server, "ann", {"name": "ann"})
        )
        client.subscribe("presence-room")
        receiver.wait_for(lambda: receiver.requests)
        server.signal(signal.SIGTERM)
        [event] = receiver.wait_for_events(1)
        assert event == {"name": "member_added", "channel": "presence-room", "user_id": "ann"}
