"""A project below a prefix is served, whether or not a proxy takes the prefix off the path."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable
from hashlib import md5
from typing import Any
from urllib.parse import urlencode

import pytest
from pytest_django import Settings

pytest.importorskip("channels")

from realtime_drf.server.paths import read_path, read_signed_paths
from tests.server.harness import OPTIONS, Site
from tests.server.http_caller import sign
from tests.services.asgi_server import AsgiServer
from tests.services.swarm import Swarmer

EVENT = json.dumps({"name": "told", "channel": "news", "data": "1"}).encode()

ROOTS = ["", "/shop", "/shop/", "/a/b", "/app", "/apps"]


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("is_forced", [False, True])
@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_socket_below_a_prefix_is_served(
    settings: Settings, root: str, is_forced: bool, times: int
) -> None:
    settings.FORCE_SCRIPT_NAME = root if is_forced else None
    path = root.rstrip("/") * times + "/app/app-key"
    with Site() as site:
        site.connect(path=path, root_path="" if is_forced else root)


@pytest.mark.parametrize(
    ("path", "root_path"),
    [
        ("/shopping/app/k", "/shop"),
        ("/other/app/k", "/shop"),
        ("/shop/app/k", ""),
        ("/shop", "/shop"),
    ],
)
def test_what_only_looks_like_a_prefix_stays(path: str, root_path: str) -> None:
    assert read_path({"path": path, "root_path": root_path}) == path


@pytest.mark.parametrize("root", ["/shop", "/ä b"])
@pytest.mark.parametrize("times", [0, 1, 2])
@pytest.mark.parametrize("signed_with", [0, 1])
def test_a_request_is_signed_with_the_prefix_or_without(
    root: str, times: int, signed_with: int
) -> None:
    def call(prefix: str) -> int:
        path, escaped = (f"{each}/apps/4242/events" for each in (prefix, quoted(prefix)))
        status: list[int] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": EVENT, "more_body": False}

        async def send(message: Any) -> None:
            status.append(message.get("status"))

        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": escaped.encode(),
            "root_path": root,
            "query_string": signed(f"{quoted(root) * signed_with}/apps/4242/events"),
        }
        site.run(site.servers[0](scope, receive, send))
        return status[0]

    with Site(http_api=True) as site:
        assert call(root * times) == 200


def test_a_signature_of_another_path_is_refused() -> None:
    scope = {"path": "/shop/apps/1/events", "raw_path": b"/shop/apps/1/events?a=1"}
    assert read_signed_paths({**scope, "root_path": "/shop"}) == [
        "/shop/apps/1/events",
        "/apps/1/events",
    ]
    assert read_signed_paths(scope) == ["/shop/apps/1/events"]


def quoted(text: str) -> str:
    return text.replace(" ", "%20").replace("ä", "%C3%A4")


def signed(path: str, key: str = OPTIONS["key"], secret: str = OPTIONS["secret"]) -> bytes:
    """Return the parameters of a request that is signed for a path."""
    query = {
        "auth_key": key,
        "auth_timestamp": int(time.time()),
        "auth_version": "1.0",
        "body_md5": md5(EVENT).hexdigest(),
    }
    return urlencode({**query, "auth_signature": sign("POST", path, query, secret)}).encode()


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("uvicorn", "--root-path"),
        ("daphne", "--root-path"),
        ("hypercorn", "--root-path"),
        ("granian", "--url-path-prefix"),
    ],
)
def test_a_server_is_told_the_prefix(
    name: str, option: str, serve: Callable[..., AsgiServer]
) -> None:
    pytest.importorskip(name)
    server = serve(name, arguments=[option, "/shop"], http_api=True)

    async def listen(prefix: str) -> None:
        client = await Swarmer.connect(
            server.port, server.key, lambda socket_id: [{"channel": "news"}], prefix=prefix
        )
        try:
            for signed_prefix in ("/shop", ""):
                await asyncio.to_thread(post, server, prefix, signed_prefix)
                assert (await client.read())["event"] == "told"
        finally:
            client.close()

    for prefix in ("/shop", ""):
        asyncio.run(asyncio.wait_for(listen(prefix), 20))


def post(server: AsgiServer, prefix: str, signed_prefix: str) -> None:
    resource = f"/apps/{server.app_id}/events"
    query = signed(f"{signed_prefix}{resource}", server.key, server.secret).decode()
    url = f"http://{server.host}:{server.port}{prefix}{resource}?{query}"
    urllib.request.urlopen(url, data=EVENT, timeout=20).close()
