"""The option `webhooks`: what is wrong is said before the first request, and quotes no token."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from realtime_drf.cluster.webhooks.endpoints import KINDS, read_endpoints
from realtime_drf.exceptions import InvalidTransport
from realtime_drf.webhook_events import WebhookEvent
from realtime_drf.webhooks import SIGNALS

PATH = "realtime_drf.transports.channels.ChannelsTransport"
URL = "https://example.com/hooks/?token=t0ken"
HEADERS = {"Authorization": "Bearer t0ken"}


@pytest.fixture(autouse=True)
def _serve(settings: Settings) -> None:
    """Have nothing to warn of besides webhooks."""
    settings.ASGI_APPLICATION = "tests.served.asgi.application"


def report(kind: str = "channel_occupied", channel: str = "room") -> WebhookEvent:
    return WebhookEvent(kind=kind, channel=channel, time_ms=1)


def test_there_is_a_signal_for_all_that_is_sent() -> None:
    assert set(KINDS) == set(SIGNALS)


def test_everything_goes_where_nothing_else_is_said() -> None:
    [endpoint] = read_endpoints([{"url": URL}], alias="default")
    assert all(endpoint.wants(report(kind, "any.channel")) for kind in KINDS)
    assert endpoint == read_endpoints([{"url": URL, "events": "all"}], alias="default")[0]


@given(
    kinds=st.sets(st.sampled_from(KINDS), min_size=1),
    starts=st.lists(st.text("ab-", max_size=2), max_size=2),
    ends=st.lists(st.text("ab-", max_size=2), max_size=2),
    kind=st.sampled_from(KINDS),
    channel=st.text("ab-", min_size=1, max_size=4),
)
def test_filters_are_all_to_be_passed(
    kinds: set[str], starts: list[str], ends: list[str], kind: str, channel: str
) -> None:
    entry = {
        "url": URL,
        "events": sorted(kinds),
        "channel_name_starts_with": starts,
        "channel_name_ends_with": ends,
    }
    [endpoint] = read_endpoints([entry], alias="default")
    assert endpoint.wants(report(kind, channel)) == (
        kind in kinds
        and (not starts or any(channel.startswith(start) for start in starts))
        and (not ends or any(channel.endswith(end) for end in ends))
    )


def test_one_beginning_needs_no_list() -> None:
    entry = {"url": URL, "channel_name_starts_with": "presence-", "channel_name_ends_with": ".eu"}
    [endpoint] = read_endpoints([entry], alias="default")
    assert endpoint.wants(report(channel="presence-room.eu"))
    assert not endpoint.wants(report(channel="presence-room"))
    assert not endpoint.wants(report(channel="room.eu"))


@pytest.mark.parametrize(
    ("webhooks", "message"),
    [
        ({"url": URL}, "'webhooks' must be a list of dicts, not dict."),
        (URL, "'webhooks' must be a list of dicts, not str."),
        ([URL], "'webhooks'[0] must be a dict, not str."),
        ([{}], "'webhooks'[0] needs a 'url'"),
        ([{"url": URL}, {"url": "example.com/hooks"}], "'webhooks'[1] 'url' is not of the form"),
        ([{"url": "ftp://example.com"}], "'url' is not of the form https://host/path."),
        ([{"url": "https:///path"}], "'url' is not of the form"),
        ([{"url": "https://example.com:99999/"}], "'url' is not of the form"),
        ([{"url": "https://example.com/a b"}], "'url' is not of the form"),
        ([{"url": "https://käse.example/"}], "'url' is not of the form"),
        ([{"url": b"https://example.com/"}], "'url' is not of the form"),
        ([{"url": 7}], "'url' is not of the form"),
        ([{"url": "https://me:t0ken@example.com/"}], "'url' holds a user's name or password"),
        ([{"url": URL, "event": []}], "no key 'event'; it has: url, events,"),
        ([{"url": URL, "event": []}], "Did you mean 'events'?"),
        ([{"url": URL, "events": ["chanel_vacated"]}], "Did you mean 'channel_vacated'?"),
        ([{"url": URL, "events": "channel_vacated"}], "'events' must be a list of strings."),
        ([{"url": URL, "events": [1]}], "'events' must be a list of strings."),
        ([{"url": URL, "events": []}], "'events' is empty"),
        ([{"url": URL, "channel_name_starts_with": 1}], "must be a list of strings."),
        ([{"url": URL, "headers": [1]}], "'headers' must be a dict, not list."),
        ([{"url": URL, "headers": {"a b": "c"}}], "'a b', which is not a valid name of a header."),
        ([{"url": URL, "headers": {"X-Pusher-Key": "c"}}], "which is set by the server."),
        ([{"url": URL, "headers": {"X": "t0ken\r\nY: z"}}], "of header 'X' must be text in ASCII."),
        ([{"url": URL, "headers": {"X": 1}}], "of header 'X' must be text in ASCII."),
    ],
)
def test_what_is_wrong_is_an_error_that_says_the_mend(webhooks: Any, message: str) -> None:
    with pytest.raises(InvalidTransport) as caught:
        read_endpoints(webhooks, alias="live")
    assert str(caught.value).startswith("REALTIME_TRANSPORTS['live']: 'webhooks'")
    assert message in str(caught.value)
    assert "t0ken" not in str(caught.value)


def test_no_token_is_shown() -> None:
    endpoints = read_endpoints([{"url": URL, "headers": HEADERS}], alias="default")
    assert "t0ken" not in repr(endpoints) + endpoints[0].name
    assert endpoints[0].name == "webhooks[0] (example.com)"


# Checks


def check(settings: Settings, *webhooks: Any, deploy: bool = False, **options: Any) -> list[str]:
    pytest.importorskip("channels")
    pytest.importorskip("tenacity")
    entry = {"TRANSPORT": PATH, "OPTIONS": {"webhooks": webhooks, **options}}
    settings.REALTIME_TRANSPORTS = {"default": entry}
    messages = run_checks(tags=["realtime_drf"], include_deployment_checks=deploy)
    return [f"{message.id} {message.msg}" for message in messages]


def test_a_wrong_entry_is_a_check_error(settings: Settings) -> None:
    [message] = check(settings, {"url": URL, "events": ["chanel_vacated"]})
    assert message.startswith("realtime_drf.E001 REALTIME_TRANSPORTS['default']: 'webhooks'[0]")


def test_what_is_never_reported_is_a_warning(settings: Settings) -> None:
    hook = {"url": URL, "events": ["client_event", "subscription_count", "cache_miss"]}
    first, second = check(settings, hook)
    assert first.startswith("realtime_drf.W009")
    assert "'client_events' is off" in first
    assert second.startswith("realtime_drf.W009")
    assert "'subscription_counting' is off" in second
    assert check(settings, hook, client_events=True, subscription_counting=True) == []
    assert check(settings, {"url": URL}) == []


def test_webhooks_that_all_can_read_are_mentioned_in_production(settings: Settings) -> None:
    hooks = {"url": URL}, {"url": "http://example.com/"}
    assert check(settings, *hooks) == []
    mentioned = [each for each in check(settings, *hooks, deploy=True) if "I001" in each]
    assert len(mentioned) == 1
    assert "webhooks[1] (example.com) is not https." in mentioned[0]


def test_without_webhooks_their_libraries_are_not_needed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("channels")
    import sys

    monkeypatch.setitem(sys.modules, "tenacity", None)
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": PATH}}
    assert run_checks(tags=["realtime_drf"]) == []
    entry = {"TRANSPORT": PATH, "OPTIONS": {"webhooks": [{"url": URL}]}}
    settings.REALTIME_TRANSPORTS = {"default": entry}
    [message] = run_checks(tags=["realtime_drf"])
    assert "pip install realtime-drf[webhooks]" in message.msg
