"""Models of every shape that a change may have."""

from __future__ import annotations

import uuid

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from realtime_drf.sources import RealtimeManager


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


class Country(models.Model):
    """A model whose key is written by people, and changes."""

    code = models.CharField(max_length=3, primary_key=True)
    name = models.CharField(max_length=50)


class Parcel(models.Model):
    """A model with a UUID, choices, a time, a price and a file."""

    class State(models.TextChoices):
        OPEN = "o", _("Yes")
        CLOSED = "c", _("No")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    state = models.CharField(max_length=1, choices=State, default=State.OPEN)
    due = models.DateTimeField(null=True)
    price = models.DecimalField(max_digits=6, decimal_places=2, default=0)
    label = models.FileField(blank=True)
    country = models.ForeignKey(Country, null=True, on_delete=models.CASCADE)

    @cached_property
    def doubled(self) -> str:
        return str(self.price * 2)


class Seat(models.Model):
    """A model with a key of two columns."""

    pk = models.CompositePrimaryKey("row", "number")
    row = models.CharField(max_length=2)
    number = models.IntegerField()
    taken = models.BooleanField(default=False)


class KeptQuerySet(models.QuerySet["Kept"]):
    def delete(self) -> tuple[int, dict[str, int]]:
        return self.update(gone=True), {}


class Kept(models.Model):
    """A model whose rows are marked and hidden instead of deleted, as soft deletion does."""

    name = models.CharField(max_length=50)
    gone = models.BooleanField(default=False)

    objects = models.Manager.from_queryset(KeptQuerySet)()

    def delete(self, *args: object, **kwargs: object) -> tuple[int, dict[str, int]]:
        self.gone = True
        self.save()
        return 1, {}


class Node(models.Model):
    """A model whose save() numbers other rows, as nested sets do."""

    name = models.CharField(max_length=50)
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE)
    size = models.IntegerField(default=0)

    def save(self, *args: object, **kwargs: object) -> None:
        super().save(*args, **kwargs)  # type: ignore[arg-type]
        for ancestor in filter(None, [self.parent_id]):
            count = Node.objects.filter(parent_id=ancestor).count()
            Node.objects.filter(pk=ancestor).update(size=count)
        Node.objects.filter(pk=self.pk).update(size=Node.objects.filter(parent=self.pk).count())


class Label(models.Model):
    """What notes are marked with; a note shows its labels."""

    name = models.CharField(max_length=50)

    objects = RealtimeManager()


class Shelf(models.Model):
    """Where notes are; a note shows the name of its shelf."""

    name = models.CharField(max_length=50)

    objects = RealtimeManager()


class Note(models.Model):
    """A row that moves between channels, is hidden, and shows others."""

    shelf = models.ForeignKey(Shelf, null=True, on_delete=models.CASCADE, related_name="notes")
    title = models.CharField(max_length=50)
    is_hidden = models.BooleanField(default=False)
    labels = models.ManyToManyField(Label, related_name="notes")
    marks = models.ManyToManyField(Label, through="Marking", related_name="marked_notes")
    cover = models.ForeignKey(
        Label, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    revision = models.PositiveIntegerField(default=0)

    objects = RealtimeManager()


class Marking(models.Model):
    """A row of a many-to-many relation that has a model of its own."""

    note = models.ForeignKey(Note, on_delete=models.CASCADE)
    label = models.ForeignKey(Label, on_delete=models.CASCADE)

    objects = RealtimeManager()


class Remark(models.Model):
    """What is said of a note, which shows it."""

    note = models.ForeignKey(Note, on_delete=models.CASCADE, related_name="remarks")
    text = models.CharField(max_length=50)

    objects = RealtimeManager()


class Topic(models.Model):
    """A row whose key is text, related to its own kind, to one row and to rows of any model."""

    name = models.CharField(max_length=20, primary_key=True)
    related = models.ManyToManyField("self")
    narrower = models.ManyToManyField("self", symmetrical=False, related_name="broader")
    marks = GenericRelation("todos.Mark")

    objects = RealtimeManager()


class Badge(models.Model):
    """The badge of a topic, which shows it."""

    topic = models.OneToOneField(Topic, on_delete=models.CASCADE)
    text = models.CharField(max_length=20)


class Mark(models.Model):
    """A mark on a row of any model."""

    content_type = models.ForeignKey(
        ContentType, on_delete=models.CASCADE, db_constraint=False
    )  # its table is made by a migration, which is later
    object_id = models.CharField(max_length=20)
    target = GenericForeignKey()
    text = models.CharField(max_length=20)


class OpenManager(RealtimeManager):
    """A manager of the tickets that are open: it hides the others."""

    def get_queryset(self) -> models.QuerySet[Ticket]:
        return super().get_queryset().filter(is_open=True)


class Ticket(models.Model):
    is_open = models.BooleanField(default=True)
    revision = models.PositiveIntegerField(default=0)

    objects = OpenManager()


class Complaint(Ticket):
    """A multi-table child of a model with a version."""

    text = models.CharField(max_length=50)
