"""What HTTP clients read of the environment is looked at by the checks, and breaks no request."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.test import Client
from pytest_django import Settings

from realtime_drf import Event, publish
from realtime_drf.signals import publish_failed
from realtime_drf.transports import transports
from tests.services.http_connection import Request
from tests.services.process import LOCALHOST
from tests.services.pusher_http import PusherService
from tests.transports.conftest import MakePusher

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "pusher": {"app_id": "1", "key": "test-key", "secret": "test-secret", "cluster": "eu"},
    "ably": {"key": "app1.key1:test-secret", "fallback_hosts": []},
}
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        for case in (name, name.lower()):
            monkeypatch.delenv(case, raising=False)


@pytest.fixture
def failed() -> Iterator[list[Exception]]:
    """The errors that `publish_failed` reports."""
    found: list[Exception] = []

    def receiver(error: Exception, **kwargs: Any) -> None:
        found.append(error)

    publish_failed.connect(receiver)
    yield found
    publish_failed.disconnect(receiver)


def configure(settings: Settings, name: str, **options: Any) -> None:
    pytest.importorskip(name)
    settings.REALTIME_TRANSPORTS = {
        "default": {
            "TRANSPORT": f"realtime_drf.transports.{name}.{name.title()}Transport",
            "OPTIONS": {**OPTIONS[name], "timeout": 0.5, **options},
        }
    }


def find_messages() -> list[checks.CheckMessage]:
    return checks.run_checks(tags=["realtime_drf"])


BROKEN = [
    ("ably", "NO_PROXY", "localhost,[::1]"),
    ("ably", "NO_PROXY", "10.0.0.0/8,fd00::/8"),
    ("ably", "ALL_PROXY", "socks5://127.0.0.1:1"),
    ("ably", "HTTPS_PROXY", "http://user:pa55word@proxy:port"),
    ("ably", "HTTPS_PROXY", "ftp://user:pa55word@proxy:80"),
    ("ably", "SSL_CERT_FILE", "/nowhere.pem"),
    ("pusher", "ALL_PROXY", "socks5://127.0.0.1:1"),
    ("pusher", "HTTPS_PROXY", "http://user:pa55word@proxy:port"),
    ("pusher", "REQUESTS_CA_BUNDLE", "/nowhere.pem"),
    ("pusher", "CURL_CA_BUNDLE", "/nowhere.pem"),
]


@pytest.mark.parametrize(("name", "variable", "value"), BROKEN)
def test_a_broken_environment_is_a_check_error_and_breaks_no_request(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failed: list[Exception],
    name: str,
    variable: str,
    value: str,
) -> None:
    configure(settings, name)
    monkeypatch.setenv(variable, value)
    [message] = find_messages()
    assert message.id == "realtime_drf.E001"
    assert message.msg.startswith(
        "REALTIME_TRANSPORTS['default']: the HTTP client cannot use its environment: "
    )
    assert variable in (message.hint or "")
    publish(Event("a", "x"))
    [error] = failed
    assert type(error).__name__ == "TransportUnavailable"
    said = "".join(traceback.format_exception(error))
    for text in (message.msg, str(message.hint), said, caplog.text):
        assert "pa55word" not in text
    # What asks the service nothing works: tokens are signed here.
    settings.ROOT_URLCONF = "realtime_drf.urls"
    data = {"pusher": {"socket_id": "1.2", "channel_name": "x"}, "ably": {"channel_names": "[]"}}
    assert Client().post("/auth/", data[name]).status_code < 500


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NO_PROXY": "*", "HTTPS_PROXY": "http://127.0.0.1:1"},
        {"NO_PROXY": "localhost,.example.com", "HTTPS_PROXY": "http://user:word@127.0.0.1:1"},
        {"HTTPS_PROXY": "127.0.0.1:1"},
    ],
    ids=repr,
)
def test_an_environment_that_can_be_used_is_none_to_speak_of(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, environment: dict[str, str]
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    configure(settings, name)
    assert find_messages() == []


@pytest.mark.parametrize("name", OPTIONS)
def test_making_a_transport_opens_no_file_and_asks_nobody(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    configure(settings, name)
    transports["default"]  # whatever is imported for it
    settings.REALTIME_TRANSPORTS = {}
    configure(settings, name)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        pytest.fail(f"it used {args}")

    for module, function in (
        ("ssl", "SSLContext"),
        ("builtins", "open"),
        ("socket", "getaddrinfo"),
        ("urllib.request", "getproxies"),
    ):
        monkeypatch.setattr(f"{module}.{function}", refuse)
    made = transports["default"]
    monkeypatch.undo()
    assert repr(made).endswith("'default'>")


@pytest.mark.parametrize("name", OPTIONS)
def test_a_proxy_of_the_environment_is_used(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with socket.create_server((LOCALHOST, 0)) as proxy:
        proxy.settimeout(5)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        configure(settings, name)
        publish(Event("a", "x"))
        connection, _ = proxy.accept()
        with connection:
            assert connection.recv(20).startswith(b"CONNECT ")


def test_no_password_of_netrc_is_sent(
    make_pusher: MakePusher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password of-something-else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with PusherService() as service:
        make_pusher(service).send([Event("a", "x")])
        seen: list[Request] = service.requests
    assert [request.headers.get("authorization") for request in seen] == [None]
