"""The rules of the HTTP API: who may call, what may be said, and what is answered."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
from typing import Any

import pytest

pytest.importorskip("channels")

from realtime_drf.cluster.messages import DisconnectMessage, EventMessage
from realtime_drf.server.asgi import RealtimeServer
from realtime_drf.server.http_messages import MAX_BODY_BYTES
from tests.server.http_caller import NOW, SECRET, Api

EVENT = {"name": "told", "channel": "news", "data": "{}"}


@pytest.fixture
def api() -> Api:
    return Api()


def test_a_signed_event_is_published_as_it_is(api: Api) -> None:
    data = '{"text":  "Käse 🧀"}'
    event = {"name": "told", "channels": ["a", "b", "a"], "data": data, "socket_id": "1.2"}
    assert api.call("POST", "/events", event, chunks=7) == (200, {})
    (item,) = api.published
    assert item == EventMessage("told", ["a", "b"], data, "1.2", item.id)
    assert len(item.id) == 32


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"secret": "another"}, "auth_signature"),
        ({"params": {"auth_key": "another"}}, "auth_key"),
        ({"params": {"auth_key": "ä"}}, "auth_key"),
        ({"params": {"auth_signature": "é"}}, "auth_signature"),
        ({"params": {"auth_signature": ""}}, "auth_signature"),
        ({"params": {"extra": "1"}}, "auth_signature"),
        ({"auth_timestamp": NOW - 601}, "auth_timestamp"),
        ({"auth_timestamp": NOW + 601}, "auth_timestamp"),
        ({"auth_timestamp": "soon"}, "auth_timestamp"),
        ({"auth_version": "2.0"}, "auth_version"),
        ({"signed_body": b"{}"}, "body_md5"),
    ],
)
def test_what_the_app_has_not_signed_is_refused(
    api: Api, changes: dict[str, Any], reason: str
) -> None:
    status, text = api.call("POST", "/events", EVENT, **changes)
    assert (status, api.published) == (401, [])
    assert reason in text
    assert SECRET not in text


@pytest.mark.parametrize("offset", [-600, 0, 600])
def test_clocks_may_differ_and_requests_may_be_repeated(api: Api, offset: int) -> None:
    for _ in range(2):
        assert api.call("POST", "/events", EVENT, auth_timestamp=NOW + offset)[0] == 200
    assert len(api.published) == 2


def test_a_parameter_that_is_given_twice_is_refused(api: Api) -> None:
    status, text = api.call("GET", "/channels", query={"info": "cache", "Info": "cache"})
    assert (status, "twice" in text) == (401, True)


def test_an_md5_is_compared_where_there_is_no_body_too(api: Api) -> None:
    digest = hashlib.md5(b"").hexdigest()
    assert api.call("GET", "/channels", body_md5=digest)[0] == 200
    assert api.call("GET", "/channels", body_md5=digest[::-1])[0] == 401


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"name": None}, 400),
        ({"name": ""}, 400),
        ({"name": "n" * 201}, 400),
        ({"name": "n" * 200}, 200),
        ({"name": "pusher:ping"}, 400),
        ({"channel": None}, 400),
        ({"channel": "a b"}, 400),
        ({"channel": "c" * 165}, 400),
        ({"channel": "c" * 164}, 200),
        ({"channels": []}, 400),
        ({"channels": "news"}, 400),
        ({"channels": [1]}, 400),
        ({"channels": [f"c{n}" for n in range(100)]}, 200),
        ({"channels": [f"c{n}" for n in range(101)]}, 400),
        ({"channels": ["private-encrypted-a", "b"]}, 400),
        ({"channels": ["#server-to-user-1", "b"]}, 400),
        ({"channels": ["private-encrypted-a"]}, 200),
        ({"channels": ["#server-to-user-1"]}, 200),
        ({"data": None}, 400),
        ({"data": {"an": "object"}}, 400),
        ({"data": "\ud800"}, 400),
        ({"data": "x" * 10_240}, 200),
        ({"data": "x" * 10_241}, 413),
        ({"data": "ä" * 5_121}, 413),
        ({"socket_id": "1.2"}, 200),
        ({"socket_id": "1"}, 400),
        ({"socket_id": 1.2}, 400),
        ({"info": 1}, 400),
        ({"info": "age"}, 400),
        ({"info": "user_count"}, 200),
    ],
)
def test_an_event_keeps_the_rules(api: Api, changes: dict[str, Any], status: int) -> None:
    assert api.call("POST", "/events", {**EVENT, **changes})[0] == status
    assert len(api.published) == (status == 200)


def test_a_batch_is_published_whole_or_not_at_all(api: Api) -> None:
    batch = [{**EVENT, "channel": f"c{n}"} for n in range(10)]
    assert api.call("POST", "/batch_events", {"batch": batch}) == (200, {})
    assert [item.channels for item in api.published] == [[f"c{n}"] for n in range(10)]
    for bad in ([], [*batch, EVENT], [1], "batch", [*batch[:3], {**EVENT, "data": 1}]):
        assert api.call("POST", "/batch_events", {"batch": bad})[0] == 400
    assert len(api.published) == 10


def test_a_publisher_may_ask_who_listens(api: Api) -> None:
    api.put("news", 3)
    api.put("presence-room", 2, ann="")
    assert api.call("POST", "/events", {**EVENT, "info": "subscription_count"}) == (
        200,
        {"channels": {"news": {"subscription_count": 3}}},
    )
    batch = [
        {**EVENT, "channel": "presence-room", "info": "user_count,subscription_count"},
        EVENT,
    ]
    assert api.call("POST", "/batch_events", {"batch": batch}) == (
        200,
        {"batch": [{"user_count": 1, "subscription_count": 2}, {}]},
    )


def test_the_users_of_a_channel_that_knows_none_are_left_out_of_the_answer_to_a_publisher(
    api: Api,
) -> None:
    api.put("news", 3)
    api.put("presence-room", 2, ann="")
    info = {"info": "user_count,subscription_count"}
    event = {"name": "told", "channels": ["news", "presence-room"], "data": "{}", **info}
    attributes = [{"subscription_count": 3}, {"user_count": 1, "subscription_count": 2}]
    assert api.call("POST", "/events", event) == (
        200,
        {"channels": dict(zip(["news", "presence-room"], attributes, strict=True))},
    )
    batch = [{**EVENT, "channel": channel, **info} for channel in ("news", "presence-room")]
    assert api.call("POST", "/batch_events", {"batch": batch}) == (200, {"batch": attributes})
    assert len(api.published) == 3
    assert api.call("GET", "/channels/news", **info)[0] == 400


def test_refusals_have_the_words_of_the_service_that_its_clients_look_for(api: Api) -> None:
    status, text = api.call("POST", "/events", {**EVENT, "data": "x" * 10_241})
    assert (status, "content of this event" in text) == (413, True)
    status, text = api.call("POST", "/batch_events", {"batch": [EVENT] * 11})
    assert (status, "Batch too large" in text) == (400, True)


def test_channels_are_listed(api: Api) -> None:
    api.put("news", 1)
    api.put("presence-room", 2, ann="", bob="")
    api.put("#server-to-user-1", 1)
    assert api.call("GET", "/channels") == (200, {"channels": {"news": {}, "presence-room": {}}})
    assert api.call("GET", "/channels", filter_by_prefix="presence-", info="user_count") == (
        200,
        {"channels": {"presence-room": {"user_count": 2}}},
    )
    assert api.call("GET", "/channels", info="user_count")[0] == 400


def test_a_channel_is_described(api: Api) -> None:
    api.put("presence-room", 2, ann="")
    info = {"info": "user_count,subscription_count"}
    assert api.call("GET", "/channels/presence-room", **info) == (
        200,
        {"occupied": True, "user_count": 1, "subscription_count": 2},
    )
    assert api.call("GET", "/channels/presence-room/users") == (200, {"users": [{"id": "ann"}]})
    assert api.call("GET", "/channels/nobody.is@there,or=here;") == (200, {"occupied": False})
    for resource in ("/channels/a!b", "/channels/news/users", "/channels/#server-to-user-1"):
        assert api.call("GET", resource)[0] == 400


def test_what_a_cache_channel_keeps_is_described(api: Api) -> None:
    asyncio.run(api.transport.app.backplane.store.remember({"cache-a": '["told", "{}", "1"]'}))
    found = api.call("GET", "/channels/cache-a", info="cache")
    assert found == (200, {"occupied": False, "cache": {"data": "{}"}})
    assert api.call("GET", "/channels/cache-b", info="cache")[1]["cache"] is None


def test_a_users_connections_are_ended(api: Api) -> None:
    assert api.call("POST", "/users/ann/terminate_connections", {}) == (200, {})
    assert api.published == [DisconnectMessage("ann")]
    assert api.call("POST", f"/users/{'u' * 129}/terminate_connections", {})[0] == 400


@pytest.mark.parametrize(
    ("method", "resource", "status"),
    [
        ("GET", "/events", 405),
        ("DELETE", "/channels", 405),
        ("POST", "/channels/news", 405),
        ("GET", "/nothing", 404),
        ("GET", "", 404),
        ("POST", "/events/", 404),
    ],
)
def test_other_resources_and_methods(api: Api, method: str, resource: str, status: int) -> None:
    assert api.call(method, resource)[0] == status
    assert (b"allow" in api.headers) == (status == 405)


def test_a_refusal_says_the_method_and_its_own_encoding(api: Api) -> None:
    api.call("GET", "/events")
    assert api.headers[b"allow"] == b"POST"
    status, text = api.call("POST", "/events", {**EVENT, "channel": "Käse"})
    assert (status, "Käse" in text) == (400, True)
    assert api.headers[b"content-type"] == b"text/plain; charset=utf-8"


def test_names_of_parameters_may_be_in_any_case(api: Api) -> None:
    api.put("news", 3)
    found = api.call("GET", "/channels/news", Info="subscription_count")
    assert found == (200, {"occupied": True, "subscription_count": 3})


def test_a_body_is_bounded_and_must_be_an_object(api: Api) -> None:
    assert api.call("POST", "/events", body=b"x" * (MAX_BODY_BYTES + 1), chunks=9)[0] == 413
    for body in (b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"name": NaN}'):
        assert api.call("POST", "/events", body=body)[0] == 400


def test_of_what_strangers_send_nothing_is_kept(api: Api) -> None:
    def peak(secret: str) -> int:
        body = b"x" * (MAX_BODY_BYTES - 1)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        assert api.call("POST", "/events", body=body, chunks=64, secret=secret)[0] in (400, 401)
        return tracemalloc.get_traced_memory()[1] - before

    tracemalloc.start()
    try:
        # The caller holds the body twice, whole and in pieces.
        assert peak("another") < 2.5 * MAX_BODY_BYTES < peak(SECRET)
    finally:
        tracemalloc.stop()


def test_a_client_that_does_not_wait_is_answered_nothing(api: Api) -> None:
    scope = {"type": "http", "method": "POST", "path": "/apps/4242/events", "query_string": b""}

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    asyncio.run(api.api(scope, "/events", receive, send))


def test_a_client_that_leaves_before_its_answer_makes_no_fault(api: Api) -> None:
    scope = {"type": "http", "method": "GET", "path": "/apps/4242/channels"}

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        raise ConnectionResetError

    asyncio.run(api.api(scope, "/channels", receive, send))


def test_what_cannot_be_done_now_is_said_so(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(*args: Any) -> None:
        raise ConnectionError("redis://:test-secret@localhost refused")

    api.transport.app.backplane.apublish = fail  # type: ignore[method-assign]
    assert api.call("POST", "/events", EVENT)[0] == 503
    assert "ConnectionError" in caplog.text
    assert SECRET not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


def test_a_store_that_hangs_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    api = Api(timeout=0.01)

    async def hang(*args: Any) -> Any:
        await asyncio.Event().wait()

    api.transport.app.backplane.store.read = hang  # type: ignore[method-assign]
    assert api.call("GET", "/channels/news")[0] == 503
    assert "TimeoutError" in caplog.text


def test_the_door_is_shut_unless_an_option_opens_it(settings: Any) -> None:
    path = "realtime_drf.transports.channels.ChannelsTransport"
    called = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        called.append(scope["path"])

    async def ask(path: str) -> None:
        server = RealtimeServer(app)
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "query_string": b""}
        await server(scope, receive, send)
        for node in server.get_nodes().values():
            await node.stop()

    for options, expected in (({}, ["/apps/app/channels"]), ({"http_api": True}, [])):
        settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": path, "OPTIONS": options}}
        called.clear()
        asyncio.run(ask("/apps/app/channels"))
        assert called == expected
    asyncio.run(ask("/apps/another/channels"))
    assert called == ["/apps/another/channels"]
