"""A model as many projects have one: ten fields of the usual kinds."""

from __future__ import annotations

import datetime
import decimal

from django.db import models


class Article(models.Model):
    title = models.CharField(max_length=200)
    slug = models.SlugField()
    body = models.TextField()
    author = models.CharField(max_length=100)
    published = models.BooleanField(default=False)
    views = models.IntegerField(default=0)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    created = models.DateTimeField()
    day = models.DateField()

    def __str__(self) -> str:
        return self.title


def make_article(number: int) -> Article:
    """Return an article that is not saved."""
    return Article(
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
