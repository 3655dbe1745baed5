"""Call Pusher's Node SDK for servers."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.services import node
from tests.services.pusher_sdk import PusherApp

_SCRIPT = node.NODE_FOLDER / "sdk.mjs"


def unavailable() -> str | None:
    """Return why the SDK cannot be run here, or None; install it where it is missing."""
    return node.unavailable()


def call_node_sdk(app: PusherApp, *calls: list[Any], **options: Any) -> list[Any]:
    """Make calls, each a method and its arguments, and return what they came to.

    `options` are the SDK's own and go first.
    """
    address = {"host": app.host, "port": str(app.port)}
    credentials = {"appId": app.app_id, "key": app.key, "secret": app.secret}
    done = subprocess.run(
        ["node", str(_SCRIPT)],
        input=json.dumps({**address, **credentials, **options, "calls": calls}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: list[Any] = json.loads(done.stdout)
    return results
