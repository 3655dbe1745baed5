"""The example does what it is there to show; it runs in processes with settings of its own."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.example_database import EXAMPLE, create_database, manage
from tests.processes import environment, run_server
from tests.services import node
from tests.services.policy import require

pytestmark = pytest.mark.end_to_end

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
    [event.name, event.channels, event.data.get("title"), event.data.get("done"), event.socket_id]
    for event in transports["default"].outbox
]))
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Return an environment with an empty database, the memory transport and nothing of ours."""
    return environment(EXAMPLE_DATABASE=str(tmp_path / "db.sqlite3"), REALTIME="memory")


@pytest.fixture
def seeded(env: dict[str, str]) -> dict[str, str]:
    """Return an environment with the database of the demo."""
    create_database(Path(env["EXAMPLE_DATABASE"]), is_seeded=True)
    return env


def run_in_shell(script: str, env: dict[str, str]) -> Any:
    """Run Python inside the example; return what it prints, which is JSON."""
    return json.loads(manage("shell", "--verbosity=0", "-c", f"import json\n{script}", env=env))


def test_changes_through_the_api_are_broadcast(env: dict[str, str]) -> None:
    create_database(Path(env["EXAMPLE_DATABASE"]), is_seeded=False)
    events = json.loads(manage("shell", "--verbosity=0", "-c", DRIVE_THE_API, env=env))
    assert events == [
        ["list.create", ["todos"], None, None, None],  # there was none to put it in
        ["todo.create", ["todos"], "Feed the cat", False, None],
        ["todo.update", ["todos"], "Feed the cat", True, "1.2"],
        ["todo.update", ["todos"], "Feed the cat", True, None],
        ["todo.complete", ["todos"], "Feed the cat", True, None],
        ["todo.delete", ["todos"], None, None, None],
    ]


ASK_FOR_CHANNELS = """
import json
from django.contrib.auth.models import User
from rest_framework.test import APIClient
from django.test.utils import setup_test_environment
from todos.models import List

setup_test_environment()
ann, bob, cleo = User.objects.filter(is_staff=False).order_by("username")
names = ["presence-board", f"private-users.{ann.pk}", f"private-users.{bob.pk}",
         f"private-encrypted-notes.{ann.pk}", f"private-encrypted-notes.{bob.pk}",
         *(f"private-lists.{pk}" for pk in List.objects.values_list("pk", flat=True))]
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


def test_seed_broadcasts_nothing(env: dict[str, str]) -> None:
    create_database(Path(env["EXAMPLE_DATABASE"]), is_seeded=False)
    script = """
from django.core.management import call_command
from realtime_drf.transports import transports
call_command("seed", verbosity=0, stdout=open("/dev/null", "w"))
print(json.dumps([event.name for event in transports["default"].outbox]))
"""
    assert run_in_shell(script, env) == []


def test_seed_fills_an_empty_board_once(seeded: dict[str, str]) -> None:
    assert manage("seed", env=seeded) == "There is something on the board already.\n"
    assert run_in_shell(
        """
from django.contrib.auth import authenticate
from todos.models import List, Todo
print(json.dumps([
    [List.objects.filter(public=public).count() for public in (True, False)],
    Todo.objects.exists(),
    [str(authenticate(username=name, password="demo")) for name in ("ann", "bob", "cleo")],
    authenticate(username="admin", password="demo").is_superuser,
]))
""",
        seeded,
    ) == [[2, 3], True, ["ann", "bob", "cleo"], True]


def test_channels_are_for_those_who_sign_in(seeded: dict[str, str]) -> None:
    statuses = run_in_shell(ASK_FOR_CHANNELS, seeded)
    # Of the lists, two are public and have no channel of their own; the last is Bob's and Cleo's.
    assert statuses == [[200, 200, 403, 200, 403, 403, 403, 200, 200, 403], 200, [403] * 10, 403]


AS_PEOPLE = """
from django.test import Client
from django.test.utils import setup_test_environment
from realtime_drf.transports import transports
from todos.models import List, Todo
setup_test_environment()

def be(user=None):
    who = Client().post("/api/window/", {"user": user} if user else {}).json()
    return Client(headers={"Authorization": who["authorization"]}), who

def ask(client, *channels):
    answer = client.post("/realtime/auth/", {"socket_id": "1.1", "channel_names": channels})
    return [answer.json()[name] for name in channels]

def send(client, method, url, **data):
    return getattr(client, method)(
        url, data, content_type="application/json", headers={"X-Socket-Id": "1.1"}
    )

