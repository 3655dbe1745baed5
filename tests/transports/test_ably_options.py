"""Options of the Ably transport: what they do, and the errors of wrong ones."""

from __future__ import annotations

import base64
import math
import sys
import traceback
from typing import Any

import pytest
from django.core import checks
from hypothesis import given
from pytest_django import Settings

from realtime_drf import Event
from realtime_drf.channels import EncryptedChannel, PublicChannel, UserChannel
from realtime_drf.exceptions import InvalidEvent, InvalidTransport, MissingDependency
from realtime_drf.names import ChannelKind, parse_channel_name
from realtime_drf.testing.strategies import channel_names
from realtime_drf.transports import transports
from realtime_drf.transports.ably.names import Names
from tests.services.ably_http import AblyService
from tests.transports.ably_setup import MakeAbly

pytest.importorskip("ably")

KEY = "app1.key1:test-secret"
PATH = "realtime_drf.transports.ably.AblyTransport"


def make(**options: Any) -> Any:
    from realtime_drf.transports.ably import AblyTransport

    return AblyTransport(**options)


def configured(settings: Settings, alias: str = "live", **options: Any) -> Any:
    settings.REALTIME_TRANSPORTS = {alias: {"TRANSPORT": PATH, "OPTIONS": options}}
    return transports[alias]


# Names


@given(channel_names(ChannelKind))
def test_names_come_back_as_they_went(channel: str) -> None:
    for names in (Names(), Names("blog:"), Names("a:b:")):
        wire = names.to_wire(channel)
        assert names.from_wire(wire) == channel
        assert names.read(wire) == names.read(channel) == channel
        # What no name of Ably's may hold, and what would be a wildcard in a capability.
        assert wire[0] not in "[:"
        assert not set("\n*") & set(wire)
        # As the client libraries write them.
        kind = parse_channel_name(channel).kind
        word = wire.removeprefix(names.prefix).partition(":")[0]
        private = {ChannelKind.PRIVATE, ChannelKind.ENCRYPTED}
        assert word == (
            "private" if kind in private else "user" if kind is ChannelKind.USER else kind.value
        )


@pytest.mark.parametrize(
    ("channel", "wire"),
    [
        ("private-lists.5", "private:lists.5"),
        ("presence-room", "presence:room"),
        ("todos", "public:todos"),
        ("cache-x", "public:cache-x"),
        ("private-encrypted-x", "private:encrypted-x"),
        ("presence-cache-x", "presence:cache-x"),
        ("#server-to-user-7", "user:7"),
        ("privately", "public:privately"),
    ],
)
def test_names_are_those_of_the_field(channel: str, wire: str) -> None:
    assert Names().to_wire(channel) == wire
    assert Names("blog:").to_wire(channel) == f"blog:{wire}"


@pytest.mark.parametrize(
    "wire",
    [
        "",
        "todos",
        "public:",
        "public:private-x",
        "public:presence-x",
        "public:#server-to-user-7",
        "private:",
        "private:a b",
        "private:*",
        "private:a:b",
        "other:x",
        "[meta]log",
        "blog:private:x",
    ],
)
def test_what_is_none_of_our_names_is_refused(wire: str) -> None:
    with pytest.raises(InvalidEvent):
        Names().from_wire(wire)


# What options do


def test_the_key_may_stand_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, ably_tls: AblyService
) -> None:
    monkeypatch.setenv("ABLY_API_KEY", ably_tls.key)
    transport = make(endpoint="localhost", tls_port=ably_tls.port)
    transport.send([Event("a", "x")])
    transport.close()
    assert len(ably_tls.received) == 1
    assert transport.app_id == "app1"
    assert make(key="app2.key:s").app_id == "app2"
    assert make(token="x" * 20).app_id == ""


def test_a_prefix_stands_before_each_name(ably_service: AblyService, make_ably: MakeAbly) -> None:
    make_ably(ably_service, prefix="blog:").send([Event("a", ["x", "private-y"])])
    assert [each.channel for each in ably_service.received] == ["blog:public:x", "blog:private:y"]


