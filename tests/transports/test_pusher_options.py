"""The options of the Pusher transport: what they mean, and the errors of wrong ones."""

from __future__ import annotations

import base64
import math
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from pytest_django import Settings

from realtime_drf import Event
from realtime_drf.exceptions import InvalidTransport, MissingDependency
from realtime_drf.transports import transports
from tests.services.pusher_http import PusherService
from tests.transports.conftest import MakePusher, options_for

if TYPE_CHECKING:
    from realtime_drf.transports.pusher import PusherTransport

pytest.importorskip("pusher")

CREDENTIALS = {"app_id": "4711", "key": "test-key", "secret": "test-secret"}


@pytest.fixture(autouse=True)
def _without_pusher_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PUSHER_URL", raising=False)


def make(**options: Any) -> PusherTransport:
    from realtime_drf.transports.pusher import PusherTransport

    return PusherTransport(**options)


def base_url(transport: PusherTransport) -> str:
    client = transport._client
    return f"{client.scheme}://{client.host}:{client.port}"


def configured(settings: Settings, **options: Any) -> Any:
    settings.REALTIME_TRANSPORTS = {
        "live": {
            "TRANSPORT": "realtime_drf.transports.pusher.PusherTransport",
            "OPTIONS": options,
        }
    }
    return transports["live"]


def url_of(service: PusherService) -> str:
    return (
        f"http://{service.key}:{service.secret}@{service.host}:{service.port}/apps/{service.app_id}"
    )


# Where an app lives


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ({}, "https://api.pusherapp.com:443"),
        ({"cluster": "eu"}, "https://api-eu.pusher.com:443"),
        ({"cluster": "eu", "ssl": False}, "http://api-eu.pusher.com:80"),
        ({"host": "ws.example.com"}, "https://ws.example.com:443"),
        ({"host": "ws.example.com", "port": 6001}, "https://ws.example.com:6001"),
        ({"host": "ws.example.com", "ssl": False}, "http://ws.example.com:80"),
        ({"host": "ws.example.com", "port": 6001, "ssl": False}, "http://ws.example.com:6001"),
        ({"app_id": 4711}, "https://api.pusherapp.com:443"),
        ({"cluster": ""}, "https://api.pusherapp.com:443"),
        ({"cluster": "eu", "host": "ws.example.com"}, "https://ws.example.com:443"),
        ({"host": "::1"}, "https://[::1]:443"),
        ({"host": "[::1]"}, "https://[::1]:443"),
        ({"host": "my_server"}, "https://my_server:443"),
    ],
    ids=repr,
)
def test_an_address_from_options(options: dict[str, Any], address: str) -> None:
    transport = make(**{**CREDENTIALS, **options})
    assert base_url(transport) == address
    assert transport.app_id == "4711"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://k:s@api-eu.pusher.com/apps/12", "https://api-eu.pusher.com:443"),
        ("http://k:s@api.pusherapp.com/apps/12", "http://api.pusherapp.com:80"),
        ("https://k:s@ws.example.com:6001/apps/12/", "https://ws.example.com:6001"),
        ("http://k:s@[::1]:6001/apps/12", "http://[::1]:6001"),
    ],
)
def test_an_address_from_a_url(monkeypatch: pytest.MonkeyPatch, url: str, address: str) -> None:
    assert base_url(make(url=url)) == address
    monkeypatch.setenv("PUSHER_URL", url)
    transport = make()
    assert (base_url(transport), transport.app_id) == (address, "12")


def test_credentials_of_a_url_may_be_escaped() -> None:
    client = make(url="https://k%3A%2F:s%40%23@example.com/apps/1")._client
    assert (client.key, client.secret) == ("k:/", "s@#")


def test_options_go_before_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://k:s@example.com/apps/1"
    assert base_url(make(url=url, port=6001, ssl=False)) == "http://example.com:6001"
    assert make(url=url, app_id=2).app_id == "2"
    assert base_url(make(url=url, cluster="us2")) == "https://api-us2.pusher.com:443"
    assert base_url(make(url="http://k:s@[::1]:6001/apps/1", cluster="eu")) == (
        "https://api-eu.pusher.com:443"
    )
    # And the environment, which may be meant for another program, last of all.
    monkeypatch.setenv("PUSHER_URL", url)
    assert base_url(make(**CREDENTIALS)) == "https://api.pusherapp.com:443"
    assert make(url="https://k:s@other.example.com/apps/3").app_id == "3"


