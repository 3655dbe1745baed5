"""Run the Python of one page of the documentation, inside the project that the quickstart makes.

    python -m tests.run_page docs/publishing.md

The blocks run in order in one namespace. A block headed ``# mysite/settings.py`` is put in force
once ``manage.py check`` has nothing against it. Backends of a block are gone with the next visible
one. The namespace has `sent`, which returns what the default transport has sent since last asked,
`service`, which stands in for Pusher's HTTP API, and `ably`, which does so for Ably's.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import django
from django.core.checks import run_checks
from django.test.utils import override_settings, setup_test_environment

from tests.pages import Block, read_blocks
from tests.services.ably_http import AblyService

MEMORY = {"TRANSPORT": "realtime_drf.transports.memory.MemoryTransport"}


class Service(ThreadingHTTPServer):
    """Answer as Pusher would to requests that are in order, and remember them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, str, Any]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def options(self) -> dict[str, Any]:
        """Return the transport's options that lead here."""
        return {"host": "127.0.0.1", "port": self.server_port, "ssl": False}


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Any) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append((self.command, path, body))
        answer: dict[str, Any] = {}
        if path.endswith("/channels"):
            answer = {"channels": {"presence-room": {"user_count": 2}}}
        elif "/channels/" in path:
            answer = {"occupied": True, "user_count": 2}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


def run(page: Path) -> None:
    """Run the blocks of a page."""
    from realtime_drf.backends import registry
    from realtime_drf.transports import transports

    def sent() -> list[Any]:
        outbox = cast(Any, transports["default"]).outbox
        events = list(outbox)
        outbox.clear()
        return events

    service, ably = Service(), AblyService(secret="my-secret")
    ably.start()
    namespace: dict[str, Any] = {
        "__name__": "page",
        "sent": sent,
        "service": service,
        "ably": ably,
    }
    override_settings(REALTIME_TRANSPORTS={"default": MEMORY}).enable()
    at_start = [type(backend) for backend in registry]
    for block in read_blocks(page):
        if block.language != "python":
            continue
        if not block.hidden:
            for backend in [type(backend) for backend in registry]:
                if backend not in at_start:
                    registry.unregister(backend)
        if block.file == "mysite/settings.py":
            _put_in_force(block, service, ably)
        elif block.file is None:
            exec(cast(Any, block.compile()), namespace)
        # Other files were written into the project before this started.


def _put_in_force(block: Block, service: Service, ably: AblyService) -> None:
    namespace: dict[str, Any] = {"os": os, "INSTALLED_APPS": [], "MIDDLEWARE": []}
    exec(cast(Any, block.compile()), namespace)
    values = {name: value for name, value in namespace.items() if name.isupper()}
    del values["INSTALLED_APPS"], values["MIDDLEWARE"]
    if any(name.startswith("PUSHER_") for name in values):
        from django.conf import settings

        del settings.REALTIME_TRANSPORTS
    override_settings(**values).enable()
    # A block need not say once more which application serves browsers.
    messages = [
        each
        for each in run_checks(tags=["realtime_drf"])
        if not (each.is_silenced() or each.id == "realtime_drf.W014")
    ]
    assert not messages, f"{block}: {messages}"
    for entry in values.get("REALTIME_TRANSPORTS", {}).values():
        if entry["TRANSPORT"].endswith("PusherTransport"):
            entry["OPTIONS"] = {**entry.get("OPTIONS", {}), **service.options()}
        if entry["TRANSPORT"].endswith("AblyTransport"):
            local = {"endpoint": ably.host, "port": ably.port, "tls": False}
            entry["OPTIONS"] = {**entry["OPTIONS"], **local, "use_token_auth": True}
    override_settings(**values).enable()


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
    sys.path.insert(0, os.getcwd())
    django.setup()
    setup_test_environment()
    run(Path(sys.argv[1]).resolve())
