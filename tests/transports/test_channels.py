"""The Channels transport: its options, what is said of wrong ones, and one process alone."""

from __future__ import annotations

import asyncio
import base64
import threading
from typing import Any

import pytest
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import run_checks
from hypothesis import example, given
from hypothesis import strategies as st
from pytest_django import Settings

pytest.importorskip("channels")
pytest.importorskip("nacl")

from channels.layers import BaseChannelLayer, get_channel_layer

from realtime_drf import Event, publish
from realtime_drf.conf import derive_secrets
from realtime_drf.exceptions import InvalidTransport, PayloadTooLarge
from realtime_drf.names import ChannelKind
from realtime_drf.occupancy import Occupancy
from realtime_drf.server import consumer_group
from realtime_drf.testing.strategies import channel_names
from realtime_drf.transports import transports
from realtime_drf.transports.channels import ChannelsTransport
from realtime_drf.webhook_events import WebhookEvent
from tests.server.harness import PATH, Site

IN_MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
MASTER_KEY = base64.b64encode(b"k" * 32).decode()


def configured(settings: Settings, **options: Any) -> ChannelsTransport:
    settings.REALTIME_TRANSPORTS = {"live": {"TRANSPORT": PATH, "OPTIONS": options}}
    transport = transports["live"]
    assert isinstance(transport, ChannelsTransport)
    return transport


def test_encrypted_data_is_measured_as_it_goes_over_the_layer(settings: Settings) -> None:
    transport = configured(settings, encryption_master_key_base64=MASTER_KEY)
    for length in (0, 1, 2, 7_600):
        event = Event("e", "private-encrypted-a", "x" * length)
        [item] = transport._make_messages(event)
        assert transport.wire_size(event) == len(item.body)
    with pytest.raises(PayloadTooLarge):
        transport.send([Event("e", "private-encrypted-a", "x" * 8_500)])


# Options


def test_nothing_has_to_be_given(settings: Settings) -> None:
    transport = configured(settings)
    assert transport.app.is_local
    assert (transport.app.app_id, transport.signer.key) == ("app", "app-key")
    assert transport.signer.verify("text", transport.signer.sign("text"))
    assert not transport.supports_encryption
    assert not transport.app.options.client_events
    assert run_checks(tags=["realtime_drf"], include_deployment_checks=False) == [
        message
        for message in run_checks(tags=["realtime_drf"])
        if message.id == "realtime_drf.E002"  # these settings have no "default"
    ]


def test_the_secret_follows_from_the_secret_key(settings: Settings) -> None:
    one = configured(settings, app_id="1").signer
    assert one.sign("text") == configured(settings, app_id="1").signer.sign("text")
    assert one.sign("text") != configured(settings, app_id="2").signer.sign("text")
    (secret,) = derive_secrets("live:1")
    assert one.sign("text") == configured(settings, app_id="1", secret=secret).signer.sign("text")
    settings.SECRET_KEY = "another one"
    assert one.sign("text") != configured(settings, app_id="1").signer.sign("text")


def test_apps_on_one_cache_know_nothing_of_each_others_channels(settings: Settings) -> None:
    cache = LocMemCache("apps", {})
    one, other = (
        Occupancy(configured(settings, app_id=app_id), lambda: cache) for app_id in ("1", "2")
    )
    one.learn([WebhookEvent(kind="channel_occupied", channel="private-a", time_ms=1)])
    keys = set(cache._cache)
    one.learn([WebhookEvent(kind="channel_occupied", channel="private-a", time_ms=2)])
    assert set(cache._cache) == keys
    other.learn([WebhookEvent(kind="channel_occupied", channel="private-a", time_ms=3)])
    assert len(cache._cache) == 2 * len(keys)


def test_an_empty_store_is_none(settings: Settings) -> None:
    # Such as `os.environ.get("REDIS_URL", "")` where there is one process.
    assert configured(settings, store="").app.is_local


