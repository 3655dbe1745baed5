"""Fill an empty list."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from todos.models import Todo

TITLES = ("Buy milk", "Water the plants", "Call the bank")


class Command(BaseCommand):
    help = "Adds a few todos, unless there are any. Nothing is broadcast."

    def handle(self, *args: Any, **options: Any) -> None:
        if Todo.objects.exists():
            self.stdout.write("There are todos already.")
            return
        Todo.objects.bulk_create(
            Todo(title=title, position=position) for position, title in enumerate(TITLES)
        )
        self.stdout.write(f"Added {len(TITLES)} todos.")
