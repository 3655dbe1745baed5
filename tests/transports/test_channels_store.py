"""The option `store` of the Channels transport, and the layers that need it."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("channels_redis")

from django.core.checks import ERROR, run_checks
from pytest_django import Settings

from realtime_drf.cluster.layer_backplane import LayerBackplane
from realtime_drf.cluster.memory_state import MemoryStore
from realtime_drf.cluster.redis_state import RedisStore
from realtime_drf.cluster.state import NodeState
from realtime_drf.exceptions import InvalidTransport, TransportUnavailable
from realtime_drf.transports import transports
from realtime_drf.transports.channels import ChannelsTransport
from tests.server.harness import PATH
from tests.services.process import closed_port
from tests.services.redis import Redis

BACKENDS = [
    "channels_redis.core.RedisChannelLayer",
    "channels_redis.pubsub.RedisPubSubChannelLayer",
]
IN_MEMORY = "channels.layers.InMemoryChannelLayer"


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    path: str = request.param
    return path


def configured(settings: Settings, backend: str, **options: Any) -> ChannelsTransport:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend}}
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH, "OPTIONS": options}}
    transport = transports["default"]
    assert isinstance(transport, ChannelsTransport)
    return transport


def test_a_layer_on_redis_needs_a_store(settings: Settings, backend: str) -> None:
    with pytest.raises(InvalidTransport, match="'store' is missing"):
        configured(settings, backend)
    (message,) = run_checks(tags=["realtime_drf"])
    assert message.id == "realtime_drf.E001"
    assert "such as 'redis://localhost:6379/1'" in message.msg


def test_the_store_may_be_a_redis_or_this_process(settings: Settings, backend: str) -> None:
    for url in ("redis://:test-secret@localhost/1", "rediss://localhost", "unix:///run/redis.sock"):
        store = configured(settings, backend, store=url).app.backplane.store
        assert isinstance(store, RedisStore)
        assert "test-secret" not in repr(store)
    # The names that begin with CERT are Celery's.
    for value in ("none", "CERT_NONE", "CERT_OPTIONAL", "required", "CERT_REQUIRED"):
        url = f"rediss://localhost/1?ssl_cert_reqs={value}&ssl_ca_certs=/ca.pem"
        configured(settings, backend, store=url)
    assert isinstance(
        configured(settings, backend, store="memory").app.backplane.store, MemoryStore
    )
    assert [each for each in run_checks(tags=["realtime_drf"]) if each.level >= ERROR] == []


@pytest.mark.parametrize(
    "store",
    [
        "",
        "localhost:6379",
        "http://localhost",
        "redis://:test-secret/1@localhost:6379",
        "redis://localhost/1?socket_timeout=test-secret",
        "redis://localhost/1?no_such_option=test-secret",
        "rediss://localhost/1?ssl_cert_reqs=test-secret",
        "redis://localhost/1?retry=test-secret",
        "redis://localhost/1?protocol=7",
        "redis://[localhost/1?test-secret",
        "sentinel://:test-secret@localhost:26379/mymaster",
        7,
        {"url": "redis://localhost"},
    ],
)
def test_any_other_store_is_an_error_that_quotes_no_password(
    settings: Settings, store: Any
) -> None:
    with pytest.raises(InvalidTransport, match="'store' must be ") as failure:
        configured(settings, BACKENDS[0], store=store)
    assert "test-secret" not in str(failure.value)
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__


def test_a_store_beside_a_layer_in_memory_is_an_error(settings: Settings) -> None:
    with pytest.raises(InvalidTransport, match="this one is in memory"):
        configured(settings, IN_MEMORY, store="redis://localhost")
    assert configured(settings, IN_MEMORY, store="memory").app.is_local


def namespace_of(settings: Settings, **options: Any) -> str:
    options = {"app_id": "1", "key": "key", "secret": None, **options}
    transport = configured(settings, BACKENDS[1], store="redis://localhost", **options)
    assert isinstance(transport.app.backplane, LayerBackplane)
    assert transport.app.backplane._group == f"realtime_drf.nodes.{transport.app.namespace}"
    assert isinstance(transport.app.backplane.store, RedisStore)
    assert transport.app.backplane.store._prefix == f"{{realtime_drf.{transport.app.namespace}}}"
    return transport.app.namespace


def test_names_in_redis_follow_the_secret_and_the_id(settings: Settings) -> None:
    settings.SECRET_KEY = "the first key"
    first = namespace_of(settings)
    assert first == namespace_of(settings, key="another")
    others = {
        namespace_of(settings, **other) for other in ({"app_id": "2"}, {"secret": "a secret"})
    }
    settings.SECRET_KEY = "another project's"
    assert len({first, *others, namespace_of(settings)}) == 4


def test_a_new_secret_key_changes_no_name_until_the_old_one_is_gone(settings: Settings) -> None:
    names = []
    for keys in (["old"], ["new", "old"], ["newer", "new", "old"], ["newer", "new"], ["new"]):
        settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS = keys
        names.append(namespace_of(settings))
    assert names[0] == names[1] == names[2] != names[3] == names[4]


def test_a_namespace_replaces_the_secret_in_names(settings: Settings) -> None:
    settings.SECRET_KEY = "the first key"
    given = namespace_of(settings, namespace="mysite")
    settings.SECRET_KEY = "the next key"
    assert given == namespace_of(settings, namespace="mysite")
    assert given == namespace_of(settings, namespace="mysite", secret="a secret")
    assert given != namespace_of(settings, namespace="mysite", app_id="2")
    assert given != namespace_of(settings, namespace="other")
    for wrong in ("", 7):
        with pytest.raises(InvalidTransport, match="'namespace' must be "):
            namespace_of(settings, namespace=wrong)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "'app_id' and 'key'"),
        ({"app_id": "1"}, "'key'"),
        ({"key": "mysite"}, "'app_id'"),
        ({"app_id": "1", "key": "mysite"}, None),
    ],
)
def test_the_names_of_everybody_are_said_under_deploy(
    settings: Settings, options: dict[str, str], named: str | None
) -> None:
    configured(settings, BACKENDS[1], store="memory", **options)
    messages = [
        each.msg
        for each in run_checks(tags=["realtime_drf"], include_deployment_checks=True)
        if each.id == "realtime_drf.W012"
    ]
    assert [f"used for {named}, and" in each for each in messages] == [True] * bool(named)
    configured(settings, IN_MEMORY)
    ids = {each.id for each in run_checks(include_deployment_checks=True, tags=["realtime_drf"])}
    assert "realtime_drf.W012" not in ids


def test_a_process_without_an_event_loop_asks_the_store(settings: Settings, redis: Redis) -> None:
    transport = configured(settings, BACKENDS[1], app_id="asked", store=redis.url)
    part = NodeState("presence-room", 2, {"ann": ""})
    transport.app.backplane.ask(transport.app.backplane.store.sync("node-1", [part]), 5)
    for _ in range(2):
        info = transport.channel_info("presence-room")
        assert (info.occupied, info.subscription_count, info.user_count) == (True, 2, 1)
        assert list(transport.occupied_channels("presence-")) == ["presence-room"]
        assert not transport.channel_info("news").occupied
        transport.close()  # the next call opens new connections


def test_a_store_that_cannot_be_reached_is_said_without_its_address(settings: Settings) -> None:
    with closed_port() as port:
        url = f"redis://:test-secret@127.0.0.1:{port}/0"
        transport = configured(settings, BACKENDS[1], store=url)
        with pytest.raises(TransportUnavailable, match="The store of the server failed") as failure:
            transport.channel_info("news")
        transport.close()
    assert "test-secret" not in str(failure.value)
