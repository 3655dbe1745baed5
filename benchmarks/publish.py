"""Publishing: requests, connections and time, beside the vendor's SDK and beside serializing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pusher
from django.core.management import call_command
from django.db import transaction
from django.test import override_settings

from benchmarks.articles.models import Article, make_article
from benchmarks.articles.serializers import ArticleSerializer
from benchmarks.figures import Figure, Kind, side_by_side
from benchmarks.service import Service, pusher_service
from realtime_drf import Event, publish, publish_change
from realtime_drf.backends import RealtimeBackend, registry
from realtime_drf.changes import Change
from realtime_drf.transports import transports

DESCRIPTION = __doc__

SAVES = 100
CHANNEL = "private-articles"
NAME = "article.update"


def measure(*, quick: bool) -> list[Figure]:
    """Return all figures."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    articles = [make_article(number) for number in range(SAVES)]
    Article.objects.bulk_create(articles)
    rounds = 2 if quick else 15
    with pusher_service() as service, override_settings(REALTIME_TRANSPORTS=configure(service)):
        figures = [
            count_requests(service, articles),
            count_connections(service),
            *compare_with_the_sdk(service, articles, rounds),
        ]
        transports["pusher"].close()
        figures += compare_with_serializing(articles, rounds)
        figures += compare_together_with_alone(articles, rounds)
        figures += compare_long_transactions(rounds if quick else rounds * 2)
    return figures


def configure(service: Service) -> dict[str, Any]:
    """Return REALTIME_TRANSPORTS: "pusher" goes to the service, "default" into memory."""
    return {
        "default": {"TRANSPORT": "realtime_drf.transports.memory.MemoryTransport"},
        "pusher": {
            "TRANSPORT": "realtime_drf.transports.pusher.PusherTransport",
            "OPTIONS": service.address,
            "ON_ERROR": "raise",
        },
    }


def count_requests(service: Service, articles: Sequence[Article]) -> Figure:
    """Save in one transaction, and publish each save."""
    service.counts()
    with transaction.atomic():
        for article in articles:
            article.views += 1
            article.save()
            publish(Event(NAME, CHANNEL, ArticleSerializer(article).data), transport="pusher")
    counts = service.counts()
    assert counts.events == SAVES, counts
    return Figure(
        "requests_per_100_saves",
        counts.requests,
        10,
        "HTTP requests, saves of one transaction",
        Kind.COUNT,
    )


def count_connections(service: Service) -> Figure:
    """Publish without a transaction, one event after the other."""
    transports["pusher"].close()
    service.counts()
    for number in range(1_000):
        publish(Event(NAME, CHANNEL, number), transport="pusher")
    counts = service.counts()
    assert counts.events == 1_000, counts
    return Figure(
        "connections_per_1000_events",
        counts.connections,
        1,
        "TCP connections, in sequence",
        Kind.COUNT,
    )


def compare_with_the_sdk(
    service: Service, articles: Sequence[Article], rounds: int
) -> list[Figure]:
    """Send the same serialized data through `publish`, and with a call of the SDK each."""
    payloads = [ArticleSerializer(article).data for article in articles]
    client = pusher.Pusher(**service.address)

    def ours() -> None:
        with transaction.atomic():
            for data in payloads:
                publish(Event(NAME, CHANNEL, data), transport="pusher")

    def plain() -> None:
        for data in payloads:
            client.trigger(CHANNEL, NAME, data)

    with client._pusher_client.http.session:
        mine, theirs = side_by_side(ours, plain, rounds=rounds)
    return [
        Figure(
            "publish_to_trigger_ratio",
            mine / theirs,
            0.25,
            "time, of 100 plain SDK triggers",
            Kind.WALL,
        ),
        Figure("publish_100_ms", mine * 1e3, None, "milliseconds for 100 events", Kind.WALL),
        Figure(
            "trigger_100_ms",
            theirs * 1e3,
            None,
            "milliseconds for 100 plain SDK triggers",
            Kind.CONTROL,
        ),
    ]


def compare_with_serializing(articles: Sequence[Article], rounds: int) -> list[Figure]:
    """Compare the processor's time for an event with that for its data."""
    payloads = [ArticleSerializer(article).data for article in articles]
    repeat = 5

    def publishing() -> None:
        for _ in range(repeat):
            with transaction.atomic():
                for data in payloads:
                    publish(Event(NAME, CHANNEL, data))
        _forget_events()

    def serializing() -> None:
        for _ in range(repeat):
            for article in articles:
                ArticleSerializer(article).data  # noqa: B018

    mine, theirs = side_by_side(publishing, serializing, rounds=rounds, clock=time.process_time)
    per_event = repeat * SAVES
    return [
        Figure(
            "publish_to_serialize_ratio",
            mine / theirs,
            0.3,
            "processor, of serializing it",
            Kind.CPU,
        ),
        Figure(
            "publish_us",
            mine / per_event * 1e6,
            None,
            "microseconds an event, into memory",
            Kind.CPU,
        ),
        Figure(
            "serialize_us", theirs / per_event * 1e6, None, "microseconds, ten fields", Kind.CONTROL
        ),
    ]


def compare_together_with_alone(articles: Sequence[Article], rounds: int) -> list[Figure]:
    """Publish 200 changes with one call, and with a call each, in one transaction."""

    class ArticleBackend(RealtimeBackend[Article]):
        serializer_class = ArticleSerializer

        def get_channels(self, change: Change[Article]) -> list[str]:
            return [CHANNEL]

    twice = [*articles, *articles]

    def together() -> None:
        with transaction.atomic():
            publish_change(*twice, action="update")
        _forget_events()

    def alone() -> None:
        with transaction.atomic():
            for article in twice:
                publish_change(article, action="update")
        _forget_events()

    try:
        many, one = side_by_side(together, alone, rounds=rounds, clock=time.process_time)
    finally:
        registry.unregister(ArticleBackend)
    return [
        Figure(
            "together_to_alone_ratio",
            many / one,
            0.25,
            "processor, 200 changes in one call",
            Kind.CPU,
        ),
        Figure(
            "together_us", many / len(twice) * 1e6, None, "microseconds a change, of 200", Kind.CPU
        ),
        Figure(
            "alone_us", one / len(twice) * 1e6, None, "microseconds a change, one a call", Kind.CPU
        ),
    ]


def compare_long_transactions(rounds: int) -> list[Figure]:
    """Compare what an event costs among 4,000 of a transaction with what it costs among 40."""
    events = [Event(NAME, CHANNEL, number) for number in range(4_000)]

    def in_transactions_of(size: int) -> Callable[[], None]:
        def run() -> None:
            for start in range(0, len(events), size):
                with transaction.atomic():
                    for event in events[start : start + size]:
                        publish(event)
            _forget_events()

        return run

    long, short = side_by_side(in_transactions_of(4_000), in_transactions_of(40), rounds=rounds)
    return [
        Figure(
            "long_transaction_ratio",
            long / short,
            1.5,
            "time a publish: 4,000 to 40 at once",
            Kind.WALL,
        ),
        Figure(
            "long_transaction_us", long / 4_000 * 1e6, None, "microseconds, among 4,000", Kind.WALL
        ),
    ]


def _forget_events() -> None:
    transports["default"].clear()  # type: ignore[attr-defined]
