"""Models of every shape that a change may have."""

from __future__ import annotations

from django.db import models


class Tag(models.Model):
    name = models.CharField(max_length=50)


class TodoList(models.Model):
    name = models.CharField(max_length=50)


class Todo(models.Model):
    title = models.CharField(max_length=200)
    done = models.BooleanField(default=False)
    owner = models.CharField(max_length=50, blank=True)
    details = models.JSONField(default=dict, blank=True)
    tags = models.ManyToManyField(Tag, blank=True)
    list = models.ForeignKey(TodoList, null=True, blank=True, on_delete=models.CASCADE)


class UrgentTodo(Todo):
    """A proxy: the same rows under another class."""

    class Meta:
        proxy = True


class ShoppingTodo(Todo):
    """A multi-table child: its rows are rows of Todo too."""

    shop = models.CharField(max_length=50)


class Silent(models.Model):
    """A model that no backend listens to."""

    name = models.CharField(max_length=50)
