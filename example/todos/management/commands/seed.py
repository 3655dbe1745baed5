"""Fill an empty list, and make two users."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand

from todos.models import Todo

TITLES = ("Buy milk", "Water the plants", "Call the bank")
USERS = ("ann", "bob")
PASSWORD = "demo"  # noqa: S105


class Command(BaseCommand):
    help = "Adds a few todos and users, unless there are any. Nothing is broadcast."

    def handle(self, *args: Any, **options: Any) -> None:
        self.add_todos()
        self.add_users()

    def add_todos(self) -> None:
        if Todo.objects.exists():
            self.stdout.write("There are todos already.")
            return
        Todo.objects.bulk_create(
            Todo(title=title, position=position) for position, title in enumerate(TITLES)
        )
        self.stdout.write(f"Added {len(TITLES)} todos.")

    def add_users(self) -> None:
        if User.objects.exists():
            self.stdout.write("There are users already.")
            return
        for name in USERS:
            User.objects.create_user(name, password=PASSWORD)
        self.stdout.write(f"Added the users {' and '.join(USERS)}, whose password is {PASSWORD}.")
