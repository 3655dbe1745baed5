"""A model as many projects have one: ten fields of the usual kinds."""

from __future__ import annotations

import datetime
import decimal
from typing import TypeVar

from django.db import models

from realtime_drf import RealtimeManager


class Fields(models.Model):
    """The fields of all kinds of articles."""

    title = models.CharField(max_length=200)
    slug = models.SlugField()
    body = models.TextField()
    author = models.CharField(max_length=100)
    published = models.BooleanField(default=False)
    views = models.IntegerField(default=0)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    created = models.DateTimeField()
    day = models.DateField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.title


class Article(Fields):
    """Published by views, or by name."""


class FixedArticle(Fields):
    """Observed, on a channel that does not depend on the row."""

    objects = RealtimeManager()


class MovingArticle(Fields):
    """Observed, on a channel that a column of the row names."""

    objects = RealtimeManager()


class RefreshedArticle(Fields):
    """Observed, with one event for many rows."""

    objects = RealtimeManager()


class PeerArticle(Fields):
    """Observed by the library that is measured beside."""


A = TypeVar("A", bound=Fields)


def make_article(number: int, model: type[A] = Article) -> A:  # type: ignore[assignment]
    """Return an article that is not saved."""
    return model(
        title=f"Article {number}",
        slug=f"article-{number}",
        body="Lorem ipsum dolor sit amet, consetetur sadipscing elitr. " * 4,
        author="Jane Doe",
        published=number % 2 == 0,
        views=number,
        price=decimal.Decimal("9.95"),
        created=datetime.datetime(2025, 5, 4, 3, 2, 1, tzinfo=datetime.UTC),
        day=datetime.date(2025, 5, 4),
    )
