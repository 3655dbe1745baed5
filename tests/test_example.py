"""The example does what it is there to show; it runs in processes with settings of its own."""

from __future__ import annotations

import base64
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


COUNT = """
from django.contrib.auth import authenticate
from todos.models import Todo
print(Todo.objects.count(), authenticate(username="ann", password="demo"),
      authenticate(username="bob", password="demo"))
"""

ASK_FOR_CHANNELS = """
import json
from django.contrib.auth.models import User
from rest_framework.test import APIClient
from django.test.utils import setup_test_environment

setup_test_environment()
ann, bob = User.objects.order_by("username")
names = ["presence-board", f"private-users.{ann.pk}", f"private-users.{bob.pk}",
         f"private-encrypted-notes.{ann.pk}", f"private-encrypted-notes.{bob.pk}"]
statuses = []
for user in (ann, None):
    client = APIClient()
    client.force_authenticate(user)
    answer = client.post(
        "/realtime/auth/", {"socket_id": "1.1", "channel_names": names}, format="json"
    )
    statuses.append([answer.json()[name]["status"] for name in names])
    statuses.append(client.post("/realtime/user-auth/", {"socket_id": "1.1"}).status_code)
print(json.dumps(statuses))
"""


def test_seed_fills_an_empty_list_once(env: dict[str, str]) -> None:
    manage("migrate", "--verbosity=0", env=env)
    assert manage("seed", env=env) == (
        "Added 3 todos.\nAdded the users ann and bob, whose password is demo.\n"
    )
    assert manage("seed", env=env) == "There are todos already.\nThere are users already.\n"
    assert manage("shell", "--verbosity=0", "-c", COUNT, env=env) == "3 ann bob\n"


def test_channels_are_for_those_who_sign_in(env: dict[str, str]) -> None:
    manage("migrate", "--verbosity=0", env=env)
    manage("seed", env=env)
    statuses = json.loads(manage("shell", "--verbosity=0", "-c", ASK_FOR_CHANNELS, env=env))
    assert statuses == [[200, 200, 403, 200, 403], 200, [403] * 5, 403]


@pytest.mark.parametrize("transport", ["console", "memory", "pusher"])
def test_checks_have_nothing_to_say(env: dict[str, str], transport: str) -> None:
    if transport == "pusher":
        pytest.importorskip("pusher")
    variables = {
        "REALTIME": transport,
        "PUSHER_URL": "http://key:secret@127.0.0.1:6001/apps/1",
        "PUSHER_ENCRYPTION_MASTER_KEY_BASE64": base64.b64encode(b"k" * 32).decode(),
    }
    manage("check", "--fail-level=DEBUG", env={**env, **variables})


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
