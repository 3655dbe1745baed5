"""Webhooks: what is not the service's is refused, and what is, acted on once."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.test import Client
from django.urls import include, path
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from realtime_drf import signals
from realtime_drf.compat import ChannelExistenceWebhook
from realtime_drf.exceptions import InvalidRequest, InvalidSignature
from realtime_drf.pusher_protocol.webhooks import MARGIN, MAX_BODY_BYTES, WINDOW, WebhookReader
from realtime_drf.transports import transports
from realtime_drf.transports.pusher import PusherTransport
from realtime_drf.views import WebhookView
from realtime_drf.webhooks import REMEMBERED, SIGNALS
from tests.webhooks import KEY, OPTIONS, PUSHER, SECRET, make_body, sign

NOW = 1_800_000_000

urlpatterns = [
    path("realtime/", include("realtime_drf.urls")),
    path("pusher/channel-existence/", ChannelExistenceWebhook.as_view()),
]


class DownCache(LocMemCache):
    """A cache out of reach."""

    def add(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("redis://:password@cache")

    get_many = set_many = delete = add


@pytest.fixture(autouse=True)
def _site(settings: Settings) -> Iterator[None]:
    pytest.importorskip("pusher")
    settings.ROOT_URLCONF = __name__
    settings.REALTIME_TRANSPORTS = {
        "default": {"TRANSPORT": PUSHER, "OPTIONS": OPTIONS},
        "other": {"TRANSPORT": PUSHER, "OPTIONS": {**OPTIONS, "key": "k2", "secret": "s2"}},
        "memory": {"TRANSPORT": "realtime_drf.transports.memory.MemoryTransport"},
    }
    caches["default"].clear()
    yield
    caches["default"].clear()


@pytest.fixture
def told() -> Iterator[list[tuple[str, Any]]]:
    """What receivers of the signals were told."""
    told: list[tuple[str, Any]] = []

    def receiver(kind: str) -> Any:
        return lambda **kwargs: told.append((kind, kwargs))

    receivers = {kind: receiver(kind) for kind in SIGNALS}
    for kind, each in receivers.items():
        SIGNALS[kind].connect(each)
    yield told
    for kind, each in receivers.items():
        SIGNALS[kind].disconnect(each)


def post(body: bytes, headers: dict[str, str] | None = None, url: str = "webhooks/") -> Any:
    return Client(enforce_csrf_checks=True).post(
        f"/realtime/{url}",
        body,
        content_type="application/json",
        headers=sign(body) if headers is None else headers,
    )


def reader(**keys: str) -> WebhookReader:
    return WebhookReader({KEY: SECRET, **keys}, clock=lambda: NOW)


def read(content: Any) -> Any:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return reader().read(sign(body), body)


# Reading


def test_events_are_read_with_what_the_service_says_besides() -> None:
    (event,) = read(
        {
            "time_ms": NOW * 1000,
            "events": [{"name": "member_added", "channel": "presence-a", "user_id": "7"}],
        }
    )
    assert (event.kind, event.channel, event.time_ms) == ("member_added", "presence-a", NOW * 1000)
    assert event.details == {"user_id": "7"}


@pytest.mark.parametrize(
    ("age", "is_read"),
    [
        (0, True),
        (WINDOW, True),
        (WINDOW + MARGIN, True),
        (WINDOW + MARGIN + 1, False),
        (-61, False),
    ],
)
def test_what_is_older_than_the_last_try_is_refused(age: int, is_read: bool) -> None:
    content = {"time_ms": (NOW - age) * 1000, "events": []}
    if is_read:
        assert read(content) == []
    else:
        with pytest.raises(InvalidSignature):
            read(content)


def test_a_webhook_is_known_again_for_as_long_as_it_is_accepted() -> None:
    assert REMEMBERED > WINDOW + 2 * MARGIN


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Pusher-Key": KEY},
        {"X-Pusher-Key": "", "X-Pusher-Signature": ""},
        {"X-Pusher-Key": "unknown", "X-Pusher-Signature": "0" * 64},
        {"X-Pusher-Key": KEY, "X-Pusher-Signature": "0" * 64},
        {"X-Pusher-Key": KEY, "X-Pusher-Signature": "ü€\ud800"},
        {"X-Pusher-Key": f"{KEY},{KEY}", "X-Pusher-Signature": "0" * 64},
    ],
)
def test_what_is_not_signed_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidSignature):
        reader().read(headers, make_body(time_ms=NOW * 1000))


def test_the_signature_is_of_the_bytes_and_compared_in_constant_time() -> None:
    body = make_body("channel_occupied", time_ms=NOW * 1000)
    with pytest.raises(InvalidSignature):
        reader().read(sign(body), json.dumps(json.loads(body), indent=1).encode())
    with mock.patch("hmac.compare_digest", return_value=True) as compare:
        reader().read({**sign(body), "X-Pusher-Signature": "x"}, body)
    assert compare.call_count == 1


def test_several_keys_are_accepted_while_they_are_replaced() -> None:
    body = make_body(time_ms=NOW * 1000)
    assert reader(new="newer").read(sign(body, key="new", secret="newer"), body) == []
    with pytest.raises(InvalidSignature):
        reader(new="newer").read(sign(body, key="new", secret=SECRET), body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"time_ms": 1}',
        b'{"time_ms": "1", "events": []}',
        b'{"time_ms": true, "events": []}',
        b'{"time_ms": 1800000000000.0, "events": []}',
        b'{"time_ms": NaN, "events": []}',
        b'{"time_ms": 1e999, "events": []}',
        b'{"time_ms": ' + b"9" * 5000 + b', "events": []}',
        b'{"time_ms": 1800000000000, "events": {}}',
        b'{"time_ms": 1800000000000, "events": [1]}',
        b'{"time_ms": 1800000000000, "events": [{}]}',
        b'{"time_ms": 1800000000000, "events": [{"name": 1, "channel": "a"}]}',
        b'{"time_ms": 1800000000000, "events": [{"name": "a", "channel": null}]}',
        b'{"time_ms": 1800000000000, "events": [{"name": "a", "x": Infinity}]}',
        b"[" * 100_000 + b"]" * 100_000,
        b" " * (MAX_BODY_BYTES + 1),
    ],
)
def test_what_is_signed_but_malformed_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["time_ms", "events", "name", "channel", "x"]), inner, max_size=5
        )
    ),
)
contents = (
    st.binary(max_size=200)
    | json_values
    | st.fixed_dictionaries(
        {
            "time_ms": st.just(NOW * 1000) | json_values,
            "events": json_values
            | st.lists(
                st.fixed_dictionaries(
                    {"name": json_values | st.sampled_from(sorted(SIGNALS))},
                    optional={"channel": json_values, "x": json_values},
                )
            ),
        }
    )
)


@given(content=contents, header=st.text() | st.none(), key=st.text() | st.just(KEY))
def test_no_body_and_no_header_is_an_error_of_ours(
    content: Any, header: str | None, key: str
) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = sign(body) if header is None else {"x": header, "X-Pusher-Signature": header}
    headers["X-Pusher-Key"] = key
    try:
        events = reader().read(headers, body)
    except InvalidRequest as exc:
        assert SECRET not in str(exc)  # noqa: PT017
        assert "my-key" not in str(exc)  # noqa: PT017
    else:
        assert all(isinstance(event.kind, str) for event in events)


# The view


@pytest.mark.parametrize("kind", sorted(SIGNALS))
def test_receivers_are_told(kind: str, told: list[Any]) -> None:
    response = post(make_body({"name": kind, "channel": "presence-room", "user_id": "7"}))
    assert (response.status_code, response.json()) == (
        200,
        {"handled": 1, "ignored": 0, "repeated": False},
    )
    ((name, kwargs),) = told
    assert name == kind
    assert kwargs["sender"] is PusherTransport
    assert (kwargs["transport"], kwargs["channel"]) == ("default", "presence-room")
    assert kwargs["event"].details == {"user_id": "7"}


def test_a_repeated_webhook_is_answered_200_and_not_acted_on(told: list[Any]) -> None:
    body = make_body("channel_occupied")
    assert [post(body).json()["repeated"] for _ in range(3)] == [False, True, True]
    assert len(told) == 1


def test_with_the_cache_down_it_is_acted_on(
    settings: Settings, told: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.DownCache"}}
    assert post(make_body("channel_occupied")).status_code == 200
    assert len(told) == 1
    assert "ConnectionError" in caplog.text
    assert "password" not in caplog.text


class SwallowingCache(LocMemCache):
    """A cache out of reach that answers nothing, as django-redis does with IGNORE_EXCEPTIONS."""

    def add(self, *args: Any, **kwargs: Any) -> Any:
        return None

    get_many = set_many = delete = delete_many = add


def test_with_a_cache_that_swallows_its_errors_it_is_acted_on(
    settings: Settings, told: list[Any]
) -> None:
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.SwallowingCache"}}
    body = make_body("channel_occupied")
    assert [post(body).json()["handled"] for _ in range(2)] == [1, 1]
    assert len(told) == 2


def test_what_is_not_known_is_ignored_and_counted(
    told: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    body = make_body(
        {"name": "watchlist\n\ud800", "user_id": "7"},
        "channel_occupied",
        {"name": "channel_vacated", "channel": "no channel"},
    )
    assert post(body).json() == {"handled": 1, "ignored": 2, "repeated": False}
    assert [kind for kind, _ in told] == ["channel_occupied"]
    assert r"watchlist\n\ud800" in caplog.text


def test_a_receiver_that_raises_loses_nothing(
    told: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**kwargs: Any) -> None:
        raise ValueError("a receiver's own")

    signals.channel_occupied.connect(fail)
    try:
        response = post(make_body("channel_occupied", "channel_vacated"))
    finally:
        signals.channel_occupied.disconnect(fail)
    assert response.json()["handled"] == 2
    assert [kind for kind, _ in told] == ["channel_occupied", "channel_vacated"]
    assert "a receiver's own" in caplog.text


def test_an_interrupted_webhook_is_acted_on_when_it_comes_again(told: list[Any]) -> None:
    def stop(**kwargs: Any) -> None:
        raise SystemExit

    body = make_body("channel_occupied")
    signals.channel_occupied.connect(stop)
    try:
        with pytest.raises(SystemExit):
            post(body)
    finally:
        signals.channel_occupied.disconnect(stop)
    told.clear()
    assert post(body).json()["handled"] == 1
    assert len(told) == 1


def test_each_alias_has_its_own_url_and_keys(told: list[Any]) -> None:
    body = make_body("channel_occupied")
    assert post(body, url="webhooks/other/").status_code == 401
    assert post(body, sign(body, key="k2", secret="s2"), "webhooks/other/").status_code == 200
    assert post(body).json()["handled"] == 1  # the same bytes, by another transport
    assert [kwargs["transport"] for _, kwargs in told] == ["other", "default"]


@pytest.mark.parametrize("url", ["webhooks/nothing/", "webhooks/memory/"])
def test_what_takes_no_webhooks_is_not_found(url: str) -> None:
    assert post(make_body(), url=url).status_code == 404


def test_status_says_what_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    body = make_body("channel_occupied")
    assert post(body, {}).status_code == 401
    assert post(body, {**sign(body), "X-Pusher-Signature": "f" * 64}).status_code == 401
    assert post(make_body(time_ms=int((time.time() - 3600) * 1000))).status_code == 401
    assert post(b"[]").status_code == 400
    assert Client().get("/realtime/webhooks/").status_code == 405
    assert all(record.levelno <= logging.WARNING for record in caplog.records)
    for secret in (KEY, SECRET, sign(body)["X-Pusher-Signature"], "f" * 64):
        assert secret not in caplog.text


def test_a_body_beyond_djangos_limit_is_malformed(settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert post(make_body("channel_occupied")).status_code == 400


@pytest.mark.parametrize("accept", ["text/html", "x/y", "\xff;;;", ""])
def test_neither_form_nor_accept_matter(accept: str) -> None:
    body = make_body("channel_occupied")
    response = Client().post(
        "/realtime/webhooks/?format=xml",
        body,
        content_type="application/x-www-form-urlencoded",
        headers={**sign(body), "Accept": accept},
    )
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"


def test_settings_of_the_project_do_not_shut_the_service_out(settings: Settings) -> None:
    settings.REST_FRAMEWORK = {
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.BasicAuthentication"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
    }
    body = make_body("channel_occupied")
    assert post(body, {**sign(body), "Authorization": "Basic !"}).status_code == 200


def test_the_seeds_view_is_that_of_the_default_transport(told: list[Any]) -> None:
    body = make_body("channel_vacated")
    response = Client().post(
        "/pusher/channel-existence/", body, content_type="application/json", headers=sign(body)
    )
    assert response.json()["handled"] == 1
    assert told[0][1]["transport"] == "default"


def test_keys_are_in_no_repr() -> None:
    assert SECRET not in repr(vars(transports["default"])["_webhooks"])


@pytest.mark.parametrize("keys", [["a"], {"a": 1}, {"a": ""}, "a"])
def test_webhook_keys_must_be_a_dict_of_texts(settings: Settings, keys: Any) -> None:
    settings.REALTIME_TRANSPORTS = {
        "default": {"TRANSPORT": PUSHER, "OPTIONS": {**OPTIONS, "webhook_keys": keys}}
    }
    with pytest.raises(Exception, match="'webhook_keys' must be a dict"):
        transports["default"]


def test_webhook_keys_are_accepted_besides_the_apps(settings: Settings) -> None:
    options = {**OPTIONS, "webhook_keys": {"old": "older"}}
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PUSHER, "OPTIONS": options}}
    body = make_body("channel_occupied")
    assert post(body, sign(body, key="old", secret="older")).json()["handled"] == 1
    assert post(body).json()["repeated"]


def test_it_is_remembered_only_outside_a_transaction_that_might_yet_fail() -> None:
    assert vars(WebhookView.as_view())["_non_atomic_requests"] == {"default"}