@pytest.mark.parametrize("way", ["options", "url", "PUSHER_URL", "number"])
def test_an_app_is_reached_however_it_is_named(
    pusher_service: PusherService,
    make_pusher: MakePusher,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    url = url_of(pusher_service)
    match way:
        case "options":
            transport = make_pusher(pusher_service)
        case "number":
            transport = make_pusher(pusher_service, app_id=int(pusher_service.app_id))
        case "url":
            transport = make(url=url)
        case _:
            monkeypatch.setenv("PUSHER_URL", url)
            transport = make()
    transport.send([Event("a", "x")])
    transport.close()
    assert len(pusher_service.received) == 1


def test_it_waits_five_seconds_by_default() -> None:
    assert make(**CREDENTIALS)._client.timeout == 5
    assert make(**CREDENTIALS, timeout=0.5)._client.timeout == 0.5


def test_encryption_is_offered_with_a_master_key_only() -> None:
    assert not make(**CREDENTIALS).supports_encryption
    key = base64.b64encode(b"k" * 32).decode()
    assert make(**CREDENTIALS, encryption_master_key_base64=key).supports_encryption


def test_a_transport_shows_nothing_but_its_alias() -> None:
    transport = make(**CREDENTIALS, alias="live")
    assert repr(transport) == str(transport) == "<PusherTransport 'live'>"


# Errors of wrong options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "OPTIONS need 'app_id' and 'key' and 'secret' (or 'url', or the environment"),
        ({**CREDENTIALS, "secret": ""}, "OPTIONS need 'secret' (or"),
        ({**CREDENTIALS, "secret": b"bytes"}, "'secret' must be a str, not bytes"),
        ({**CREDENTIALS, "key": 7}, "'key' must be a str, not int"),
        ({**CREDENTIALS, "host": "https://example.com"}, "'host' holds a scheme"),
        ({**CREDENTIALS, "host": " example.com"}, "'host' is empty, or holds a blank or line end"),
        ({**CREDENTIALS, "host": "example.com\n"}, "'host' is empty, or holds a blank"),
        ({**CREDENTIALS, "host": "example.com:6001"}, "'host' holds a port"),
        ({**CREDENTIALS, "host": "[example.com]"}, "'host' holds characters that no"),
        ({**CREDENTIALS, "host": "[::1]:6001"}, "'host' holds a port"),
        ({**CREDENTIALS, "host": "user@example.com"}, "'host' holds a scheme, user or path"),
        ({**CREDENTIALS, "host": 7}, "'host' must be a str, not int"),
        ({**CREDENTIALS, "cluster": "eu "}, "'cluster' is the name of a cluster alone"),
        ({**CREDENTIALS, "cluster": "eu\n"}, "'cluster' is the name of a cluster alone"),
        ({**CREDENTIALS, "cluster": "api-eu.pusher.com"}, "a server of your own goes into 'host'"),
        ({**CREDENTIALS, "cluster": "https://api-eu.pusher.com"}, "'cluster' is the name"),
        ({**CREDENTIALS, "cluster": 7}, "'cluster' must be a str, not int"),
        ({**CREDENTIALS, "app_id": " 4711"}, "'app_id' begins or ends with a blank"),
        ({**CREDENTIALS, "key": "test-key\n"}, "'key' begins or ends with a blank or line end"),
        ({**CREDENTIALS, "secret": "test-secret\n"}, "'secret' begins or ends with a blank"),
        ({"url": "https://k:s@exa mple.com/apps/1"}, "'host' is empty, or holds a blank"),
        ({**CREDENTIALS, "port": 0}, "'port' must be a whole number from 1 to 65535, not "),
        ({**CREDENTIALS, "port": 70_000}, "'port' must be a whole number from 1 to 65535, not "),
        ({"key": "test-key", "secret": "test-secret"}, "OPTIONS need 'app_id' (or"),
        ({"url": "https://example.com/apps/1"}, "OPTIONS need 'key' and 'secret' (or"),
        (
            {**CREDENTIALS, "clutser": "eu"},
            "PusherTransport has no option 'clutser'; it has: app_id, cluster, encryption_master_",
        ),
        ({**CREDENTIALS, "clutser": "eu"}, "Did you mean 'cluster'?"),
        ({**CREDENTIALS, "app_id": "my-app"}, "'app_id' must be digits: Pusher's own"),
        ({**CREDENTIALS, "app_id": "١٢"}, "'app_id' must be digits: Pusher's own"),
        ({**CREDENTIALS, "port": "443"}, "'port' must be a whole number from 1 to 65535, not "),
        ({**CREDENTIALS, "ssl": "yes"}, "'ssl' must be True or False, not str"),
        ({**CREDENTIALS, "timeout": "5"}, "'timeout' must be a number above 0, not '5'."),
        ({**CREDENTIALS, "timeout": None}, "'timeout' must be a number above 0, not None."),
        ({**CREDENTIALS, "timeout": 0}, "'timeout' must be a number above 0, not 0."),
        ({**CREDENTIALS, "timeout": -1}, "'timeout' must be"),
        ({**CREDENTIALS, "timeout": True}, "'timeout' must be"),
        ({**CREDENTIALS, "timeout": math.nan}, "'timeout' must be"),
        ({**CREDENTIALS, "payload_limit": "9"}, "'payload_limit' must be a whole number above 0"),
    ],
    ids=repr,
)
def test_a_wrong_option_is_said_with_its_alias_and_the_mend(
    settings: Settings, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidTransport) as caught:
        configured(settings, **options)
    assert str(caught.value).startswith("REALTIME_TRANSPORTS['live']: ")
    assert words in str(caught.value)
    assert "test-secret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url",
    [
        "test-key:test-secret",
        "https://test-key:test-secret@/apps/1",
        "https://test-key:test-secret@example.com",
        "https://test-key:test-secret@example.com/apps/",
        "https://test-key:test-secret@example.com/apps/one",
        "https://test-key:test-secret@example.com/apps/1/events",
        "https://test-key:test-secret/with-a-slash@example.com/apps/1",
        "https://test-key:test-secret@example.com:port/apps/1",
        "https://test-key:test-secret@[example.com/apps/1",
        "ws://test-key:test-secret@example.com/apps/1",
    ],
)
@pytest.mark.parametrize("source", ["option 'url'", "environment variable PUSHER_URL"])
def test_a_wrong_url_is_named_and_not_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, url: str, source: str
) -> None:
    options = {"url": url} if source == "option 'url'" else {}
    if not options:
        monkeypatch.setenv("PUSHER_URL", url)
    with pytest.raises(InvalidTransport) as caught:
        configured(settings, **options)
    assert str(caught.value) == (
        f"REALTIME_TRANSPORTS['live']: {source} is not of the form "
        f"https://key:secret@host/apps/app_id, with an app_id of digits."
    )
    assert "test-" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "master_key", ["", "too-short", "bm90IDMyIGJ5dGVz", "not base64 at all!", "Ä" * 44]
)
def test_a_wrong_master_key_is_named_and_not_shown(settings: Settings, master_key: str) -> None:
    with pytest.raises(InvalidTransport, match="must be 32 bytes in base64") as caught:
        configured(settings, **CREDENTIALS, encryption_master_key_base64=master_key)
    if master_key:
        assert master_key not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("options", "is_warned_of"),
    [
        ({}, False),
        ({"ssl": False}, True),
        ({"host": "ws.example.com", "ssl": False}, True),
        ({"host": "10.0.0.7", "ssl": False}, True),
        ({"host": "127.0.0.1", "ssl": False}, False),
        ({"host": "::1", "ssl": False}, False),
        ({"host": "localhost", "ssl": False}, False),
    ],
    ids=repr,
)
def test_a_connection_that_others_can_read_is_not_for_production(
    options: dict[str, Any], is_warned_of: bool
) -> None:
    found = make(**CREDENTIALS, **options).check_deployment()
    assert [message.id for message in found] == ["realtime_drf.W024"] * is_warned_of


def test_a_missing_sdk_says_what_to_install(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pusher", None)
    with pytest.raises(MissingDependency) as caught:
        configured(settings, **CREDENTIALS)
    assert str(caught.value).startswith(
        "REALTIME_TRANSPORTS['live']: PusherTransport needs its SDK: "
        "pip install realtime-drf[pusher]"
    )


def test_options_of_a_configured_transport_reach_the_service(
    settings: Settings, pusher_service: PusherService
) -> None:
    transport = configured(settings, **options_for(pusher_service))
    transport.send([Event("a", "x")])
    transport.close()
    assert len(pusher_service.received) == 1
