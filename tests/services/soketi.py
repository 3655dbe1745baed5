"""Start soketi, a server of Pusher's protocol that real clients and the real SDK work with.

It is no oracle for error statuses, auth_timestamp, the limit on data, channel names on trigger, or
`info`: those are for the stand-in in `pusher_http`.
"""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from typing import Any

from tests.services import node
from tests.services.process import LOCALHOST, RetriedService, ServerProcess, free_port

_COMMAND = node.NODE_MODULES / "@soketi" / "soketi" / "bin" / "server.js"
_NODE_VERSIONS = (16, 18, 20)
_HOUR = 3_600_000


def unavailable() -> str | None:
    """Return why soketi cannot be started here, or None; install it where it is missing."""
    major = node.version()
    if major is not None and major not in _NODE_VERSIONS:
        return f"soketi has binaries for Node 16, 18 and 20 only, and this is Node {major}"
    return node.unavailable()


class Soketi(RetriedService):
    """A soketi with one app on a port of 127.0.0.1 while the `with` block runs.

    Where `webhook_url` is given, it reports there which channels are occupied and vacated.
    """

    host = LOCALHOST

    def __init__(
        self,
        *,
        app_id: str = "4242",
        key: str = "soketi-key",
        secret: str = "soketi-secret",
        webhook_url: str | None = None,
    ) -> None:
        self.app_id = app_id
        self.key = key
        self.secret = secret
        self.webhook_url = webhook_url
        self.port = 0

    def start(self) -> None:
        """Start the server; raise ServiceError when that fails."""
        node.install()
        self._retry(self._start_once)

    def _start_once(self) -> None:
        # It lingers after SIGTERM, waiting for connections that nobody will end.
        server = ServerProcess("soketi", grace=1.0)
        port = free_port()
        config = server.folder / "config.json"
        config.write_text(json.dumps(self._config(port)))
        try:
            server.start(
                ["node", _COMMAND, "start", f"--config={config}"], ready=lambda: _answers(port)
            )
        except BaseException:
            server.stop()
            raise
        self.port = port
        self._server = server

    def _config(self, port: int) -> dict[str, Any]:
        app = "appManager.array.apps.0"
        kinds = ["channel_occupied", "channel_vacated"]
        webhooks = [{"url": self.webhook_url, "event_types": kinds}] if self.webhook_url else []
        return {
            "host": LOCALHOST,
            "port": port,
            "metrics.host": LOCALHOST,
            "metrics.port": free_port(),
            # By default it broadcasts on the network to find others of its kind.
            "cluster.address": LOCALHOST,
            "cluster.hostname": LOCALHOST,
            "cluster.unicast": LOCALHOST,
            "cluster.port": free_port(socket.SOCK_DGRAM),
            "shutdownGracePeriod": 0,
            f"{app}.id": self.app_id,
            f"{app}.key": self.key,
            f"{app}.secret": self.secret,
            f"{app}.enableClientMessages": True,
            f"{app}.enableUserAuthentication": True,
            f"{app}.webhooks": webhooks,
            # With it enabled, soketi closes connections that have not signed in by then.
            "userAuthenticationTimeout": _HOUR,
        }


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOCALHOST}:{port}/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
