"""Whatever comes at the HTTP API, signed or not, is answered by its rules and makes no fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import event as note
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("channels")

from realtime_drf.cluster.messages import DisconnectMessage, EventMessage
from realtime_drf.names import is_unicode
from tests.server.http_caller import KEY, NOW, Api

UNICODE = st.characters(codec="utf-8")
ANY_TEXT = st.text(UNICODE, max_size=8)

LEGAL = ("news", "private-a", "presence-a", "private-encrypted-a", "cache-a", "#server-to-user-7")
GO_ALONE = {"private-encrypted-a", "#server-to-user-7"}
NAMES = st.sampled_from(LEGAL)
CHANNELS = NAMES | st.text(st.characters(), max_size=8)  # lone surrogates too
INFO = st.lists(
    st.sampled_from(["user_count", "subscription_count", "cache", "", "age"]), max_size=3
).map(",".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
DATA = st.sampled_from(["{}", "x" * 10_240, "x" * 10_241]) | st.text(st.characters(), max_size=20)
SOCKET_IDS = st.none() | st.sampled_from(["1.2", "1", ""]) | ANY_TEXT


def mostly(
    good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any] = JSON
) -> st.SearchStrategy[Any]:
    """Make what is good nine times in ten: one bad part spoils a request, and hides the others."""
    return st.integers(0, 9).flatmap(lambda number: bad if number == 5 else good)


def events(channels: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"name": mostly(st.just("told")), "data": mostly(DATA), **channels},
        optional={"socket_id": mostly(st.just("1.2"), SOCKET_IDS), "info": mostly(INFO)},
    )


ONE = {"channel": mostly(NAMES, CHANNELS | JSON)}
MANY = {"channels": mostly(st.lists(NAMES, min_size=1, max_size=3), st.lists(CHANNELS) | JSON)}
BATCHES = st.fixed_dictionaries({"batch": mostly(st.lists(events(ONE), max_size=11))})
REQUESTS = st.one_of(
    st.tuples(st.just("POST"), st.just("/events"), mostly(events(ONE) | events(MANY))),
    st.tuples(st.just("POST"), st.just("/batch_events"), mostly(BATCHES)),
    st.tuples(st.just("POST"), ANY_TEXT.map("/users/{}/terminate_connections".format), JSON),
    st.tuples(st.just("GET"), st.just("/channels"), st.none()),
    st.tuples(st.just("GET"), CHANNELS.map("/channels/{}".format), st.none() | JSON),
    st.tuples(st.just("GET"), CHANNELS.map("/channels/{}/users".format), st.none()),
    st.tuples(
        st.sampled_from(["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS"]),
        st.sampled_from(["/events", "/channels"]) | ANY_TEXT.map("/{}".format),
        JSON,
    ),
).filter(lambda request: is_unicode(request[1]))
PARAMETERS = st.dictionaries(
    ANY_TEXT.map(str.lower).filter(lambda name: not name.startswith(("auth_", "body_"))),
    ANY_TEXT,
    max_size=3,
)
KNOWN = st.fixed_dictionaries(
    {}, optional={"info": INFO, "filter_by_prefix": CHANNELS.filter(is_unicode)}
)


def is_good(content: Any) -> bool:
    """Tell whether an event must be carried, of one channel or several."""
    if not isinstance(content, dict) or not {"name", "data"} <= content.keys():
        return False
    channels = content["channels"] if "channels" in content else [content.get("channel")]
    return (
        content["name"] == "told"
        and isinstance(content["data"], str)
        and is_unicode(content["data"])
        and len(content["data"].encode()) <= 10_240
        and isinstance(channels, list)
        and len(channels) > 0
        and all(channel in LEGAL for channel in channels)
        and (len(channels) == 1 or not GO_ALONE.intersection(channels))
        and content.get("socket_id", "1.2") == "1.2"
        and "info" not in content
    )


GOOD = {"name": "told", "data": "{}", "socket_id": "1.2"}


@pytest.fixture(autouse=True)
def _no_faults(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.getMessage() for record in caplog.get_records("call")] == []


@example(
    request=("POST", "/events", {**GOOD, "channel": "private-encrypted-a"}),
    parameters={},
    known={},
    chunks=1,
)
@example(
    request=("POST", "/batch_events", {"batch": [{**GOOD, "channel": name} for name in LEGAL]}),
    parameters={"a": "b"},
    known={},
    chunks=9,
)
@given(request=REQUESTS, parameters=PARAMETERS, known=KNOWN, chunks=st.integers(1, 9))
def test_what_is_signed_is_answered_by_the_rules(
    request: tuple[str, str, Any], parameters: dict[str, str], known: dict[str, str], chunks: int
) -> None:
    api = Api()
    method, resource, content = request
    status, answer = api.call(
        method, resource, content, chunks=chunks, query={**parameters, **known}
    )
    note(f"{method} {status}")
    # Never 401, whatever the parameters are, and never 5xx.
    assert status in (200, 400, 404, 405, 413)
    assert isinstance(answer, dict if status == 200 else str)
    assert not api.published or (status, method) == (200, "POST")
    for item in api.published:
        _check_item(item)
    if (method, resource) == ("POST", "/events") and is_good(content):
        assert len(api.published) == 1
    if (method, resource) == ("POST", "/batch_events") and _is_good_batch(content):
        assert len(api.published) == len(content["batch"])


def _is_good_batch(content: Any) -> bool:
    """Tell whether a batch must be carried."""
    batch = content.get("batch") if isinstance(content, dict) else None
    return isinstance(batch, list) and 0 < len(batch) <= 10 and all(map(is_good, batch))


def _check_item(item: EventMessage | DisconnectMessage) -> None:
    """See to it that whatever is published can be carried and is within the limits."""
    json.dumps(item, ensure_ascii=False).encode()
    if isinstance(item, EventMessage):
        assert 1 <= len(item.channels) <= 100
        assert len(item.body.encode()) <= 10_240


@example(content={**GOOD, "channels": ["news", "private-a"]})
@given(content=events(MANY))
def test_what_is_carried_is_what_was_sent(content: dict[str, Any]) -> None:
    api = Api()
    status, _ = api.call("POST", "/events", content)
    note(f"{status}")
    assert len(api.published) == (status == 200) >= is_good(content)
    for item in api.published:
        assert (item.name, item.body) == (content["name"], content["data"])
        assert set(item.channels) == set(content["channels"])
        assert item.socket_id == (content.get("socket_id") or "")


@given(body=st.binary(max_size=60) | st.text(max_size=20).map(str.encode), chunks=st.integers(1, 9))
def test_signed_bytes_that_say_nothing_are_refused(body: bytes, chunks: int) -> None:
    api = Api()
    assert api.call("POST", "/events", body=body, chunks=chunks)[0] == 400
    assert api.published == []


@given(query=st.binary(max_size=60), body=st.lists(st.binary(max_size=30), min_size=1, max_size=4))
def test_nothing_that_is_not_signed_is_acted_on(query: bytes, body: list[bytes]) -> None:
    api = Api()
    assert api.send("POST", "/apps/4242/events", query, body)[0] in (400, 401)
    assert api.published == []


@given(
    changed=st.sampled_from(
        ["auth_key", "auth_timestamp", "auth_version", "auth_signature", "body_md5", "info"]
    ),
    value=ANY_TEXT.filter(lambda value: value not in (KEY, str(NOW), "1.0")),  # what it is
)
def test_a_signed_request_that_was_changed_is_refused(changed: str, value: str) -> None:
    api = Api()
    event = {"name": "told", "channel": "news", "data": "{}"}
    assert api.call("POST", "/events", event, params={changed: value})[0] == 401
    assert api.published == []
