"""Lists of things to do: public ones, and those of their members alone."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Max, Q

from realtime_drf import RealtimeManager, RealtimeQuerySet

GAP = 1024
"""How far apart todos are put, so that others fit between them without a change to either."""


class ListQuerySet(RealtimeQuerySet["List"]):
    def visible_to(self, user: Any) -> ListQuerySet:
        """Return what a user, or somebody who is none, may see and change."""
        if not user.is_authenticated:
            return self.filter(public=True)
        return self.filter(Q(public=True) | Q(pk__in=user.lists.values("pk")))

    def get_default(self) -> List:
        """Return where a todo goes that names no list; an empty board gets a list for it."""
        return self.filter(public=True).first() or self.create(name="To do", public=True)


class List(models.Model):
    """A list of todos. If it is not public, only its members see it."""

    name = models.CharField(max_length=60)
    public = models.BooleanField(default=False)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="lists", blank=True)

    objects = ListQuerySet.as_manager()

    class Meta:
        ordering = ("-public", "pk")

    def __str__(self) -> str:
        return self.name

    def find_place(self, before: Todo | None = None) -> int:
        """Return a position in front of a todo, or at the end; other todos may make room for it."""
        if before is None:
            last: int | None = self.todos.aggregate(last=Max("position"))["last"]
            return (0 if last is None else last) + GAP
        lower = self.todos.filter(position__lt=before.position).aggregate(last=Max("position"))
        place = _between(lower["last"] or 0, before.position)
        if place is not None:
            return place
        todos = list(self.todos.all())
        for number, todo in enumerate(todos, start=1):
            todo.position = number * GAP
        self.todos.bulk_update(todos, ["position"])
        moved = next(todo for todo in todos if todo.pk == before.pk)
        return moved.position - GAP // 2


def _between(lower: int, upper: int) -> int | None:
    middle = (lower + upper) // 2
    return middle if lower < middle < upper else None


class Todo(models.Model):
    """A thing to do, at its position in a list."""

    list = models.ForeignKey(List, on_delete=models.CASCADE, related_name="todos")
    title = models.CharField(max_length=200)
    done = models.BooleanField(default=False)
    position = models.PositiveIntegerField()
    by = models.CharField("last changed by", max_length=60, blank=True)
    updated = models.DateTimeField(auto_now=True)
    revision = models.PositiveIntegerField(default=0, editable=False)

    objects = RealtimeManager()

    class Meta:
        ordering = ("position", "pk")

    def __str__(self) -> str:
        return self.title

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the todo; one without a position goes to the end of its list."""
        if self.position is None:
            self.position = self.list.find_place()
        super().save(*args, **kwargs)
