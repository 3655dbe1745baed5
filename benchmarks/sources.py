"""Observing rows: what it adds to what the ORM does, in time, queries and memory."""

from __future__ import annotations

import importlib.util
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.core.management import call_command
from django.db import connections, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from benchmarks.articles.models import (
    Article,
    FixedArticle,
    MovingArticle,
    PeerArticle,
    RefreshedArticle,
    make_article,
)
from benchmarks.articles.serializers import ArticleSerializer
from benchmarks.figures import Figure, Kind, side_by_side
from benchmarks.postgres import postgres_database
from realtime_drf import PrivateChannel, RealtimeBackend
from realtime_drf.backends import registry
from realtime_drf.transports import transports

DESCRIPTION = __doc__

SAVES = 100
PEER = "djangochannelsrestframework"


class AuthorChannel(PrivateChannel):
    """The listeners of an author."""

    pattern = "authors.<int:pk>"

    def authorize(self, request: Any, pk: int) -> bool:
        return True


def measure(*, quick: bool) -> list[Figure]:
    """Return all figures; those of a service that is missing are left out."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    rounds = 2 if quick else 15
    count = 2_000 if quick else 100_000
    with ExitStack() as stack:
        for observed in (
            observing(FixedArticle, "articles"),
            observing(MovingArticle, AuthorChannel(pk=F("views"))),
            observing(RefreshedArticle, "refreshed", refresh_above=100),
        ):
            stack.enter_context(observed)
        return [
            *compare_saves(rounds),
            *compare_with_the_peer(rounds),
            *compare_bulk(rounds),
            *count_queries(),
            measure_memory(count),
            *count_refreshed(count),
            *compare_on_postgres(rounds),
        ]


@contextmanager
def observing(model: type[Any], channel: Any, **hooks: Any) -> Iterator[None]:
    """Observe a model while the block lasts."""
    serializer = make_serializer(model)
    body = {"serializer_class": serializer, "channels": [channel], **hooks}
    backend = type(f"{model.__name__}Backend", (RealtimeBackend,), body)
    try:
        yield
    finally:
        registry.unregister(backend)


def make_serializer(model: type[Any]) -> type[ArticleSerializer]:
    """Return a serializer of the ten fields of a model."""
    meta = type("Meta", (ArticleSerializer.Meta,), {"model": model})
    return type("Serializer", (ArticleSerializer,), {"Meta": meta})


def compare_saves(rounds: int) -> list[Figure]:
    """Save in one transaction, plain and observed."""
    plain, fixed, moving = side_by_side(
        *[save_all(model) for model in (Article, FixedArticle, MovingArticle)],
        rounds=rounds,
        clock=time.process_time,
    )
    return [
        Figure(
            "fixed_to_plain",
            fixed / plain,
            1.7,
            "processor, 100 saves of a transaction, 1 channel",
            Kind.CPU,
        ),
        Figure(
            "moving_to_plain",
            moving / plain,
            2.1,
            "processor, where a column names the channel",
            Kind.CPU,
        ),
        Figure("plain_us", plain / SAVES * 1e6, None, "microseconds a plain save", Kind.CONTROL),
    ]


def compare_with_the_peer(rounds: int) -> list[Figure]:
    """Save what is observed here, and what another library observes; nobody is subscribed."""
    if importlib.util.find_spec(PEER) is None:
        print(f"Without the figures of {PEER}, which is not installed.")
        return []
    from benchmarks.articles.consumers import observe

    observe(PeerArticle, make_serializer(PeerArticle))
    fixed, peer = side_by_side(
        save_all(FixedArticle), save_all(PeerArticle), rounds=rounds, clock=time.process_time
    )
    return [
        Figure(
            "fixed_to_peer", fixed / peer, 0.35, f"processor, of the observer of {PEER}", Kind.CPU
        ),
        Figure("peer_us", peer / SAVES * 1e6, None, "microseconds a save there", Kind.CONTROL),
    ]


def save_all(
    model: type[Any], using: str = "default", *, together: bool = True
) -> Callable[[], None]:
    """Return a function that saves 100 rows, in one transaction or in a transaction each."""
    model.objects.using(using)._raw_delete(using)
    articles = [make_article(number, model) for number in range(SAVES)]
    model._base_manager.using(using).bulk_create(articles)
    rows = list(model.objects.using(using))

    def save_together() -> None:
        with transaction.atomic(using):
            for row in rows:
                row.save(using=using)
        forget()

    def save_alone() -> None:
        for row in rows:
            with transaction.atomic(using):
                row.save(using=using)
        forget()

    return save_together if together else save_alone


def compare_bulk(rounds: int) -> list[Figure]:
    """Insert 1,000 rows, plain and observed."""
    plain, observed = side_by_side(
        *[insert_all(model) for model in (Article, FixedArticle)],
        rounds=max(rounds // 3, 2),
        clock=time.process_time,
    )
    queries = count(insert_all(FixedArticle)) - count(insert_all(Article))
    return [
        Figure(
            "bulk_create_to_plain",
            observed / plain,
            2.3,
            "processor, bulk_create of 1,000 rows",
            Kind.CPU,
        ),
        Figure("bulk_create_queries", queries, 2, "queries more, of bulk_create", Kind.COUNT),
    ]


def insert_all(model: type[Any]) -> Callable[[], None]:
    """Return a function that inserts 1,000 rows of a model, and deletes them again."""

    def insert() -> None:
        with transaction.atomic():
            model.objects.bulk_create([make_article(number, model) for number in range(1_000)])
        model.objects.all()._raw_delete("default")
        forget()

    return insert


def count_queries() -> list[Figure]:
    """Count what observing adds to 100 saves of a transaction."""
    plain, fixed, moving = (
        count(save_all(model)) for model in (Article, FixedArticle, MovingArticle)
    )
    return [
        Figure("fixed_queries", fixed - plain, 1, "queries more, of 100 saves", Kind.COUNT),
        Figure("moving_queries", moving - plain, 101, "where a column decides", Kind.COUNT),
    ]


def count(function: Callable[[], None]) -> int:
    """Return how many queries a function makes."""
    with CaptureQueriesContext(connections["default"]) as queries:
        function()
    return len(queries)


def measure_memory(rows: int) -> Figure:
    """Update many rows at once, each of them published."""
    insert_many(MovingArticle, rows)
    peak = trace(lambda: MovingArticle.objects.update(title="new"))
    return Figure("update_peak_mib", peak, 24, f"MiB, update() of {rows:,} rows", Kind.MEMORY)


def count_refreshed(rows: int) -> list[Figure]:
    """Update many rows at once, of which a refresh is sent; count the queries beside the plain."""
    insert_many(RefreshedArticle, rows)
    insert_many(Article, rows)
    forget()
    transport: Any = transports["default"]
    observed = count(lambda: RefreshedArticle.objects.update(title="new"))
    plain = count(lambda: Article.objects.update(title="new"))
    assert [event.name for event in transport.outbox] == ["refreshedarticle.refresh"]
    peak = trace(lambda: RefreshedArticle.objects.update(title="newer"))
    return [
        Figure(
            "refreshed_queries",
            observed - plain,
            3,
            "queries more: the keys, and the two of a transaction",
            Kind.COUNT,
        ),
        Figure(
            "refreshed_peak_mib", peak, 24, f"MiB, {rows:,} rows beyond refresh_above", Kind.MEMORY
        ),
    ]


def insert_many(model: type[Any], rows: int) -> None:
    """Have a model have so many rows, without publishing them."""
    model.objects.all()._raw_delete("default")
    for _ in range(rows // 1_000):
        articles = [make_article(number, model) for number in range(1_000)]
        model._base_manager.bulk_create(articles)


def trace(function: Callable[[], object]) -> float:
    """Return the peak in MiB of what a function allocates; what it publishes is not kept."""
    transport: Any = transports["default"]
    send, transport.send = transport.send, lambda events: None
    tracemalloc.start()
    try:
        function()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        transport.send = send
        forget()
    return peak / 2**20


def compare_on_postgres(rounds: int) -> list[Figure]:
    """Save on PostgreSQL, where most of the time is its own."""
    with postgres_database() as using:
        if using is None:
            return []
        call_command("migrate", run_syncdb=True, verbosity=0, database=using)
        models = (Article, FixedArticle, MovingArticle)
        plain, fixed, moving = side_by_side(
            *[save_all(model, using) for model in models], rounds=rounds
        )
        single, single_fixed, single_moving = side_by_side(
            *[save_all(model, using, together=False) for model in models], rounds=rounds
        )
    ratios = [
        ("postgres_fixed_to_plain", fixed / plain, 1.3, "time, 100 saves of a transaction"),
        ("postgres_moving_to_plain", moving / plain, 1.8, "where a column names the channel"),
        ("postgres_single_fixed", single_fixed / single, 2.0, "time, one save of a transaction"),
        ("postgres_single_moving", single_moving / single, 2.0, "where a column names it"),
    ]
    return [
        *[Figure(name, value, target, text, Kind.WALL) for name, value, target, text in ratios],
        Figure("postgres_plain_us", plain / SAVES * 1e6, None, "a plain save", Kind.CONTROL),
    ]


def forget() -> None:
    """Empty the transport's memory."""
    transport: Any = transports["default"]
    transport.clear()
