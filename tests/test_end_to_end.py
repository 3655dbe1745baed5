"""The main job, whole: DRF, this package, a real server of the protocol, an unchanged pusher-js."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.example_database import EXAMPLE, create_database
from tests.processes import environment, run_server
from tests.services.pusher_js import PusherJS
from tests.services.soketi import Soketi

pytestmark = pytest.mark.end_to_end


def request(method: str, url: str, data: Any = None, socket_id: str | None = None) -> Any:
    """Call the API as a browser does, which names its own connection."""
    headers = {"Content-Type": "application/json"}
    if socket_id:
        headers["X-Pusher-Socket-Id"] = socket_id
    body = None if data is None else json.dumps(data).encode()
    call = urllib.request.Request(url, data=body, headers=headers, method=method)
    with urllib.request.urlopen(call, timeout=30) as response:
        return json.loads(response.read() or "null")


def serve_with(soketi: Soketi, folder: Path, **variables: str) -> dict[str, str]:
    """Return the environment in which the example publishes to soketi, with an empty database."""
    return environment(
        EXAMPLE_DATABASE=str(folder / "db.sqlite3"),
        REALTIME="pusher",
        PUSHER_APP_ID=soketi.app_id,
        PUSHER_KEY=soketi.key,
        PUSHER_SECRET=soketi.secret,
        PUSHER_HOST=soketi.host,
        PUSHER_PORT=str(soketi.port),
        PUSHER_SSL="false",
        **variables,
    )


def test_open_browsers_see_what_others_change(
    soketi: Soketi, pusher_js: Callable[..., PusherJS], tmp_path: Path
) -> None:
    pytest.importorskip("pusher")
    env = serve_with(soketi, tmp_path)
    create_database(Path(env["EXAMPLE_DATABASE"]), is_seeded=False)
    mine = pusher_js(port=soketi.port, key=soketi.key)
    theirs = pusher_js(port=soketi.port, key=soketi.key)
    for client in (mine, theirs):
        client.subscribe("todos")

    with run_server(EXAMPLE, env=env) as server:
        todos = f"http://{server.address}/api/todos/"
        made = request("POST", todos, {"title": "Käse 🧀"}, mine.socket_id)
        url = f"{todos}{made['id']}/"
        changed = request("PATCH", url, {"done": True}, mine.socket_id)
        completed = request("POST", f"{url}complete/", {}, mine.socket_id)
        request("DELETE", url, socket_id=mine.socket_id)
        last = request("POST", todos, {"title": "seen by all"})

    assert theirs.expect("todo.create", "todos") == made
    assert theirs.expect("todo.update", "todos") == changed
    assert theirs.expect("todo.complete", "todos") == completed
    gone = {"id": made["id"], "revision": completed["revision"]}
    assert theirs.expect("todo.delete", "todos") == gone
    assert theirs.expect("todo.create", "todos") == last
    assert mine.expect("todo.create", "todos") == last
    ours = [event.name for event in mine.events if event.name.startswith("todo.")]
    assert ours == ["todo.update", "todo.create"]  # an action saves as any other code does
