"""Ably, whole: the example's API and endpoints, unchanged clients, and a realtime stand-in.

What is shown is what clients and the SDK say and take. The service itself is asked by
``tests/test_live_services.py``, where there is an account.
"""

from __future__ import annotations

import base64
import json
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.example_database import EXAMPLE, create_database, manage
from tests.processes import environment, run_server
from tests.services import node
from tests.services.ably_js import AblyEcho, AblyJS, Denied
from tests.services.ably_realtime import AblyRealtime
from tests.services.policy import require
from tests.services.process import wait_until
from tests.test_end_to_end import request

pytestmark = pytest.mark.end_to_end

ANN, BOB = "ann", "bob"
MASTER_KEY = base64.b64encode(b"k" * 32).decode()


class Project:
    """Hold the example as it runs, and the service to which it publishes."""

    def __init__(self, service: AblyRealtime, address: str, env: dict[str, str]) -> None:
        self.service = service
        self.todos = f"http://{address}/api/todos/"
        self.auth_url = f"http://{address}/realtime/auth/"
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


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    pytest.importorskip("ably")
    require("ably-js", node.unavailable())
    with AblyRealtime() as service:
        env = environment(
            EXAMPLE_DATABASE=str(tmp_path_factory.mktemp("example") / "db.sqlite3"),
            REALTIME="ably",
            ABLY_API_KEY=service.key,
            ABLY_ENDPOINT=service.host,
            ABLY_PORT=str(service.port),
            ABLY_TLS="false",
            ABLY_USE_TOKEN_AUTH="true",
            ABLY_ENCRYPTION_MASTER_KEY_BASE64=MASTER_KEY,
        )
        create_database(Path(env["EXAMPLE_DATABASE"]), is_seeded=True)
        with run_server(EXAMPLE, env=env) as server:
            yield Project(service, server.address, env)


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def by_url(project: Project, clients: ExitStack) -> Callable[..., AblyJS]:
    """Return a function that opens a page whose ably-js asks with `authUrl`."""

    def start(user: str | None, *channels: str, wait: bool = True, **options: Any) -> AblyJS:
        params = {"channel_names": json.dumps(channels), **options.pop("params", {})}
        client = AblyJS(
            port=project.service.port,
            options={
                "authUrl": options.pop("url", project.auth_url),
                "authHeaders": project.headers(user),
                "authParams": params,
                **options,
            },
        )
        clients.enter_context(client)
        if wait:
            client.until("connected")
        return client

    return start


@pytest.fixture
def by_callback(project: Project, clients: ExitStack) -> Callable[..., AblyJS]:
    """Return a function that opens a page whose ably-js asks with `authCallback`."""

    def start(user: str | None) -> AblyJS:
        callback = {"url": project.auth_url, "headers": project.headers(user)}
        client = clients.enter_context(AblyJS(port=project.service.port, callback=callback))
        client.until("connected")
        return client

    return start


@pytest.fixture
def echo(project: Project, clients: ExitStack) -> Callable[..., AblyEcho]:
    """Return a function that opens a page of @ably/laravel-echo."""

    def start(user: str) -> AblyEcho:
        return clients.enter_context(
            AblyEcho(
                port=project.service.port,
                auth_endpoint=project.auth_url,
                headers=project.headers(user),
            )
        )

    return start