WRONG: list[dict[str, Any]] = [
    {"app_id": ""},
    {"app_id": "with space"},
    {"key": ""},
    {"key": 7},
    {"key": "a/b"},
    {"key": "a:b"},
    {"secret": ""},
    {"secret": b"bytes"},
    {"layer": "missing"},
    {"timeout": 0},
    {"timeout": "5"},
    {"timeout": True},
    {"timeout": float("inf")},
    {"consumer_groups": "yes"},
    {"http_api": 1},
    {"encryption_master_key_base64": "not base64"},
    {"encryption_master_key_base64": base64.b64encode(b"short").decode()},
    {"encryption_master_key_base64": 7},
    {"payload_limit": 0},
    {"payload_limit": 1.5},
    {"client_events": None},
    {"client_events_per_second": 0},
    {"subscription_counting": "no"},
    {"allowed_origins": "https://example.com"},
    {"allowed_origins": ["https://example.com/"]},
    {"allowed_origins": ["https://Example.com"]},
    {"allowed_origins": ["*"]},
    {"allowed_origins": [7]},
    {"allowed_origins": 7},
    {"activity_timeout": 0},
    {"activity_timeout": 1.5},
    {"activity_timeout": "120"},
    {"pong_timeout": -1},
    {"pong_timeout": float("nan")},
    {"max_connections": 0},
    {"max_channels": None},
    {"max_presence_members": 0},
    {"max_frame_bytes": 0},
    {"vacated_delay": -1},
    {"vacated_delay": None},
]


@pytest.mark.parametrize("options", WRONG, ids=repr)
def test_a_wrong_option_is_a_check_error_that_names_it(
    settings: Settings, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidTransport) as caught:
        configured(settings, **options)
    message = str(caught.value)
    (name,) = options
    assert message.startswith("REALTIME_TRANSPORTS['live']: ")
    assert repr(name) in message
    found = [each.msg for each in run_checks(tags=["realtime_drf"]) if each.id.endswith("E001")]
    assert found == [message]


@pytest.mark.parametrize(
    "options",
    [
        {"app_id": 4242},
        {"timeout": 0.5},
        {"payload_limit": None},
        {"allowed_origins": ["https://example.com", "http://localhost:8000", "null"]},
        {"allowed_origins": []},
        {"max_connections": None},
        {"vacated_delay": 0},
        {"encryption_master_key_base64": MASTER_KEY},
    ],
    ids=repr,
)
def test_options_that_are_right(settings: Settings, options: dict[str, Any]) -> None:
    configured(settings, **options)
    assert not [each for each in run_checks(tags=["realtime_drf"]) if each.id.endswith("E001")]


@pytest.mark.parametrize(
    ("options", "is_warned"),
    [
        ({"http_api": True, "app_id": "4711"}, False),
        ({"http_api": True, "app_id": 4711}, False),
        ({"http_api": True, "app_id": "my-app"}, True),
        ({"http_api": True}, True),
        ({"app_id": "my-app"}, False),
    ],
)
def test_an_app_id_that_shuts_out_pushers_sdks_is_a_warning(
    settings: Settings, options: dict[str, Any], is_warned: bool
) -> None:
    entry = {"TRANSPORT": PATH, "OPTIONS": options}
    settings.REALTIME_TRANSPORTS = {"default": entry}
    found = [each for each in run_checks(tags=["realtime_drf"]) if each.id.endswith("W010")]
    assert len(found) == is_warned


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"key": "app-key", "app_id": "other"}, ["key"]),
        ({"key": "other-key", "app_id": "app"}, ["app_id"]),
        ({}, ["key", "app_id"]),
        ({"key": "other-key", "app_id": "other"}, []),
    ],
    ids=repr,
)
@pytest.mark.parametrize("enabled", [True, False], ids=["enabled", "disabled"])
def test_two_transports_of_one_name_are_a_check_error(
    settings: Settings, options: dict[str, Any], names: list[str], enabled: bool
) -> None:
    settings.REALTIME_TRANSPORTS = {
        "default": {"TRANSPORT": PATH, "ENABLED": enabled},
        "other": {"TRANSPORT": PATH, "OPTIONS": options},
        "broken": {"TRANSPORT": PATH, "OPTIONS": {"key": ""}},
    }
    found = [each for each in run_checks(tags=["realtime_drf"]) if each.id.endswith("E012")]
    assert [each.msg for each in found] == [
        f"REALTIME_TRANSPORTS['other']: {name!r} is the same as that of 'default'."
        for name in names
        if enabled
    ]


