"""The example does what it is there to show; it runs in processes with settings of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.pages import ROOT
from tests.processes import environment, run_server

EXAMPLE = ROOT / "example"

DRIVE_THE_API = """
import json
from django.test import Client
from django.test.utils import setup_test_environment
from realtime_drf.transports import transports

setup_test_environment()
client = Client()
made = client.post("/api/todos/", {"title": "Feed the cat"}).json()
url = f"/api/todos/{made['id']}/"
client.patch(url, {"done": True}, content_type="application/json", headers={"X-Socket-Id": "1.2"})
client.post(f"{url}complete/")
client.delete(url)
print(json.dumps([
    [event.name, event.channels, event.data["title"], event.data["done"], event.socket_id]
    for event in transports["default"].outbox
]))
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Return an environment with an empty database, the memory transport and nothing of ours."""
    return environment(EXAMPLE_DATABASE=str(tmp_path / "db.sqlite3"), REALTIME="memory")


def manage(*args: str, env: dict[str, str], stdin: str | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *args],
        cwd=EXAMPLE,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_changes_through_the_api_are_broadcast(env: dict[str, str]) -> None:
    manage("migrate", "--verbosity=0", env=env)
    events = json.loads(manage("shell", "--verbosity=0", "-c", DRIVE_THE_API, env=env))
    assert events == [
        ["todo.create", ["todos"], "Feed the cat", False, None],
        ["todo.update", ["todos"], "Feed the cat", True, "1.2"],
        ["todo.complete", ["todos"], "Feed the cat", True, None],
        ["todo.delete", ["todos"], "Feed the cat", True, None],
    ]


def test_seed_fills_an_empty_list_once(env: dict[str, str]) -> None:
    count = "from todos.models import Todo; print(Todo.objects.count())"
    manage("migrate", "--verbosity=0", env=env)
    assert manage("seed", env=env) == "Added 3 todos.\n"
    assert manage("seed", env=env) == "There are todos already.\n"
    assert manage("shell", "--verbosity=0", "-c", count, env=env) == "3\n"


@pytest.mark.parametrize("transport", ["console", "memory", "pusher"])
def test_checks_have_nothing_to_say(env: dict[str, str], transport: str) -> None:
    if transport == "pusher":
        pytest.importorskip("pusher")
    url = "http://key:secret@127.0.0.1:6001/apps/1"
    manage("check", "--fail-level=DEBUG", env={**env, "REALTIME": transport, "PUSHER_URL": url})


def test_pusher_is_configured_by_the_environment(env: dict[str, str]) -> None:
    pytest.importorskip("pusher")
    variables = {
        "REALTIME": "pusher",
        "PUSHER_APP_ID": "1",
        "PUSHER_KEY": "key",
        "PUSHER_SECRET": "secret",
        "PUSHER_HOST": "127.0.0.1",
        "PUSHER_PORT": "6001",
        "PUSHER_SSL": "false",
    }
    show = "from django.conf import settings; print(settings.REALTIME_TRANSPORTS['default'])"
    manage("check", env={**env, **variables})
    shown = manage("shell", "--verbosity=0", "-c", show, env={**env, **variables})
    assert "'port': 6001" in shown
    assert "'ssl': False" in shown


def test_migrations_are_complete(env: dict[str, str]) -> None:
    manage("makemigrations", "--check", "--dry-run", env=env)


def test_server_of_the_demo_prints_events(env: dict[str, str]) -> None:
    env = {**env, "REALTIME": "console"}
    manage("migrate", "--verbosity=0", env=env)
    with run_server(EXAMPLE, env=env) as server:
        request = urllib.request.Request(
            f"http://{server.address}/api/todos/", data=b"title=Feed+the+cat", method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            made = json.load(response)
        line = server.wait_for("todo.create")
    assert line.startswith("todo.create to todos {")
    assert json.loads(line.partition(" to todos ")[2]) == made


def test_page_for_people_shows_a_form(env: dict[str, str]) -> None:
    manage("migrate", "--verbosity=0", env=env)
    with run_server(EXAMPLE, env=env) as server:
        request = urllib.request.Request(
            f"http://{server.address}/", headers={"Accept": "text/html"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            page = response.read().decode()
    assert 'name="title"' in page