@pytest.mark.parametrize("form", ["request", "jwt"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_open_pages_see_what_others_change_and_not_what_they_did(
    project: Project, by_url: Callable[..., AblyJS], form: str, method: str
) -> None:
    options = {"authMethod": method, "params": {"format": form}}
    mine, theirs = by_url(ANN, **options), by_url(None, **options)
    for client in (mine, theirs):
        client.subscribe("public:todos")
    made = request("POST", project.todos, {"title": "Käse 🧀"}, mine.socket_id)
    url = f"{project.todos}{made['id']}/"
    changed = request("PATCH", url, {"done": True}, mine.socket_id)
    last = request("POST", f"{url}complete/", {})
    assert theirs.expect("todo.create", "public:todos") == made
    assert theirs.expect("todo.update", "public:todos") == changed
    assert theirs.expect("todo.complete", "public:todos") == last
    assert mine.expect("todo.complete", "public:todos") == last
    assert mine.names() == ["todo.update", "todo.complete"]
    assert theirs.names() == ["todo.create", "todo.update", "todo.update", "todo.complete"]


def test_a_private_channel_is_for_whom_its_policy_lets_in(
    project: Project, by_url: Callable[..., AblyJS]
) -> None:
    channel = f"private-users.{project.ids[ANN]}"
    wire = channel.replace("private-", "private:")
    ann, bob = by_url(ANN, channel), by_url(BOB, channel, "presence-board")
    ann.subscribe(wire)
    with pytest.raises(Denied) as caught:
        bob.subscribe(wire)
    assert caught.value.code == 40160
    bob.subscribe("public:todos")  # the connection lives on
    with pytest.raises(Denied):
        ann.publish(wire, "typing", {})
    project.publish(("note", channel, {"text": "Käse 🧀"}))
    assert ann.expect("note", wire) == {"text": "Käse 🧀"}
    assert bob.names() == []


def test_a_client_that_is_refused_all_gives_up(
    project: Project, by_url: Callable[..., AblyJS]
) -> None:
    bob = by_url(BOB, f"private-users.{project.ids[ANN]}", wait=False)
    assert bob.until("failed")["reason"]["statusCode"] == 403
    assert len(bob.seen) == 2  # it connected, and failed


def test_a_client_that_may_come_back_does(project: Project, by_url: Callable[..., AblyJS]) -> None:
    class Flaky(AblyRealtime):
        """Fail a few times where tokens are asked for, as a project behind a throttle does."""

        def _act(self, request: Any) -> tuple[int, Any]:
            query = {"channel_names": request.query["channel_names"]}
            url = f"{project.auth_url}?{urllib.parse.urlencode(query)}"
            with urllib.request.urlopen(url, timeout=30) as answer:
                return 200, json.load(answer)

    from tests.services import faults

    for status in (401, 429, 500):
        with Flaky() as flaky:
            flaky.fail_next(faults.Status(status, "Not now"), times=2)
            client = by_url(None, "todos", url=f"{flaky.url}/token")
            states = [report["current"] for report in client.seen if report["type"] == "state"]
            assert states.count("disconnected") == 2
            assert "failed" not in states


def test_tokens_are_renewed_while_the_policies_agree(
    project: Project, by_url: Callable[..., AblyJS]
) -> None:
    channel = f"private-users.{project.ids[ANN]}"
    ann = by_url(ANN, channel)
    ann.subscribe(channel.replace("private-", "private:"))
    before = len(ann.seen)
    project.service.disconnect(40142)
    ann.until("connected", after=before)
    wait_until(
        lambda: (
            (str(project.ids[ANN]), channel.replace("private-", "private:"))
            in project.service.attached
        ),
        10,
    )
    project.publish(("note", channel, {"text": "still here"}))
    assert ann.expect("note", channel.replace("private-", "private:")) == {"text": "still here"}


def test_a_page_asks_for_channels_as_it_needs_them(
    project: Project, by_callback: Callable[..., AblyJS]
) -> None:
    ann = by_callback(ANN)
    user, notes = project.ids[ANN], f"private:encrypted-notes.{project.ids[ANN]}"
    for channel in (f"private:users.{user}", notes, f"user:{user}"):
        ann.subscribe(channel)
    with pytest.raises(Denied):
        ann.subscribe(f"private:users.{project.ids[BOB]}")
    project.publish(
        ("note", f"private-users.{user}", {"text": "Hello"}),
        ("secret", f"private-encrypted-notes.{user}", {"text": "Psst"}),
        ("badge", f"#server-to-user-{user}", {"unread": 3}),
    )
    assert ann.expect("note", f"private:users.{user}") == {"text": "Hello"}
    assert ann.expect("secret", notes) == {"text": "Psst"}
    assert ann.expect("badge", f"user:{user}") == {"unread": 3}


def test_users_see_each_other_come_and_go(project: Project, by_url: Callable[..., AblyJS]) -> None:
    ann, bob = by_url(ANN, "presence-board"), by_url(BOB, "presence-board")
    ann.subscribe("presence:board")
    assert ann.enter("presence:board", {"name": ANN}) == [str(project.ids[ANN])]
    both = [str(project.ids[name]) for name in (ANN, BOB)]
    assert sorted(bob.enter("presence:board", {"name": BOB})) == sorted(both)

    def saw(action: str) -> None:
        ann.wait_for(
            lambda report: (
                (report["type"], report["action"], report["client_id"])
                == ("presence", action, both[1])
            )
        )

    saw("enter")
    bob.close()
    saw("leave")


def test_laravel_echo_works_unchanged(project: Project, echo: Callable[..., AblyEcho]) -> None:
    mine, theirs = (f"users.{project.ids[name]}" for name in (ANN, BOB))
    ann, bob = echo(ANN), echo(BOB)
    for client in (ann, bob):
        client.subscribe("channel", "todos", events=("todo.create",))
    ann.subscribe("private", mine, events=("note",))
    with pytest.raises(Denied):
        ann.subscribe("private", theirs)
    ann.subscribe("join", "board")
    assert ann.expect("joining", "board") == {"name": "Ann"}
    bob.subscribe("join", "board")
    bob.leave("board")
    assert ann.expect("leaving", "board") == {"name": "Bob"}
    project.publish(("note", f"private-{mine}", {"text": "Hello"}))
    assert ann.expect("event", mine) == {"text": "Hello"}
    made = request("POST", project.todos, {"title": "mine"}, ann.socket_id)
    last = request("POST", project.todos, {"title": "seen by all"})
    assert bob.expect("event", "todos") == made
    assert ann.expect("event", "todos") == last
