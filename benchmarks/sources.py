"""Observing rows: what it adds to what the ORM does, in time, queries and memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from benchmarks.articles.models import Article, FixedArticle, MovingArticle, make_article
from benchmarks.articles.serializers import ArticleSerializer
from benchmarks.figures import Figure, side_by_side
from realtime_drf import PrivateChannel, RealtimeBackend
from realtime_drf.backends import registry
from realtime_drf.transports import transports

DESCRIPTION = __doc__

SAVES = 100


class AuthorChannel(PrivateChannel):
    """The listeners of an author."""

    pattern = "authors.<int:pk>"

    def authorize(self, request: Any, pk: int) -> bool:
        return True


def measure(*, quick: bool) -> list[Figure]:
    """Return all figures."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    rounds = 2 if quick else 15
    with (
        observing(FixedArticle, "articles"),
        observing(MovingArticle, AuthorChannel(pk=F("views"))),
    ):
        return [
            *compare_saves(rounds),
            *compare_bulk(rounds),
            *count_queries(),
            measure_memory(2_000 if quick else 100_000),
        ]


@contextmanager
def observing(model: type[Any], channel: Any, **hooks: Any) -> Iterator[None]:
    """Observe a model while the block lasts."""
    meta = type("Meta", (ArticleSerializer.Meta,), {"model": model})
    serializer = type("Serializer", (ArticleSerializer,), {"Meta": meta})
    body = {"serializer_class": serializer, "channels": [channel], **hooks}
    backend = type(f"{model.__name__}Backend", (RealtimeBackend,), body)
    try:
        yield
    finally:
        registry.unregister(backend)


def compare_saves(rounds: int) -> list[Figure]:
    """Save in one transaction, plain and observed."""
    plain, fixed, moving = side_by_side(
        *[save_all(model) for model in (Article, FixedArticle, MovingArticle)],
        rounds=rounds,
        clock=time.process_time,
    )
    return [
        Figure("fixed_to_plain", fixed / plain, 1.7, "CPU, saves of one transaction, 1 channel"),
        Figure("moving_to_plain", moving / plain, 2.1, "CPU, where a column names the channel"),
        Figure("plain_us", plain / SAVES * 1e6, None, "microseconds a plain save"),
    ]


def save_all(model: type[Any]) -> Callable[[], None]:
    """Return a function that saves 100 rows of a model in one transaction."""
    model.objects.all()._raw_delete("default")
    model.objects.bulk_create([make_article(number, model) for number in range(SAVES)])
    rows = list(model.objects.all())

    def save() -> None:
        with transaction.atomic():
            for row in rows:
                row.save()
        forget()

    return save


def compare_bulk(rounds: int) -> list[Figure]:
    """Insert 1,000 rows, plain and observed."""
    plain, observed = side_by_side(
        *[insert_all(model) for model in (Article, FixedArticle)],
        rounds=max(rounds // 3, 2),
        clock=time.process_time,
    )
    return [Figure("bulk_create_to_plain", observed / plain, 2.3, "CPU, bulk_create of 1,000 rows")]


def insert_all(model: type[Any]) -> Callable[[], None]:
    """Return a function that inserts 1,000 rows of a model, and takes them away."""

    def insert() -> None:
        with transaction.atomic():
            model.objects.bulk_create([make_article(number, model) for number in range(1_000)])
        model.objects.all()._raw_delete("default")
        forget()

    return insert


def count_queries() -> list[Figure]:
    """Count what observing adds to 100 saves, and to a bulk write."""
    counts = {}
    for model in (Article, FixedArticle, MovingArticle):
        save = save_all(model)
        with CaptureQueriesContext(connection) as queries:
            save()
        counts[model] = len(queries)
    plain = counts[Article]
    return [
        Figure("fixed_queries", counts[FixedArticle] - plain, 1, "queries more, of 100 saves"),
        Figure("moving_queries", counts[MovingArticle] - plain, 101, "where a column decides"),
    ]


def measure_memory(count: int) -> Figure:
    """Update many rows at once, each of them published."""
    MovingArticle.objects.all()._raw_delete("default")
    for _ in range(count // 1_000):
        rows = [make_article(number, MovingArticle) for number in range(1_000)]
        MovingArticle._base_manager.bulk_create(rows)
    transport: Any = transports["default"]
    forget()
    send, transport.send = transport.send, lambda events: None
    tracemalloc.start()
    try:
        MovingArticle.objects.update(title="new")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        transport.send = send
    return Figure("update_peak_mib", peak / 2**20, 24, f"MiB, update() of {count:,} rows")


def forget() -> None:
    """Empty the transport's memory."""
    transport: Any = transports["default"]
    transport.clear()