def events():
    sent = list(transports["default"].outbox)
    transports["default"].outbox.clear()
    return [[event.name, sorted(event.channels), event.data, event.socket_id] for event in sent]
"""


def test_a_window_is_whoever_it_says_it_is_or_a_guest_of_its_own(seeded: dict[str, str]) -> None:
    seen = run_in_shell(
        AS_PEOPLE
        + """
(ann, who), (guest, one), (_, other) = be("ann"), be(), be()
forged = Client(headers={"Authorization": who["authorization"] + "x"})
print(json.dumps([
    [who["name"], who["guest"], one["guest"], one["id"] != other["id"]],
    json.loads(ask(ann, "presence-board")[0]["data"]["channel_data"]),
    json.loads(ask(guest, "presence-board")[0]["data"]["channel_data"])["user_id"] == one["id"],
    ask(guest, "private-users.1", "private-lists.3"),
    [len(client.get("/api/lists/").json()) for client in (ann, guest, Client())],
    forged.get("/api/lists/").status_code,
    Client().post("/api/window/", {"user": "admin"}).status_code,
]))
""",
        seeded,
    )
    assert seen == [
        ["Ann", False, True, True],
        {"user_id": "1", "user_info": {"name": "Ann"}},
        True,
        [{"status": 403}] * 2,
        [4, 2, 2],
        403,
        400,
    ]


def test_a_private_list_is_told_to_its_members_alone(seeded: dict[str, str]) -> None:
    seen = run_in_shell(
        AS_PEOPLE
        + """
ann, cleo = be("ann")[0], be("cleo")[0]
made = send(ann, "post", "/api/lists/", name="Secret", members=[2]).json()
todo = send(ann, "post", "/api/todos/", title="Psst", list=made["id"]).json()
url = f"/api/todos/{todo['id']}/"
refused = [send(cleo, "patch", url, title="x"), send(cleo, "delete", f"/api/lists/{made['id']}/"),
           send(cleo, "post", "/api/todos/", title="x", list=made["id"]),
           send(Client(), "post", "/api/lists/", name="x"),
           send(ann, "delete", "/api/lists/1/")]
send(ann, "delete", f"/api/lists/{made['id']}/")
print(json.dumps([
    [[name, channels, sender] for name, channels, _, sender in events()],
    [answer.status_code for answer in refused],
]))
""",
        seeded,
    )
    users = ["private-users.1", "private-users.2"]
    assert seen == [
        [
            ["list.create", users, "1.1"],
            ["todo.create", ["private-lists.6"], "1.1"],
            ["todo.delete", ["private-lists.6"], None],
            ["list.delete", users, "1.1"],
        ],
        [404, 404, 400, 403, 404],
    ]


def test_those_who_lose_sight_of_a_todo_receive_its_key_alone(
    seeded: dict[str, str],
) -> None:
    seen = run_in_shell(
        AS_PEOPLE
        + """
ann = be("ann")[0]
send(ann, "patch", "/api/todos/1/", list=2, before=None)
send(ann, "patch", "/api/todos/1/", list=3, title="Secret")
print(json.dumps([
    [name, channels, data if "list" not in data else [data["list"], data["title"]]]
    for name, channels, data, _ in events()
]))
""",
        seeded,
    )
    title = "Ask the council for the road closure"
    assert seen == [
        ["todo.update", ["todos"], [2, title]],
        ["todo.delete", ["todos"], {"id": 1, "revision": 2}],
        ["todo.create", ["private-lists.3"], [3, "Secret"]],
    ]


def test_todos_stand_where_they_are_put(seeded: dict[str, str]) -> None:
    seen = run_in_shell(
        AS_PEOPLE
        + """
ann = be("ann")[0]
order = lambda: [todo.pk for todo in List.objects.get(pk=1).todos.all()]
seen = [order()]
send(ann, "patch", "/api/todos/4/", before=2)
seen.append(order())
send(ann, "patch", "/api/todos/1/", before=None)
seen.append(order())
seen.append(send(ann, "patch", "/api/todos/1/", before=5).status_code)  # of the other list
Todo.objects.filter(pk=4).update(position=1)
events()
send(ann, "patch", "/api/todos/1/", before=4)  # no room: the others make some, and are told of
seen += [order(), [[name, data["id"], sender] for name, _, data, sender in events()]]
print(json.dumps(seen))
""",
        seeded,
    )
    assert seen == [
        [1, 2, 3, 4],
        [1, 4, 2, 3],
        [4, 2, 3, 1],
        400,
        [1, 4, 2, 3],
        [*(["todo.update", pk, None] for pk in (2, 3, 4)), ["todo.update", 1, "1.1"]],
    ]


AS_ADMIN = (
    AS_PEOPLE
    + """
