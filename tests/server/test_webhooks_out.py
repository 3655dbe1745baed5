"""What the server sends is what Pusher sends: to real receivers, read by Pusher's own SDKs."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from realtime_drf import http_connections as connections
from realtime_drf.cluster.webhooks.endpoints import KINDS, read_endpoints
from realtime_drf.cluster.webhooks.sender import WebhookSender, make_body, make_headers, make_text
from realtime_drf.pusher_protocol.signatures import Signer
from realtime_drf.pusher_protocol.webhooks import WebhookReader
from realtime_drf.transports import transports
from realtime_drf.webhook_events import WebhookEvent
from tests.services import node_sdk
from tests.services.faults import Close, Fault, Garbage, HalfThenClose, Hang, Reset, Slow, Status
from tests.services.nat import Nat
from tests.services.node_sdk import call_node_sdk
from tests.services.policy import require
from tests.services.process import wait_until
from tests.services.webhook_receiver import WebhookReceiver

tenacity = pytest.importorskip("tenacity")
urllib3 = pytest.importorskip("urllib3")

KEY, SECRET = "test-key", "test-secret"
MakeSender = Callable[..., WebhookSender]


def report(kind: str = "channel_occupied", channel: str = "room", **details: Any) -> WebhookEvent:
    return WebhookEvent(kind=kind, channel=channel, time_ms=1, details=details)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver(KEY, SECRET) as service:
        yield service


@pytest.fixture
def make_sender() -> Iterator[MakeSender]:
    """Return a function that makes a sender to endpoints, closed after the test."""
    with ExitStack() as senders:

        def make(*webhooks: Any) -> WebhookSender:
            endpoints = read_endpoints(webhooks, alias="default")
            sender = WebhookSender(
                endpoints, Signer(KEY, SECRET), tenacity=tenacity, urllib3=urllib3
            )
            senders.callback(sender.close, 1)
            return sender

        yield make


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have tries follow each other without a pause that is worth waiting for."""
    monkeypatch.setattr("realtime_drf.cluster.webhooks.queue.MAX_DELAY", 0.01)


ALL = [
    report("channel_occupied", "presence-Käse"),
    report("member_added", "presence-room", user_id="7"),
    report(
        "client_event",
        "presence-room",
        event="client-typing",
        data='{"text":"Käse 🧀 \\" \\n"}',
        socket_id="1.2",
        user_id="7",
    ),
    report("cache_miss", "cache-price"),
    report("subscription_count", "room", subscription_count=2),
    report("member_removed", "presence-room", user_id="7"),
    report("channel_vacated", "room"),
]
EVENTS = [{"name": each.kind, "channel": each.channel, **each.details} for each in ALL]


def test_a_webhook_is_what_pusher_sends(receiver: WebhookReceiver, make_sender: MakeSender) -> None:
    before = int(time.time() * 1000)
    make_sender({"url": receiver.webhook_url}).put(ALL)
    assert receiver.wait_for_events(7) == EVENTS
    [request] = receiver.requests
    assert set(request.body) == {"time_ms", "events"}
    assert before <= request.body["time_ms"] <= time.time() * 1000
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("realtime-drf/")


def test_pushers_python_sdk_reads_it(receiver: WebhookReceiver, make_sender: MakeSender) -> None:
    pusher = pytest.importorskip("pusher")
    make_sender({"url": receiver.webhook_url}).put(ALL)
    receiver.wait_for_events(7)
    [request] = receiver.taken
    client = pusher.Pusher(app_id="1", key=KEY, secret=SECRET, ssl=False)
    key, signature = (request.headers[f"x-pusher-{name}"] for name in ("key", "signature"))
    body = request.raw_body.decode()
    assert client.validate_webhook(key, signature, body)["events"] == EVENTS
    assert client.validate_webhook(key, signature, body + " ") is None