def test_it_waits_five_seconds_by_default() -> None:
    options = make(key=KEY).rest.client.options
    assert (options.http_open_timeout, options.http_request_timeout) == (5, 5)
    assert options.http_max_retry_duration == 5
    assert make(key=KEY, timeout=0.5).rest.client.options.http_open_timeout == 0.5


def test_ably_is_where_it_goes_by_default() -> None:
    hosts = make(key=KEY).rest.client.options.get_hosts()
    assert hosts[0] == "main.realtime.ably.net"
    assert len(hosts) == 3  # with two of the fallbacks
    assert make(key=KEY, fallback_hosts=[]).rest.client.options.get_hosts() == hosts[:1]
    for endpoint, host in (
        ("nonprod:sandbox", "sandbox.realtime.ably-nonprod.net"),
        ("acme", "acme.realtime.ably.net"),
        ("::1", "[::1]"),
    ):
        assert make(key=KEY, endpoint=endpoint).rest.client.options.get_hosts()[0] == host


def test_a_connection_that_others_can_read_is_not_for_production() -> None:
    def ids(**options: Any) -> list[str | None]:
        transport = make(key=KEY, use_token_auth=True, **options)
        return [message.id for message in transport.check_deployment()]

    assert ids() == ids(tls=False, endpoint="localhost") == []
    assert ids(tls=False) == ids(tls=False, endpoint="example.com") == ["realtime_drf.W024"]


def test_abilities_depend_on_what_it_is_given() -> None:
    with_key, with_token = make(key=KEY), make(token="x" * 20)
    for ability in ("authorization", "user_authentication", "webhooks", "disconnecting_users"):
        assert getattr(with_key, f"supports_{ability}")
        assert not getattr(with_token, f"supports_{ability}")
    assert make(token="x" * 20, webhook_keys={"a.b": "c"}).supports_webhooks
    # Which is asked with the key itself.
    assert not make(key=KEY, use_token_auth=True).supports_disconnecting_users
    assert not with_key.supports_encryption
    master_key = base64.b64encode(b"k" * 32).decode()
    assert make(key=KEY, encryption_master_key_base64=master_key).supports_encryption


def test_it_shows_nothing_but_its_alias() -> None:
    transport = make(key=KEY, alias="live")
    assert repr(transport) == str(transport) == "<AblyTransport 'live'>"
    for part in (transport.rest, transport._signer, transport._webhooks):
        assert "test-secret" not in repr(part)


