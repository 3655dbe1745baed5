"""What we use of packages beyond their documentation is there, and as we use it.

A new version of a package may change such a part. Then a test here fails, and names the part and
the module of ours that uses it. Correct that module, or bound the package in pyproject.toml.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest


class Part(NamedTuple):
    """A class or function, and the parameters or attributes of it that we use."""

    user: str
    """The module of ours that uses it."""
    package: str
    path: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.package}:{self.path}"


PUSHER = "transports/pusher/transport.py"
SESSION = "transports/pusher/session.py"
HTTP = "http_connections.py"
REST = "transports/ably/rest.py"
MESSAGES = "transports/ably/messages.py"
NETWORK = "transports/ably/network.py"
LAYER = "cluster/app.py"
REDIS = "cluster/redis_connections.py"
SCHEMAS = "contract/schemas.py"
FAST_PATH = "server/fast_path.py"

FUNCTIONS = [
    Part(
        PUSHER,
        "pusher.pusher_client",
        "PusherClient",
        ("app_id", "key", "secret", "cluster", "encryption_master_key_base64"),
    ),
    Part(
        PUSHER,
        "pusher.pusher_client",
        "PusherClient",
        ("ssl", "host", "port", "timeout"),
    ),
    Part(PUSHER, "pusher.http", "Request", ("client", "method", "path", "params")),
    Part(PUSHER, "pusher.http", "process_response", ("status", "body")),
    Part(PUSHER, "pusher.crypto", "encrypt", ("channel", "data", "encryption_master_key")),
    Part(SESSION, "requests", "Session.merge_environment_settings", ("url", "proxies", "stream")),
    Part(SESSION, "requests.adapters", "HTTPAdapter.proxy_manager_for", ("proxy",)),
    Part(SESSION, "requests.adapters", "HTTPAdapter.init_poolmanager"),
    Part(SESSION, "requests.adapters", "HTTPAdapter.send", ("request", "timeout")),
    Part(HTTP, "urllib3.connection", "HTTPConnection._new_conn"),
    Part(HTTP, "urllib3.connection", "HTTPConnection.getresponse"),
    Part(HTTP, "urllib3.connection", "HTTPConnection.send", ("data",)),
    Part(
        HTTP,
        "urllib3.util.connection",
        "create_connection",
        ("address", "timeout", "source_address", "socket_options"),
    ),
    Part(
        REST,
        "ably.sync.http.http",
        "HttpSync.make_request",
        ("method", "path", "body", "raise_on_error"),
    ),
    Part(REST, "ably.sync", "AblyRestSync", ("key", "token")),
    Part(REST, "ably.sync.util.exceptions", "AblyException", ("message", "status_code", "code")),
    Part(MESSAGES, "ably.sync.types.message", "Message.as_dict", ("binary",)),
    Part(MESSAGES, "ably.sync.types.message", "Message.encrypt"),
    Part(MESSAGES, "ably.sync.util.crypto", "get_cipher", ("params",)),
    Part(NETWORK, "httpcore", "SyncBackend.connect_tcp", ("host", "port", "socket_options")),
    Part(LAYER, "channels.layers", "channel_layers.configs"),
    Part(LAYER, "channels.layers", "InMemoryChannelLayer"),
    Part(
        SCHEMAS,
        "drf_spectacular.openapi",
        "AutoSchema._map_serializer_field",
        ("field", "direction"),
    ),
    Part(
        SCHEMAS,
        "drf_spectacular.openapi",
        "AutoSchema._map_basic_serializer",
        ("serializer", "direction"),
    ),
    Part(
        SCHEMAS,
        "drf_spectacular.openapi",
        "AutoSchema._map_model_field",
        ("model_field", "direction"),
    ),
    Part(SCHEMAS, "drf_spectacular.openapi", "AutoSchema._map_response_type_hint", ("method",)),
    Part(SCHEMAS, "drf_spectacular.drainage", "has_override", ("obj", "prop")),
    Part(SCHEMAS, "drf_spectacular.plumbing", "ComponentRegistry.build", ("extra_components",)),
    Part(SCHEMAS, "drf_spectacular.plumbing", "force_instance"),
    Part(SCHEMAS, "drf_spectacular.plumbing", "resolve_type_hint", ("hint",)),
    Part(SCHEMAS, "drf_spectacular.settings", "patched_settings", ("patches",)),
]


@pytest.mark.parametrize("part", FUNCTIONS, ids=str)
def test_what_we_call_takes_what_we_give(part: Part) -> None:
    found: Any = import_or_skip(part.package)
    for name in part.path.split("."):
        found = getattr(found, name, None)
    assert found is not None, f"{part} is gone, which realtime_drf/{part.user} uses."
    if part.names:
        parameters = inspect.signature(found).parameters
        takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        missing = [name for name in part.names if name not in parameters and not takes_any]
        assert not missing, f"{part} takes no {missing}, which realtime_drf/{part.user} gives."


def make_pusher_client() -> Any:
    client = import_or_skip("pusher.pusher_client").PusherClient(app_id="1", key="k", secret="s")
    client.http.session.close()
    return client


def make_poolmanager() -> Any:
    return import_or_skip("urllib3").PoolManager()


def make_urllib3_connection() -> Any:
    return import_or_skip("urllib3").connection.HTTPConnection("localhost")


def make_ably_client() -> Any:
    client = import_or_skip("ably.sync").AblyRestSync(key="a.b:c")
    client.close()
    return client


def make_httpx_client() -> Any:
    client = import_or_skip("httpx").Client()
    client.close()
    return client


def make_httpcore_pool() -> Any:
    return import_or_skip("httpcore").ConnectionPool()


def make_redis_pool() -> Any:
    return import_or_skip("redis.asyncio").BlockingConnectionPool()


def make_layer() -> Any:
    return import_or_skip("channels_redis.core").RedisChannelLayer()


def make_loop_layer() -> Any:
    core = import_or_skip("channels_redis.core")
    return core.RedisLoopLayer(core.RedisChannelLayer())


def make_pubsub_layer() -> Any:
    return import_or_skip("channels_redis.pubsub").RedisPubSubChannelLayer()


def make_pubsub_loop_layer() -> Any:
    pubsub = import_or_skip("channels_redis.pubsub")
    return pubsub.RedisPubSubLoopLayer(
        hosts=[{"address": "redis://localhost"}], on_disconnect=None, on_reconnect=None
    )


def make_uvicorn_protocol() -> Any:
    module = import_or_skip("uvicorn.protocols.websockets.websockets_sansio_impl")
    config = import_or_skip("uvicorn").Config(app="", log_config=None)
    config.load_app = lambda: None
    state = import_or_skip("uvicorn.server").ServerState()
    config.encoded_headers, config.loaded_app = [], None
    return module.WebSocketsSansIOProtocol(config=config, server_state=state, app_state={})


ATTRIBUTES: list[tuple[str, Callable[[], Any], tuple[str, ...]]] = [
    (
        PUSHER,
        make_pusher_client,
        ("http.session.auth", "http.options", "timeout", "_encryption_master_key"),
    ),
    (SESSION, make_pusher_client, ("scheme", "host", "port", "ssl")),
    (SESSION, make_poolmanager, ("pool_classes_by_scheme",)),
    (
        HTTP,
        make_urllib3_connection,
        ("_dns_host", "is_connected", "socket_options", "source_address"),
    ),
    (REST, make_ably_client, ("http._HttpSync__client", "auth.authorize", "options")),
    (NETWORK, make_httpx_client, ("event_hooks", "_transport._pool", "_mounts")),
    (
        NETWORK,
        make_httpcore_pool,
        ("_network_backend", "_keepalive_expiry", "_http2", "connections"),
    ),
    (REDIS, make_redis_pool, ("_available_connections", "_in_use_connections")),
    (REDIS, make_layer, ("_layers",)),
    (REDIS, make_loop_layer, ("_connections",)),
    (REDIS, make_pubsub_layer, ("_layers",)),
    (REDIS, make_pubsub_loop_layer, ("_shards",)),
    (
        FAST_PATH,
        make_uvicorn_protocol,
        ("writable", "disconnected", "close_sent", "conn", "transport"),
    ),
]


@pytest.mark.parametrize(("user", "make", "names"), ATTRIBUTES)
def test_what_we_read_and_set_is_there(
    user: str, make: Callable[[], Any], names: tuple[str, ...]
) -> None:
    async def make_it() -> Any:
        return make()

    found = asyncio.run(make_it())
    for name in names:
        inner = found
        for part in name.split("."):
            assert hasattr(inner, part), (
                f"{type(found).__module__}.{type(found).__qualname__} has no {name!r}, which "
                f"realtime_drf/{user} uses."
            )
            inner = getattr(inner, part)


def import_or_skip(module: str) -> Any:
    """Import a module; skip only if its package is not installed at all."""
    pytest.importorskip(module.partition(".")[0])
    return importlib.import_module(module)