admin = Client(enforce_csrf_checks=True)

def post(url, **data):
    url = f"/admin/{url}"
    token = admin.get(url).context["csrf_token"]
    answer = admin.post(url, {"csrfmiddlewaretoken": str(token), **data})
    assert answer.status_code == 302, answer.content.decode()

def brief():
    return sorted([name, *channels, data.get("title"), data.get("by")]
                  for name, channels, data, _ in events())

post("login/", username="admin", password="demo")
"""
)


def test_changes_in_the_admin_are_broadcast(seeded: dict[str, str]) -> None:
    seen = run_in_shell(
        AS_ADMIN
        + """
seen = []
post("todos/todo/2/change/", title="Order more bunting", list=1)
seen.append(brief())
post("todos/todo/2/change/", title="Order it in secret", list=3)
seen.append(brief())
post("todos/todo/", action="mark_as_done", _selected_action=[3, 4])
seen.append(brief())
post("todos/todo/", action="delete_selected", _selected_action=[3, 4], post="yes")
seen.append(brief())
print(json.dumps(seen))
""",
        seeded,
    )
    assert seen == [
        [["todo.update", "todos", "Order more bunting", "Admin"]],
        [
            ["todo.create", "private-lists.3", "Order it in secret", "Admin"],
            ["todo.delete", "todos", None, None],
        ],
        [
            ["todo.update", "todos", "Find a second lemonade stand", "Admin"],
            ["todo.update", "todos", "Print the map of stalls", "Admin"],
        ],
        [["todo.delete", "todos", None, None]] * 2,
    ]


def test_a_list_in_the_admin_takes_its_todos_along(seeded: dict[str, str]) -> None:
    seen = run_in_shell(
        AS_ADMIN
        + """
inline = {"todos-TOTAL_FORMS": 2, "todos-INITIAL_FORMS": 1, "todos-0-id": 10, "todos-0-list": 4,
          "todos-0-title": "Fetch the cargo bike",
          "todos-1-list": 4, "todos-1-title": "Pump its tyres"}
post("todos/list/4/change/", name="Errands", members=[1, 2], **inline)
seen = [brief(), [todo.title for todo in List.objects.get(pk=4).todos.all()]]
post("todos/list/4/delete/", post="yes")
print(json.dumps([*seen, brief()]))
""",
        seeded,
    )
    lists = ["private-users.1", "private-users.2"]
    assert seen[1] == ["Fetch the cargo bike", "Pump its tyres"]
    assert ["todo.create", "private-lists.4", "Pump its tyres", "Admin"] in seen[0]
    assert seen[2] == [
        ["list.delete", *lists, None, None],
        *[["todo.delete", "private-lists.4", None, None]] * 2,
    ]


def test_a_window_beside_the_admin_is_somebody_else(seeded: dict[str, str]) -> None:
    """The cookie of the admin is sent with the requests of the board too, in the same browser."""
    seen = run_in_shell(
        AS_ADMIN
        + """
answer = admin.post("/api/window/", {"user": "ann"})
headers = {"Authorization": answer.json()["authorization"]}
todo = admin.post("/api/todos/", {"title": "Sweep"}, headers=headers)
print(json.dumps([answer.status_code, todo.status_code, todo.json()["by"]]))
""",
        seeded,
    )
    assert seen == [200, 201, "Ann"]


def test_the_todos_of_one_list_are_there_for_those_who_see_it(seeded: dict[str, str]) -> None:
    seen = run_in_shell(
        AS_PEOPLE
        + """
ann, cleo = be("ann")[0], be("cleo")[0]
def lists(client, query):
    return sorted({todo["list"] for todo in client.get(f"/api/todos/?list={query}").json()})
