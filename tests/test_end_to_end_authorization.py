"""Who may hear it, whole: the example's endpoints, a real server, unchanged pusher-js and Echo."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.example_database import EXAMPLE, create_database, manage
from tests.processes import UVICORN, environment, run_server
from tests.services.laravel_echo import LaravelEcho
from tests.services.pusher_js import Endpoint, PusherJS, Refused
from tests.services.soketi import Soketi
from tests.test_end_to_end import serve_with

pytestmark = pytest.mark.end_to_end

ANN, BOB = "ann", "bob"
ASGI = "example.asgi:application"


class Project:
    """Hold the example as it runs: whom its endpoints let in, and what it publishes."""

    def __init__(self, service: dict[str, Any], address: str, env: dict[str, str]) -> None:
        self.address = service
        self.auth_url = f"http://{address}/realtime/auth/"
        self.user_auth_url = f"http://{address}/realtime/user-auth/"
        self._env = env
        script = (
            "import json; from django.contrib.auth.models import User;"
            "print(json.dumps({user.username: user.pk for user in User.objects.all()}))"
        )
        self.ids: dict[str, int] = json.loads(self._shell(script))

    def headers(self, user: str | None) -> dict[str, str]:
        if user is None:
            return {}
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:demo".encode()).decode()}

    def publish(self, *events: tuple[str, str, Any]) -> None:
        """Publish events, each of name, channel and data, from a process of its own."""
        made = ", ".join(f"Event({name!r}, {where!r}, {data!r})" for name, where, data in events)
        self._shell(f"from realtime_drf import Event, publish; publish({made})")

    def _shell(self, script: str) -> str:
        return manage("shell", "--verbosity=0", "-c", script, env=self._env)


@contextlib.contextmanager
def on_soketi(request: pytest.FixtureRequest, folder: Path) -> Iterator[Project]:
    """The example with the Pusher transport, and another server of the protocol."""
    pytest.importorskip("pusher")
    soketi: Soketi = request.getfixturevalue("soketi")
    key = base64.b64encode(b"k" * 32).decode()
    env = serve_with(soketi, folder, PUSHER_ENCRYPTION_MASTER_KEY_BASE64=key)
    create_database(Path(env["EXAMPLE_DATABASE"]), is_seeded=True)
    with run_server(EXAMPLE, env=env) as server:
        yield Project({"port": soketi.port, "key": soketi.key}, server.address, env)


@contextlib.contextmanager
def on_channels(request: pytest.FixtureRequest, folder: Path, command: str) -> Iterator[Project]:
    """The example with the Channels transport, which serves its browsers itself."""
    pytest.importorskip("channels_redis")
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
    url = request.getfixturevalue("redis").url
    env = environment(
        EXAMPLE_DATABASE=str(folder / "db.sqlite3"),
        REALTIME="channels",
        DJANGO_SETTINGS_MODULE="tests.served.example",
        SERVED_LAYERS=json.dumps({"default": {"BACKEND": backend, "CONFIG": {"hosts": [url]}}}),
        SERVED_STORE=url,
    )
    create_database(Path(env["EXAMPLE_DATABASE"]), is_seeded=True)
    with run_server(EXAMPLE, env=env, command=command, application=ASGI) as server:
        port = int(server.address.rpartition(":")[2])
        yield Project({"port": port, "key": "example"}, server.address, env)


@pytest.fixture(scope="module", params=["soketi", "uvicorn"])
def project(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    pytest.importorskip("nacl")
    folder = tmp_path_factory.mktemp("example")
    if request.param == "soketi":
        with on_soketi(request, folder) as project:
            yield project
    else:
        with on_channels(request, folder, UVICORN) as project:
            yield project


@pytest.fixture
def browser(project: Project, pusher_js: Callable[..., PusherJS]) -> Callable[..., PusherJS]:
    """Return a function that opens a browser in which somebody, or nobody, has logged in."""

    def start(user: str | None) -> PusherJS:
        headers = project.headers(user)
        return pusher_js(
            **project.address,
            auth=Endpoint(project.auth_url, headers=headers),
            user_auth=Endpoint(project.user_auth_url, headers=headers),
        )

    return start


@pytest.fixture
def echo(project: Project, laravel_echo: Callable[..., LaravelEcho]) -> Callable[..., LaravelEcho]:
    """Return a function that opens a page of laravel-echo in which somebody has logged in."""

    def start(user: str) -> LaravelEcho:
        headers = project.headers(user)
        return laravel_echo(**project.address, auth_endpoint=project.auth_url, headers=headers)

    return start


def test_a_private_channel_is_for_whom_its_policy_lets_in(
    project: Project, browser: Callable[..., PusherJS]
) -> None:
    channel = f"private-users.{project.ids[ANN]}"
    ann = browser(ANN)
    ann.subscribe(channel)
    for other in (browser(BOB), browser(None)):
        with pytest.raises(Refused, match="403"):
            other.subscribe(channel)
    project.publish(("note", channel, {"text": "Käse 🧀"}))
    assert ann.expect("note", channel) == {"text": "Käse 🧀"}
    for name in ("private-unknown", "private-users.0", f"presence-users.{project.ids[ANN]}"):
        with pytest.raises(Refused, match="403"):
            ann.subscribe(name)


def test_users_see_each_other_come_and_go(
    project: Project, browser: Callable[..., PusherJS]
) -> None:
    channel = "presence-board"
    ann_id, bob_id = str(project.ids[ANN]), str(project.ids[BOB])
    ann, bob = browser(ANN), browser(BOB)
    assert ann.subscribe(channel) == {
        "count": 1,
        "members": {ann_id: {"name": "Ann"}},
        "me": {"id": ann_id, "info": {"name": "Ann"}},
    }
    members = bob.subscribe(channel)["members"]
    assert members == {ann_id: {"name": "Ann"}, bob_id: {"name": "Bob"}}
    came = {"id": bob_id, "info": {"name": "Bob"}}
    assert ann.expect("pusher:member_added", channel) == came
    bob.close()
    assert ann.expect("pusher:member_removed", channel) == came
    with pytest.raises(Refused, match="403"):
        browser(None).subscribe(channel)


def test_only_whom_the_policy_lets_in_can_decrypt(
    project: Project, browser: Callable[..., PusherJS]
) -> None:
    channel = f"private-encrypted-notes.{project.ids[ANN]}"
    ann = browser(ANN)
    ann.subscribe(channel)
    with pytest.raises(Refused, match="403"):
        browser(BOB).subscribe(channel)
    project.publish(("note", channel, {"text": "Psst"}))
    assert ann.expect("note", channel) == {"text": "Psst"}


def test_an_event_reaches_the_user_who_has_signed_in_and_no_other(
    project: Project, browser: Callable[..., PusherJS]
) -> None:
    ann, bob = browser(ANN), browser(BOB)
    for client, name in ((ann, ANN), (bob, BOB)):
        assert json.loads(client.signin()["user_data"])["id"] == str(project.ids[name])
    with pytest.raises(Refused, match="403"):
        browser(None).signin()
    project.publish(
        ("badge", f"#server-to-user-{project.ids[ANN]}", {"unread": 3}),
        ("last", f"#server-to-user-{project.ids[BOB]}", {}),
    )
    assert ann.expect_for_user("badge") == {"unread": 3}
    assert bob.expect_for_user("last") == {}
    assert [report["name"] for report in bob.seen if report["type"] == "user_event"] == ["last"]


def test_laravel_echo_works_unchanged(project: Project, echo: Callable[..., LaravelEcho]) -> None:
    mine, theirs = (f"users.{project.ids[name]}" for name in (ANN, BOB))
    ann, bob = echo(ANN), echo(BOB)
    ann.subscribe("private", mine, events=["note"])
    with pytest.raises(Refused, match="403"):
        ann.subscribe("private", theirs)
    ann.subscribe("join", "board")
    assert ann.expect("here", "board") == [{"name": "Ann"}]
    bob.subscribe("join", "board")
    assert ann.expect("joining", "board") == {"name": "Bob"}
    bob.leave("board")
    assert ann.expect("leaving", "board") == {"name": "Bob"}
    notes = f"notes.{project.ids[ANN]}"
    ann.subscribe("encryptedPrivate", notes, events=["note"])
    project.publish(
        ("note", f"private-{mine}", {"text": "Hello"}),
        ("note", f"private-encrypted-{notes}", {"text": "Psst"}),
    )
    assert ann.expect("event", mine) == {"text": "Hello"}
    assert ann.expect("event", notes) == {"text": "Psst"}