def test_an_unknown_option_names_the_nearest(settings: Settings) -> None:
    with pytest.raises(InvalidTransport, match="Did you mean 'client_events'"):
        configured(settings, client_event=True)


def test_a_missing_layer_names_those_there_are(settings: Settings) -> None:
    settings.CHANNEL_LAYERS = {"redis": IN_MEMORY["default"]}
    with pytest.raises(InvalidTransport, match=r"has 'redis'\. Did you mean 'redis'"):
        configured(settings, layer="rediss")
    with pytest.raises(InvalidTransport, match="'layer' is 'default', and CHANNEL_LAYERS has"):
        configured(settings)
    assert configured(settings, layer="redis").app.is_local


def test_a_layer_that_cannot_be_made_says_so_without_its_address(settings: Settings) -> None:
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity_": 1}}
    }
    with pytest.raises(InvalidTransport, match=r"layer 'default' could not be made: TypeError"):
        configured(settings)
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "nowhere.Layer"}}
    with pytest.raises(InvalidTransport, match="could not be made"):
        configured(settings)


def test_consumer_groups_need_a_layer(settings: Settings) -> None:
    settings.CHANNEL_LAYERS = {}
    with pytest.raises(InvalidTransport, match="CHANNEL_LAYERS has none"):
        configured(settings, consumer_groups=True)


# In memory


def deployment(settings: Settings) -> list[str]:
    messages = run_checks(tags=["realtime_drf"], include_deployment_checks=True)
    return [each.msg for each in messages if each.id == "realtime_drf.W005"]


def test_a_layer_in_memory_is_said_under_deploy(settings: Settings) -> None:
    for layers in ({}, IN_MEMORY):
        settings.CHANNEL_LAYERS = layers
        configured(settings)
        (message,) = deployment(settings)
        assert message.startswith("REALTIME_TRANSPORTS['live']: the channel layer is in memory")
    plain = run_checks(tags=["realtime_drf"])
    assert "realtime_drf.W005" not in {each.id for each in plain}


class OtherLayer(BaseChannelLayer):  # type: ignore[misc]
    """A layer of somebody else's, which may reach anywhere."""


def test_any_other_layer_is_not(settings: Settings) -> None:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.OtherLayer"}}
    assert not configured(settings, store="memory").app.is_local
    assert deployment(settings) == []