# Errors of wrong options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "OPTIONS need 'key' or 'token' (or the environment variable ABLY_API_KEY)"),
        ({"key": "test-secret"}, "'key' is not of the form appId.keyId:secret"),
        ({"key": "app1.key1:"}, "'key' is not of the form"),
        ({"key": b"app1.key1:test-secret"}, "'key' must be a str, not bytes"),
        ({"key": KEY, "token": "t"}, "Give 'key' or 'token', not both"),
        ({"key": KEY, "endpiont": "x"}, "Did you mean 'endpoint'?"),
        (
            {"key": KEY, "endpoint": "https://example.com"},
            "'endpoint' holds a scheme, user or path",
        ),
        ({"key": KEY, "endpoint": "example.com:443"}, "'endpoint' holds a port"),
        ({"key": KEY, "endpoint": "main\n"}, "'endpoint' is empty, or holds a blank or line end"),
        ({"key": KEY, "endpoint": ""}, "'endpoint' is empty"),
        ({"key": KEY, "fallback_hosts": ["a.com", "https://b.com"]}, "'fallback_hosts' holds a"),
        ({"key": f"{KEY}\n"}, "'key' is not of the form"),
        ({"token": "test-secret\n"}, "'token' begins or ends with a blank or line end"),
        ({"key": KEY, "endpoint": 7}, "'endpoint' must be a str, not int"),
        ({"key": KEY, "port": 70_000}, "'port' must be a whole number from 1 to 65535, not 70000."),
        ({"key": KEY, "tls_port": "443"}, "'tls_port' must be a whole number from 1 to"),
        ({"key": KEY, "tls": "yes"}, "'tls' must be True or False"),
        ({"key": KEY, "timeout": 0}, "'timeout' must be a number above 0"),
        ({"key": KEY, "timeout": None}, "'timeout' must be a number above 0"),
        ({"key": KEY, "timeout": math.inf}, "'timeout' must be a number above 0"),
        ({"key": KEY, "timeout": math.nan}, "'timeout' must be a number above 0"),
        ({"key": KEY, "tls": False}, "a key goes over TLS only"),
        ({"key": KEY, "payload_limit": "1"}, "'payload_limit' must be a whole number above 0"),
        ({"key": KEY, "max_channels": 0}, "'max_channels' must be a whole number above 0, not 0."),
        ({"key": KEY, "token_ttl": 90_000}, "'token_ttl' must be a whole number from 1 to 86400"),
        ({"key": KEY, "prefix": "blog"}, "'prefix' must be words that each end in a colon"),
        ({"key": KEY, "prefix": ":"}, "'prefix' must be"),
        ({"key": KEY, "prefix": "[x]:"}, "'prefix' must be"),
        ({"key": KEY, "client_id": "*"}, "'client_id' must be the id of one client"),
        ({"key": KEY, "fallback_hosts": "x"}, "'fallback_hosts' must be a list"),
        ({"key": KEY, "extras": "x"}, "'extras' must be a dict, not str"),
        ({"key": KEY, "extras": {"x": {1}}}, "extras"),
        ({"key": KEY, "webhook_keys": ["a.b:c"]}, "'webhook_keys' must be a dict"),
        ({"key": KEY, "encryption_master_key_base64": "short"}, "must be 32 bytes in base64"),
        ({"key": KEY, "encryption_master_key_base64": 7}, "must be a str, not int"),
    ],
    ids=repr,
)
def test_a_wrong_option_is_said_with_its_alias_and_the_mend(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], words: str
) -> None:
    monkeypatch.delenv("ABLY_API_KEY", raising=False)
    with pytest.raises(InvalidTransport) as caught:
        configured(settings, **options)
    assert str(caught.value).startswith("REALTIME_TRANSPORTS['live']: ")
    assert words in str(caught.value)
    assert "test-secret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("module", "extra", "options"),
    [
        ("ably.sync", "ably", {}),
        (
            "Crypto.Cipher.AES",
            "ably-crypto",
            {"encryption_master_key_base64": base64.b64encode(b"k" * 32).decode()},
        ),
    ],
)
def test_a_missing_package_says_what_to_install(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    extra: str,
    options: dict[str, Any],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependency) as caught:
        configured(settings, key=KEY, **options)
    assert f"pip install realtime-drf[{extra}]" in str(caught.value)


# Checks


def messages(settings: Settings, *, skip_vacant: bool = False, **options: Any) -> list[str]:
    entry = {"TRANSPORT": PATH, "OPTIONS": options, "SKIP_VACANT": skip_vacant}
    settings.REALTIME_TRANSPORTS = {"default": entry}
    return [f"{message.id}: {message.msg}" for message in checks.run_checks(tags=["realtime_drf"])]


def test_checks_find_what_it_cannot_do(settings: Settings) -> None:
    class Notes(EncryptedChannel):
        pattern = "ably-notes"

        def authorize(self, request: Any) -> bool:
            return True

    class Person(UserChannel):
        pass

    master_key = base64.b64encode(b"k" * 32).decode()
    assert messages(settings, key=KEY, encryption_master_key_base64=master_key) == []
    [message] = messages(settings, key=KEY)
    assert message.startswith("realtime_drf.W003")
    assert "Notes: AblyTransport cannot encrypt" in message
    found = messages(settings, token="x" * 20)
    assert len(found) == 2
    assert all(message.startswith("realtime_drf.W003") for message in found)


def test_a_cache_channel_is_warned_of(settings: Settings) -> None:
    class Kept(PublicChannel):
        pattern = "ably-kept"
        cache = True

    [message] = messages(settings, key=KEY)
    assert message.startswith("realtime_drf.W003")
    assert "Kept: AblyTransport cannot keep the last event" in message


def test_vacant_channels_are_known_by_webhooks_alone(settings: Settings) -> None:
    def errors(**options: Any) -> list[str]:
        found = messages(settings, skip_vacant=True, **options)
        return [message for message in found if message.startswith("realtime_drf.E")]

    assert errors(key=KEY) == []
    [message] = errors(token="x" * 20)
    assert message.startswith("realtime_drf.E011")
