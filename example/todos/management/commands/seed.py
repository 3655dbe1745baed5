"""Fill an empty board, and make the demo's users and its superuser."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand
from django.db import transaction

from realtime_drf import suppress_events
from todos.models import GAP, List, Todo
from todos.people import ADMIN, DEMO_USERS, PASSWORD

LISTS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "Before the fair",
        (),
        (
            "Ask the council for the road closure",
            "Order bunting, about 200 metres",
            "Find a second lemonade stand",
            "Print the map of stalls",
        ),
    ),
    (
        "On the day",
        (),
        (
            "Put up tables by 8",
            "Sound check for the brass band",
            "First aid tent next to the pump",
        ),
    ),
    ("Cake for Cleo's birthday", ("ann", "bob"), ("Bob: two kilos of cherries", "Candles: 31")),
    ("My errands", ("ann",), ("Fetch the cargo bike",)),
    ("Band practice", ("bob", "cleo"), ("New strings", "Agree on the last song")),
)
"""Each list's name, members (none is everyone), and todos."""

DONE = {"Ask the council for the road closure"}


class Command(BaseCommand):
    help = "Adds users, lists and todos to an empty board. Nothing is broadcast."

    @suppress_events()
    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        if User.objects.exists() or List.objects.exists():
            self.stdout.write("There is something on the board already.")
            return
        users = {
            name: User.objects.create_user(name, password=PASSWORD, first_name=name.title())
            for name in DEMO_USERS
        }
        User.objects.create_superuser(ADMIN, password=PASSWORD, first_name=ADMIN.title())
        for name, members, titles in LISTS:
            todo_list = List.objects.create(name=name, public=not members)
            todo_list.members.set([users[member] for member in members])
            for number, title in enumerate(titles, start=1):
                Todo.objects.create(
                    list=todo_list, title=title, position=number * GAP, done=title in DONE
                )
        self.stdout.write(f"Added {len(LISTS)} lists, and the users {', '.join([*users, ADMIN])}.")
