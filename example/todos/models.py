"""One list of things to do."""

from __future__ import annotations

from django.db import models


class Todo(models.Model):
    """Hold one thing to do, at its place in the list."""

    title = models.CharField(max_length=200)
    done = models.BooleanField(default=False)
    position = models.PositiveIntegerField(default=0)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("position", "pk")

    def __str__(self) -> str:
        return self.title