def test_pushers_node_sdk_reads_it(receiver: WebhookReceiver, make_sender: MakeSender) -> None:
    require("Pusher's Node SDK", node_sdk.unavailable())
    make_sender({"url": receiver.webhook_url}).put(ALL)
    receiver.wait_for_events(7)
    [request] = receiver.taken
    text = request.raw_body.decode()

    class App:
        host, port, app_id, key, secret = "127.0.0.1", 1, "1", KEY, SECRET

    good, bad = call_node_sdk(
        App(), ["webhook", request.headers, text], ["webhook", request.headers, text + " "]
    )
    assert good["body"] == {"isValid": True, "events": EVENTS}
    assert bad["body"]["isValid"] is False


@given(
    st.lists(
        st.builds(
            report,
            st.sampled_from(KINDS),
            st.text(min_size=1, max_size=20),
            user_id=st.text(max_size=20),
            data=st.text(max_size=40),
        ),
        min_size=1,
    ),
    st.integers(0, 10**13),
)
def test_whatever_is_reported_arrives_as_it_was(events: list[WebhookEvent], time_ms: int) -> None:
    body = make_body(time_ms, [make_text(event) for event in events])
    reader = WebhookReader({KEY: SECRET}, clock=lambda: time_ms / 1000)
    read = reader.read(make_headers(Signer(KEY, SECRET), body), body)
    assert [(each.kind, each.channel, each.details) for each in read] == [
        (each.kind, each.channel, each.details) for each in events
    ]


def test_text_that_is_none_spoils_no_other_report() -> None:
    """A JSON text may hold half of a character, which no UTF-8 can."""
    body = make_body(0, [make_text(report(user_id="\ud800")), make_text(report(channel="other"))])
    assert [each["channel"] for each in json.loads(body.decode())["events"]] == ["room", "other"]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    "fault",
    [
        Status(500),
        Status(404),
        Status(401),
        Status(429),
        Status(304),
        Status(302, headers={"Location": "/hooks/"}),
        Status(307, headers={"Location": "/hooks/"}),
        Reset(),
        Close(),
        Garbage(),
    ],
    ids=lambda fault: f"{type(fault).__name__} {getattr(fault, 'code', '')}",
)
def test_what_is_no_success_is_tried_again_as_it_was(
    receiver: WebhookReceiver, make_sender: MakeSender, fault: Fault
) -> None:
    receiver.fail_next(fault, times=2)
    make_sender({"url": receiver.webhook_url}).put([report(), report("channel_vacated")])
    receiver.wait_for_events(2)
    assert len(receiver.requests) == 3
    assert len({request.raw_body for request in receiver.requests}) == 1
    assert {request.path for request in receiver.requests} == {"/hooks/"}
    assert len({request.headers["x-pusher-signature"] for request in receiver.requests}) == 1


@pytest.mark.usefixtures("at_once")
def test_an_endpoint_that_is_away_gets_it_when_it_is_back(
    receiver: WebhookReceiver, make_sender: MakeSender, caplog: pytest.LogCaptureFixture
) -> None:
    with receiver.refuse():
        make_sender({"url": receiver.webhook_url}).put([report()])
        wait_until(lambda: "NewConnectionError" in caplog.text)
    receiver.wait_for_events(1)


@pytest.mark.parametrize("code", [200, 201, 204])
def test_any_2xx_is_a_success(
    receiver: WebhookReceiver, make_sender: MakeSender, code: int
) -> None:
    receiver.fail_next(Status(code, "x" * 100_000))
    sender = make_sender({"url": receiver.webhook_url})
    sender.put([report()])
    receiver.wait_for(lambda: receiver.requests)
    sender.close()
    assert len(receiver.requests) == 1
    assert sender.dropped == 0


def test_a_success_counts_whatever_becomes_of_its_body(
    receiver: WebhookReceiver, make_sender: MakeSender
) -> None:
    receiver.fail_next(HalfThenClose())
    sender = make_sender({"url": receiver.webhook_url})
    sender.put([report()])
    receiver.wait_for(lambda: receiver.requests)
    sender.close()
    assert (len(receiver.requests), sender.dropped) == (1, 0)


