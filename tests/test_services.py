"""The real services start, answer their real clients, and never outlive the tests."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.services import faults, redis
from tests.services.policy import REQUIRE_VARIABLE, require
from tests.services.process import ServerProcess, ServiceError, wait_until
from tests.services.pusher_http import PusherService
from tests.services.pusher_js import Endpoint, PusherJS, Refused
from tests.services.pusher_sdk import pusher_sdk
from tests.services.reporter import ReporterError
from tests.services.soketi import Soketi

pytest.importorskip("pusher")

pytestmark = pytest.mark.end_to_end


def authorizer(soketi: Soketi) -> Callable[[str, str], Any]:
    """Return a function which lets everybody into every channel."""

    def authorize(socket_id: str, channel: str) -> Any:
        with pusher_sdk(soketi) as sdk:
            return sdk.authenticate(channel, socket_id)

    return authorize


class TestSoketi:
    """Real clients and the real SDK meet on a real server."""

    def test_an_event_reaches_all_but_its_sender(
        self, soketi: Soketi, pusher_js: Callable[..., PusherJS]
    ) -> None:
        address = {"port": soketi.port, "key": soketi.key, "auth": authorizer(soketi)}
        sender, other = pusher_js(**address), pusher_js(**address)
        assert re.fullmatch(r"\d+\.\d+", sender.socket_id)
        assert sender.socket_id != other.socket_id
        for client in (sender, other):
            client.subscribe("private-orders")
        with pusher_sdk(soketi) as sdk:
            sdk.trigger("private-orders", "saved", {"id": 1}, sender.socket_id)
            sdk.trigger("private-orders", "done", {"id": 2})
        assert other.expect("saved") == {"id": 1}
        assert sender.expect("done", "private-orders") == {"id": 2}
        assert [event.name for event in sender.events] == ["done"]

    def test_a_client_event_reaches_the_others(
        self, soketi: Soketi, pusher_js: Callable[..., PusherJS]
    ) -> None:
        address = {"port": soketi.port, "key": soketi.key, "auth": authorizer(soketi)}
        one, two = pusher_js(**address), pusher_js(**address)
        for client in (one, two):
            client.subscribe("private-chat")
        one.trigger("private-chat", "client-typing", {"by": "one"})
        assert two.expect("client-typing") == {"by": "one"}

    def test_a_user_signs_in_and_is_reached(
        self, soketi: Soketi, pusher_js: Callable[..., PusherJS]
    ) -> None:
        with pusher_sdk(soketi) as sdk:
            client = pusher_js(
                port=soketi.port,
                key=soketi.key,
                user_auth=lambda socket_id: sdk.authenticate_user(socket_id, {"id": "7"}),
            )
            assert json.loads(client.signin()["user_data"]) == {"id": "7"}
            sdk.send_to_user("7", "hello", {"id": 1})
            assert client.wait_for(lambda report: report["name"] == "hello")["data"] == {"id": 1}

    def test_refusals_and_silence_say_what_was_seen(
        self, soketi: Soketi, pusher_js: Callable[..., PusherJS]
    ) -> None:
        client = pusher_js(
            port=soketi.port, key=soketi.key, auth={"private-a": {"auth": "forged:0"}}
        )
        with pytest.raises(Refused, match="private-a was refused"):
            client.subscribe("private-a")
        with pytest.raises(Refused, match="KeyError"):
            client.subscribe("private-b")
        with pytest.raises(ReporterError, match=f'(?s)No event.*"{client.socket_id}"'):
            client.expect("never", timeout=0.05)

    def test_a_token_may_come_from_an_endpoint(
        self,
        soketi: Soketi,
        pusher_js: Callable[..., PusherJS],
        pusher_service: PusherService,
    ) -> None:
        pusher_service.fail_next(faults.Status(403))
        endpoint = Endpoint(f"{pusher_service.url}/auth", headers={"X-CSRFToken": "t"})
        client = pusher_js(port=soketi.port, key=soketi.key, auth=endpoint)
        with pytest.raises(Refused, match="403"):
            client.subscribe("private-a")
        [request] = pusher_service.requests
        assert request.headers["x-csrftoken"] == "t"
        assert request.raw_body == (f"socket_id={client.socket_id}&channel_name=private-a".encode())


class TestProcesses:
    """Servers beside the tests start, answer, and never outlive them."""

    def test_postgres_answers(self, postgres_port: int) -> None:
        psycopg = pytest.importorskip("psycopg")
        dsn = f"postgresql://postgres@127.0.0.1:{postgres_port}/postgres"
        with psycopg.connect(dsn) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("off",)

    def test_redis_answers_and_is_empty_when_it_starts_again(self) -> None:
        client_library = pytest.importorskip("redis")
        require("Redis", redis.unavailable())
        with redis.Redis() as server, client_library.Redis.from_url(server.url) as client:
            client.set("key", "value")
            port = server.port
            server.stop()
            with pytest.raises(client_library.ConnectionError):
                client.get("key")
            server.start(port)
            assert client.get("key") is None

    def test_a_failed_start_quotes_the_server(self) -> None:
        server = ServerProcess("demo")
        with pytest.raises(ServiceError, match=r"(?s)demo ended with code 3 .*no such thing"):
            server.start(
                [sys.executable, "-c", "print('no such thing'); raise SystemExit(3)"],
                ready=lambda: False,
            )
        assert not server.folder.exists()

    def test_a_server_ends_with_the_process_that_started_it(self) -> None:
        script = (
            "import pathlib, signal, time\n"
            "from tests.services.process import ServerProcess\n"
            "server = ServerProcess('demo')\n"
            "ready = pathlib.Path(server.folder, 'ready')\n"
            "child = f'import os, pathlib, signal; pathlib.Path({str(ready)!r}).touch();'\n"
            "child += 'print(os.getpid(), flush=True); signal.pause()'\n"
            f"server.start([{sys.executable!r}, '-c', child], ready=ready.exists)\n"
            "print(server.folder, flush=True)\n"
            "signal.pause()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        ) as starter:
            assert starter.stdout is not None
            folder = starter.stdout.readline().strip()
            assert os.path.isdir(folder)
            starter.kill()
        assert starter.returncode == -signal.SIGKILL
        # It goes once the server has ended.
        wait_until(lambda: not os.path.exists(folder))

    def test_a_missing_service_skips_unless_it_is_required(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(REQUIRE_VARIABLE, raising=False)
        require("Thing", None)
        with pytest.raises(pytest.skip.Exception, match="Thing is needed: it is not there"):
            require("Thing", "it is not there")
        monkeypatch.setenv(REQUIRE_VARIABLE, "1")
        with pytest.raises(pytest.fail.Exception, match="forbids to skip"):
            require("Thing", "it is not there")