def test_where_nobody_is_served_it_is_said_once(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    transport = configured(settings, secret="test-secret")
    for number in range(3):
        transport.send([Event("told", "news", number)])
    transport.disconnect_user("ann")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "in memory" in record.getMessage()
    assert "channels_redis" in record.getMessage()


# Publishing to this process


def test_threads_publish_each_in_its_order(caplog: pytest.LogCaptureFixture) -> None:
    with Site() as site:
        client = site.connect()
        client.subscribe("news")
        client.take()

        def work(name: int) -> None:
            for number in range(100):
                publish(Event("told", "news", [name, number]))

        threads = [threading.Thread(target=work, args=[name]) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        site.settle()
        told = [data for _, _, data in client.events()]
        for name in range(8):
            assert [number for who, number in told if who == name] == list(range(100))
        assert len(told) == 800
    assert caplog.records == []


def test_the_event_loop_itself_publishes() -> None:
    with Site() as site:
        client = site.connect()
        client.subscribe("news")
        client.take()

        async def work() -> None:
            site.transport.send([Event("told", "news", 1)])
            await site.transport.asend([Event("told", "news", 2)])

        site.run(work())
        site.settle()
        assert [data for _, _, data in client.events()] == [1, 2]


def test_events_of_one_hand_over_arrive_in_order_on_all_kinds_of_channels() -> None:
    channels = ["news", "private-a", "private-encrypted-b"]
    with Site(encryption_master_key_base64=MASTER_KEY) as site:
        client = site.connect()
        for channel in channels:
            client.join(channel)
        client.take()
        site.send(*(Event(f"told.{number}", channels) for number in range(20)))
        site.settle()
        events = client.events()
        for channel in channels:
            names = [name for name, where, _ in events if where == channel]
            assert names == [f"told.{number}" for number in range(20)]


def test_what_is_too_large_is_refused_and_the_rest_goes() -> None:
    with Site(payload_limit=100) as site:
        client = site.connect()
        client.subscribe("news")
        client.take()
        big, small = Event("big", "news", "x" * 99), Event("small", "news", "x" * 98)
        with pytest.raises(PayloadTooLarge) as caught:
            site.transport.send([big, small])
        site.settle()
        assert caught.value.unsent == (big,)
        assert [name for name, *_ in client.events()] == ["small"]


def test_encrypted_channels_need_a_key() -> None:
    with Site() as site, pytest.raises(Exception, match="cannot encrypt"):
        site.transport.send([Event("told", "private-encrypted-a")])


# Consumers of the project


@given(name=channel_names(ChannelKind))
@example(name="private-a=b@c,d;e")
@example(name="x" * 164)
def test_every_channel_has_a_legal_group(name: str) -> None:
    group = consumer_group(name)
    BaseChannelLayer().require_valid_group_name(group)
    assert consumer_group(name) == group


NAMES = st.text("abAB01_-=@,.;", min_size=1, max_size=4) | st.sampled_from(
    ["x" * length for length in range(85, 100)]
)


@given(one=NAMES, other=NAMES)
def test_no_two_channels_share_a_group(one: str, other: str) -> None:
    assert (consumer_group(one) == consumer_group(other)) == (one == other)


def test_no_channel_is_named_like_the_group_of_another() -> None:
    odd = "private-a=b"
    hashed = consumer_group(odd)
    for prefix in ("", "hash.", "realtime.", "realtime_hash."):
        assert consumer_group(f"{prefix}{hashed}") != hashed
        assert consumer_group(f"{prefix}{hashed.partition('.')[2]}") != hashed


def test_consumers_of_ones_own_receive_the_same_events() -> None:
    channels = ["news", "private-a=b", "presence-room"]
    with Site(settings={"CHANNEL_LAYERS": IN_MEMORY}, consumer_groups=True) as site:
        layer = get_channel_layer()
        client = site.connect()
        client.subscribe("news")
        client.take()
        event = Event("told", channels, {"text": "Käse"}, socket_id=client.socket_id)

        async def listen() -> list[Any]:
            name = await layer.new_channel()
            for channel in channels:
                await layer.group_add(consumer_group(channel), name)
            site.transport.send([event, Event("last", "news")])
            return [await asyncio.wait_for(layer.receive(name), 10) for _ in range(4)]

        messages = site.run(listen())
        assert messages == [
            {
                "type": "realtime.event",
                "name": "told",
                "channel": channel,
                "data": event.body,
                "socket_id": client.socket_id,
                "id": event.id,
            }
            for channel in channels
        ] + [{**messages[3], "name": "last", "channel": "news"}]
        assert [name for name, *_ in client.events()] == ["last"]


def test_consumers_hear_once_however_many_loops_there_are() -> None:
    with (
        Site(settings={"CHANNEL_LAYERS": IN_MEMORY}, consumer_groups=True) as site,
        Site(beside=site) as other,
    ):
        layer = get_channel_layer()

        async def join() -> str:
            name: str = await layer.new_channel()
            await layer.group_add(consumer_group("news"), name)
            return name

        async def listen(name: str) -> list[Any]:
            return [await asyncio.wait_for(layer.receive(name), 10) for _ in range(2)]

        name = site.run(join())
        for event in ("told", "last"):
            site.transport.send([Event(event, "news")])
            site.settle()
            other.settle()
        assert [each["name"] for each in site.run(listen(name))] == ["told", "last"]


def test_by_default_there_are_no_such_groups() -> None:
    with Site(settings={"CHANNEL_LAYERS": IN_MEMORY}) as site:
        layer = get_channel_layer()

        async def listen() -> Any:
            name = await layer.new_channel()
            await layer.group_add(consumer_group("news"), name)
            site.transport.send([Event("told", "news")])
            await layer.send(name, {"type": "end"})
            return await asyncio.wait_for(layer.receive(name), 10)

        assert site.run(listen()) == {"type": "end"}
