"""The services of tests: PostgreSQL before the settings are read, the others as fixtures.

Loaded by `-p` in pyproject.toml and not as a conftest, since pytest-django reads the settings
before any conftest is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.services import memcached, postgres, redis, soketi
from tests.services import pusher_js as pusher_js_service
from tests.services.ably_http import AblyService
from tests.services.asgi_server import AsgiServer
from tests.services.certificate import make_certificate
from tests.services.laravel_echo import LaravelEcho
from tests.services.policy import REQUIRE_VARIABLE, require, services_are_required
from tests.services.process import ServiceError
from tests.services.pusher_http import PusherService
from tests.services.pusher_js import PusherJS

# pytester is for the tests of our own plugin: it can only be asked for here, or at the very top.
pytest_plugins = ["pytester", "tests.contract_page"]

#: The port of PostgreSQL on 127.0.0.1, for tests/settings.py; absent where there is none.
POSTGRES_PORT_VARIABLE = "REALTIME_TEST_POSTGRES_PORT"

# Options with which no test is run.
_WITHOUT_TESTS = (
    "help",
    "version",
    "collectonly",
    "showfixtures",
    "show_fixtures_per_test",
    "markers",
    "setupplan",
)
_header = pytest.StashKey[str]()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start PostgreSQL and publish its port, before pytest-django's hook of the same name."""
    if os.environ.get(POSTGRES_PORT_VARIABLE):
        # A worker of a parallel run, or a run within a run: the outer one started the server.
        return
    options = early_config.known_args_namespace
    if any(getattr(options, name, False) for name in _WITHOUT_TESTS):
        return
    reason = postgres.unavailable() or _start_postgres(early_config)
    if reason is None:
        return
    if services_are_required():
        raise pytest.UsageError(f"PostgreSQL is needed, as {REQUIRE_VARIABLE}=1 says: {reason}")
    early_config.stash[_header] = f"PostgreSQL: none, {reason}"


def pytest_report_header(config: pytest.Config) -> str | None:
    """Return where PostgreSQL is, or why there is none."""
    return config.stash.get(_header, None)


def _start_postgres(config: pytest.Config) -> str | None:
    """Start PostgreSQL until the end of the run, and return what went wrong, or None."""
    server = postgres.Postgres()
    try:
        server.start()
    except ServiceError as error:
        return str(error)

    def stop() -> None:
        os.environ.pop(POSTGRES_PORT_VARIABLE, None)
        server.stop()

    # Also called when the run is interrupted, or fails before it is configured.
    config.add_cleanup(stop)
    os.environ[POSTGRES_PORT_VARIABLE] = str(server.port)
    config.stash[_header] = f"PostgreSQL: port {server.port}"
    return None


@pytest.fixture(scope="session")
def postgres_port() -> int:
    """Return the port of PostgreSQL; skip or fail the test where there is none."""
    port = os.environ.get(POSTGRES_PORT_VARIABLE)
    if not port:
        require("PostgreSQL", postgres.unavailable() or "it was not started, see the header")
    return int(port or 0)


@pytest.fixture(scope="session", name="soketi")
def soketi_fixture() -> Iterator[soketi.Soketi]:
    """Run soketi, one for all the tests of this process."""
    require("soketi", soketi.unavailable())
    with soketi.Soketi() as server:
        yield server


@pytest.fixture(scope="session", name="redis")
def redis_fixture() -> Iterator[redis.Redis]:
    """Run Redis, one for all the tests of this process: none of them has it to itself."""
    require("Redis", redis.unavailable())
    with redis.Redis() as server:
        yield server


@pytest.fixture(scope="session", name="memcached")
def memcached_fixture() -> Iterator[memcached.Memcached]:
    """Run memcached, one for all the tests of this process."""
    require("memcached", memcached.unavailable())
    with memcached.Memcached() as server:
        yield server


@pytest.fixture
def serve() -> Iterator[Callable[..., AsgiServer]]:
    """Return a function that serves the project `tests.served`, ended after the test."""
    pytest.importorskip("channels")
    with ExitStack() as servers:

        def start(*args: Any, **options: Any) -> AsgiServer:
            return servers.enter_context(AsgiServer(*args, **options))

        yield start


@pytest.fixture
def pusher_service() -> Iterator[PusherService]:
    """Run a stand-in for Pusher's HTTP API, new for each test."""
    with PusherService() as service:
        yield service


@pytest.fixture
def pusher_js() -> Iterator[Callable[..., PusherJS]]:
    """Return a function that starts a PusherJS with the given arguments, closed after the test.

    It waits for the connection unless `wait=False` is given.
    """
    require("pusher-js", pusher_js_service.unavailable())
    with ExitStack() as clients:

        def start(*, wait: bool = True, **arguments: Any) -> PusherJS:
            client = PusherJS(**arguments)
            clients.callback(client.close)
            return client.start(wait=wait)

        yield start


@pytest.fixture
def laravel_echo() -> Iterator[Callable[..., LaravelEcho]]:
    """Return a function that starts a LaravelEcho with its arguments, closed after the test."""
    require("laravel-echo", pusher_js_service.unavailable())
    with ExitStack() as clients:

        def start(**arguments: Any) -> LaravelEcho:
            return clients.enter_context(LaravelEcho(**arguments))

        yield start


@pytest.fixture
def ably_service() -> Iterator[AblyService]:
    """Run a stand-in for Ably's REST API, new for each test."""
    with AblyService() as service:
        yield service


@pytest.fixture
def ably_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AblyService]:
    """Run one over TLS, which takes the key itself, with a certificate that this process trusts."""
    context, bundle = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with AblyService(context=context) as service:
        yield service