@pytest.mark.usefixtures("at_once")
def test_an_endpoint_that_does_not_answer_is_tried_again(
    receiver: WebhookReceiver, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_drf.cluster.webhooks.queue.TIMEOUT", 0.1)
    receiver.fail_next(Hang())
    make_sender({"url": receiver.webhook_url}).put([report()])
    receiver.wait_for_events(1)
    assert len(receiver.requests) == 2


def test_a_slow_endpoint_holds_up_neither_the_caller_nor_other_endpoints(
    receiver: WebhookReceiver, make_sender: MakeSender
) -> None:
    slow = Slow()
    with WebhookReceiver(KEY, SECRET) as other:
        receiver.fail_next(slow)
        sender = make_sender({"url": receiver.webhook_url}, {"url": other.webhook_url})
        started = time.monotonic()
        sender.put([report(channel="0")])
        receiver.wait_for(lambda: receiver.requests)
        for number in range(1, 1000):
            sender.put([report(channel=str(number))])
        assert time.monotonic() - started < 5
        names = [event["channel"] for event in other.wait_for_events(1000)]
        assert names == [str(number) for number in range(1000)]
        assert len(receiver.requests) == 1
        slow.release()
        names = [event["channel"] for event in receiver.wait_for_events(1000)]
        assert names == [str(number) for number in range(1000)]
        assert len(receiver.requests) <= 4, "what has gathered goes together"


def test_each_endpoint_gets_what_it_asks_for_with_its_headers(
    receiver: WebhookReceiver, make_sender: MakeSender
) -> None:
    with WebhookReceiver(KEY, SECRET) as other:
        sender = make_sender(
            {"url": receiver.webhook_url, "events": ["member_added"], "headers": {"X-For": "a"}},
            {"url": other.webhook_url, "channel_name_starts_with": ["cache-", "presence-K"]},
        )
        sender.put(ALL)
        assert other.wait_for_events(2) == [EVENTS[0], EVENTS[3]]
        assert receiver.wait_for_events(1) == [EVENTS[1]]
        sender.put([report(channel="done"), report("member_added", "presence-done")])
        assert receiver.wait_for_events(2)[1]["channel"] == "presence-done"
        assert len(other.events) == 2
        assert {request.headers.get("x-for") for request in receiver.requests} == {"a"}
        assert {request.headers.get("x-for") for request in other.requests} == {None}


def test_closing_waits_for_all_endpoints_together(make_sender: MakeSender) -> None:
    with ExitStack() as stack:
        hanging = [stack.enter_context(WebhookReceiver(KEY, SECRET)) for _ in range(4)]
        for each in hanging:
            each.fail_next(Hang())
        sender = make_sender(*({"url": each.webhook_url} for each in hanging))
        sender.put([report()])
        for each in hanging:
            each.wait_for(lambda each=each: each.requests)
        started = time.monotonic()
        sender.close(0.5)
        assert time.monotonic() - started < 1.5


def test_one_connection_is_used_again(
    receiver: WebhookReceiver, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_IDLE", 60.0)
    sender = make_sender({"url": receiver.webhook_url})
    for number in range(1, 4):
        sender.put([report()])
        receiver.wait_for_events(number)
    assert len(receiver.requests) == 3
    assert receiver.connections == 1


@pytest.mark.parametrize("answer", ["reset", "swallow"])
def test_the_first_report_after_quiet_arrives_at_once(
    receiver: WebhookReceiver,
    make_sender: MakeSender,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answer: Any,
) -> None:
    with Nat(receiver.port, answer) as nat:
        sender = make_sender({"url": f"http://127.0.0.1:{nat.port}{receiver.path}"})
        sender.put([report()])
        nat.wait_for_answers(1)
        nat.forget()
        monkeypatch.setattr(connections, "MAX_IDLE", 0.0)
        sender.put([report()])
        nat.wait_for_answers(2)
        assert (nat.flows, len(receiver.events)) == (2, 2)
    assert "does not accept webhooks" not in caplog.text


def test_a_connection_that_falls_costs_no_try(
    receiver: WebhookReceiver,
    make_sender: MakeSender,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(connections, "MAX_IDLE", 60.0)
    sender = make_sender({"url": receiver.webhook_url})
    sender.put([report()])
    receiver.wait_for_events(1)
    receiver.fail_next(Reset())
    sender.put([report()])
    receiver.wait_for_events(2)
    assert "does not accept webhooks" not in caplog.text


@pytest.mark.usefixtures("at_once")
def test_no_secret_token_or_body_is_logged(
    receiver: WebhookReceiver, make_sender: MakeSender, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.fail_next(Status(500, "b0dy"))
    receiver.fail_next(Reset())
    url = f"{receiver.webhook_url}?t0ken"
    sender = make_sender({"url": url, "headers": {"X-Token": "t0ken"}})
    sender.put([report("client_event", data="pr1vate")])
    receiver.wait_for_events(1)
    sender.close()
    signature = receiver.requests[0].headers["x-pusher-signature"]
    text = caplog.text + repr(sender) + repr(sender._queues.get())
    for secret in (SECRET, "t0ken", "pr1vate", "b0dy", signature, "/hooks/"):
        assert secret not in text
    assert "status 500" in text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_sends_its_own_reports_and_leaves_those_of_its_parent(
    receiver: WebhookReceiver, make_sender: MakeSender
) -> None:
    sender = make_sender({"url": receiver.webhook_url})
    sender.put([report(channel="before")])
    receiver.wait_for_events(1)
    sender.put([report(channel="parent")])
    child = os.fork()
    if child == 0:
        try:
            sender.close(5)  # nothing waits here
            sender.put([report(channel="child")])
            sender.close(5)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    sender.close(5)
    channels = [event["channel"] for event in receiver.events]
    assert sorted(channels) == ["before", "child", "parent"]


# The server


PATH = "realtime_drf.transports.channels.ChannelsTransport"


def test_of_several_nodes_one_reports(settings: Settings, receiver: WebhookReceiver) -> None:
    pytest.importorskip("channels")
    from realtime_drf.server.node import Node

    options = {"key": KEY, "secret": SECRET, "vacated_delay": 0, "client_events": True}
    options["webhooks"] = [{"url": receiver.webhook_url}]
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH, "OPTIONS": options}}
    transport: Any = transports["default"]

    async def send(message: Any) -> None:
        pass

    async def live() -> None:
        nodes = [Node(transport.app, print), Node(transport.app, print)]
        connections = [node.connect(send) for node in nodes for _ in range(2)]
        for connection in connections:
            assert connection is not None
            await connection.node.join(connection, "presence-room", "7", "")
        first = connections[0]
        assert first is not None
        first.node.send_client_event(first, "client-a", "presence-room", "1")
        for connection in connections:
            assert connection is not None
            connection.node.disconnect(connection)
        await asyncio.wait_for(_until(lambda: not any(n.hub.channels for n in nodes)), 5)
        for node in nodes:
            await node.tick()
        await asyncio.gather(*(node.send_webhooks() for node in nodes))

    asyncio.run(live())
    kinds = [event["name"] for event in receiver.events]
    assert kinds[:3] == ["channel_occupied", "member_added", "client_event"]
    assert sorted(kinds[3:]) == ["channel_vacated", "member_removed"]
    transport.close()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


def test_what_is_dropped_is_a_figure_of_the_node(settings: Settings) -> None:
    pytest.importorskip("channels")
    from realtime_drf.server.node import Node

    hooks = [{"url": "http://127.0.0.1:1/"}]
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH, "OPTIONS": {"webhooks": hooks}}}
    transport: Any = transports["default"]
    transport.app.webhooks.put([report()])
    transport.close()

    async def stats() -> dict[str, int]:
        return Node(transport.app, print).stats()

    assert asyncio.run(stats())["dropped_webhooks"] == 1


def test_nothing_runs_where_nobody_asks_for_webhooks(settings: Settings) -> None:
    pytest.importorskip("channels")
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH}}
    transport: Any = transports["default"]
    assert transport.app.webhooks is None
    hooks = [{"url": "http://127.0.0.1:1/", "events": ["cache_miss"]}]
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH, "OPTIONS": {"webhooks": hooks}}}
    transport = transports["default"]
    before = threading.active_count()
    transport.app.webhooks.put([report()])
    assert threading.active_count() == before