print(json.dumps([lists(ann, 1), lists(ann, 3), lists(cleo, 3), lists(cleo, "x")]))
""",
        seeded,
    )
    assert seen[:3] == [[1], [3], []]
    assert {1, 2} < set(seen[3])


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
    create_database(Path(env["EXAMPLE_DATABASE"]), is_seeded=False)
    with run_server(EXAMPLE, env=env) as server:
        request = urllib.request.Request(
            f"http://{server.address}/api/todos/", data=b"title=Feed+the+cat", method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            made = json.load(response)
        line = server.wait_for("todo.create")
    assert line.startswith("todo.create to todos {")
    assert json.loads(line.partition(" to todos ")[2]) == made


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"REALTIME": "console"}, None),
        (
            {"REALTIME": "channels"},
            {"key": "example", "wsHost": "127.0.0.1", "wsPort": 8000, "forceTLS": False},
        ),
        (
            {"REALTIME": "pusher", "PUSHER_KEY": "k", "PUSHER_CLUSTER": "eu"},
            {"key": "k", "cluster": "eu"},
        ),
        (
            {"REALTIME": "pusher", "PUSHER_KEY": "k", "PUSHER_HOST": "ws.test", "PUSHER_PORT": "7"},
            {"key": "k", "wsHost": "ws.test", "wssPort": 7, "forceTLS": True},
        ),
        (
            {"REALTIME": "pusher", "PUSHER_URL": "https://k:s@api-us2.pusher.com/apps/1"},
            {"key": "k", "cluster": "us2"},
        ),
        (
            {"REALTIME": "pusher", "PUSHER_URL": "http://k:s@127.0.0.1:6001/apps/1"},
            {"key": "k", "wsHost": "127.0.0.1", "wsPort": 6001, "forceTLS": False},
        ),
    ],
)
def test_browsers_are_told_where_to_connect(
    env: dict[str, str], variables: dict[str, str], expected: dict[str, Any] | None
) -> None:
    """The page's configuration alone is asked for: no transport is made, so no SDK is needed."""
    script = """
import django
from django.test import RequestFactory
from example.transport import get_client
django.setup()
client = get_client(RequestFactory().get("/", headers={"host": "127.0.0.1:8000"}))
import json
print(json.dumps(client and {"key": client["key"], **client["options"]}))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=EXAMPLE,
        env={**env, "DJANGO_SETTINGS_MODULE": "example.settings", **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    if expected is None:
        assert told is None
    else:
        assert expected.items() <= told.items()
        assert "s" not in told.values()


def test_an_unknown_transport_is_refused(env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=EXAMPLE,
        env={**env, "REALTIME": "pigeon"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "not 'pigeon'" in done.stderr


def test_page_of_the_board_is_served(env: dict[str, str]) -> None:
    create_database(Path(env["EXAMPLE_DATABASE"]), is_seeded=False)
    with run_server(EXAMPLE, env=env) as server:
        with urllib.request.urlopen(f"http://{server.address}/", timeout=30) as response:
            page = response.read().decode()
        script = re.search(r'<script type="module" src="([^"]+)"', page)
        assert script is not None
        with urllib.request.urlopen(f"http://{server.address}{script[1]}", timeout=30) as response:
            assert response.headers["Content-Type"].startswith("text/javascript")
        with urllib.request.urlopen(f"http://{server.address}/admin/", timeout=30) as response:
            assert "admin/css/base.css" in response.read().decode()
        style = f"http://{server.address}/static/admin/css/base.css"
        with urllib.request.urlopen(style, timeout=30) as response:
            assert response.headers["Content-Type"].startswith("text/css")
    assert "todos/board.css" in page
    assert "/admin/" in page


def test_the_page_keeps_up_in_whatever_order_things_arrive() -> None:
    assert json.loads(run_for_front_end("node", str(node.NODE_FOLDER / "board.mjs"))) == {
        "older_answers_do_not_undo_newer_events": ["c"],
        "what_was_deleted_does_not_come_back": [],
        "events_during_a_fetch_are_not_lost": ["new"],
        "a_fetch_that_fails_changes_nothing": ["a", "b"],
        "leaving_removes_from_the_channel_that_was_left_and_no_other": [
            [],
            ["a"],
            ["private-lists.2", "private-users.1", "todos"],
        ],
        "a_move_between_lists_of_one_channel_is_one_change": [[], ["a"]],
        "what_comes_back_is_shown_again": ["back"],
        "a_list_takes_its_todos_along": [["a"], [], ["private-users.1", "todos"]],
    }


def test_the_types_of_the_front_end_are_those_of_the_events(env: dict[str, str]) -> None:
    pytest.importorskip("drf_spectacular")
    output = ("--format", "typescript", "--output", "frontend/realtime.ts")
    manage("realtime_contract", *output, "--check", env=env)


def test_the_front_end_compiles() -> None:
    run_for_front_end("npm", "run", "types")


def test_the_script_in_the_repository_is_built_from_the_front_end(tmp_path: Path) -> None:
    run_for_front_end("npm", "run", "build", "--", "--outDir", str(tmp_path))
    kept = EXAMPLE / "todos" / "static" / "todos" / "board.js"
    assert kept.read_bytes() == (tmp_path / "board.js").read_bytes(), "npm run build, in example"


def run_for_front_end(*command: str) -> str:
    """Run a command in the example, with its packages of npm; return what it prints."""
    require("npm", node.unavailable(EXAMPLE))
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
