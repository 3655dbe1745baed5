"""DRF's object permissions: asked for the row that a channel's name stands for."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Self

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.signals import post_init
from django.http import Http404
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from rest_framework.permissions import BasePermission, IsAdminUser, IsAuthenticated
from rest_framework.test import APIClient, APIRequestFactory

from realtime_drf.authorization import decide
from realtime_drf.channel_objects import fetch_objects
from realtime_drf.channels import PresenceChannel, PrivateChannel, registry
from realtime_drf.grants import Grant
from realtime_drf.testing import RealtimeClient, SubscriptionRefused
from tests.databases import ALL, get_pair, on_each_database
from tests.todos.models import Tag, Todo, TodoList

pytestmark = pytest.mark.django_db


class IsOwner(BasePermission):
    """Permit what has the user's name."""

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        return bool(obj.owner == request.user.get_username())


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", password="pw")


@pytest.fixture
def mine() -> Todo:
    return Todo.objects.create(title="a", owner="ann", list=TodoList.objects.create(name="red"))


@pytest.fixture
def theirs() -> Todo:
    return Todo.objects.create(title="b", owner="bob")


def ask(user: User, *names: str) -> list[bool]:
    request = APIRequestFactory().post("/")
    request.user = user
    return [isinstance(each, Grant) for each in decide(request, names)]


def todo_channel(**attributes: Any) -> type[PrivateChannel]:
    """Define the policy of "private-todos.5"."""
    return type(
        "TodoChannel",
        (PrivateChannel,),
        {
            "pattern": "todos.<int:pk>",
            "queryset": Todo.objects.all(),
            "permission_classes": [IsAuthenticated, IsOwner],
            **attributes,
        },
    )


def names(*todos: Todo) -> list[str]:
    return [f"private-todos.{todo.pk}" for todo in todos]


def test_the_permission_on_the_object_decides(ann: User, mine: Todo, theirs: Todo) -> None:
    todo_channel()
    assert ask(ann, *names(mine, theirs)) == [True, False]


@pytest.mark.parametrize("alias", ["default", "pusher"])
def test_it_decides_for_whoever_asks_over_http(
    settings: Any, ann: User, mine: Todo, theirs: Todo, alias: str
) -> None:
    if alias == "pusher":
        pytest.importorskip("pusher")
        options = {"app_id": "1", "key": "k", "secret": "test-secret"}
        path = "realtime_drf.transports.pusher.PusherTransport"
        settings.REALTIME_TRANSPORTS = {"pusher": {"TRANSPORT": path, "OPTIONS": options}}
    todo_channel()
    client = APIClient()
    client.force_authenticate(ann)
    for todo, status in ((mine, 200), (theirs, 403)):
        data = {"socket_id": "1.1", "channel_name": names(todo)[0]}
        assert client.post(f"/realtime/auth/{alias}/", data).status_code == status


def test_it_decides_for_the_client_of_the_testing_kit(ann: User, mine: Todo, theirs: Todo) -> None:
    todo_channel()
    client = RealtimeClient(ann)
    client.subscribe(*names(mine))
    with pytest.raises(SubscriptionRefused):
        client.subscribe(*names(theirs))


@pytest.mark.parametrize("name", ["private-todos.0", "private-todos." + "9" * 60])
def test_an_object_that_is_not_there_is_refused_and_spoils_no_other(
    ann: User, mine: Todo, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    todo_channel()
    assert ask(ann, name, *names(mine)) == [False, True]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_the_queryset_leaves_out_is_not_there(ann: User, mine: Todo) -> None:
    todo_channel(queryset=Todo.objects.filter(done=True))
    assert ask(ann, *names(mine)) == [False]
    Todo.objects.update(done=True)
    assert ask(ann, *names(mine)) == [True]  # read anew for each request


def test_authorize_is_asked_too_and_has_the_object(ann: User, mine: Todo, theirs: Todo) -> None:
    seen = []

    async def authorize(self: Any, request: Any, pk: int) -> bool:
        seen.append(self.object)
        return bool(self.object.title == "a" and self.object.pk == pk)

    todo_channel(authorize=authorize)
    other = Todo.objects.create(title="c", owner="ann")
    assert ask(ann, *names(mine, theirs, other)) == [True, False, False]
    assert seen == [mine, other]


def test_authorize_alone_is_enough_beside_a_queryset(ann: User, mine: Todo, theirs: Todo) -> None:
    def authorize(self: Any, request: Any, pk: int) -> bool:
        return bool(self.object.title == "b")

    todo_channel(authorize=authorize, permission_classes=[IsAuthenticated])
    assert ask(ann, *names(mine, theirs)) == [False, True]


def test_a_queryset_alone_lets_nobody_in(
    ann: User, mine: Todo, caplog: pytest.LogCaptureFixture
) -> None:
    todo_channel(permission_classes=[IsAuthenticated])
    assert ask(ann, *names(mine)) == [False]
    assert "has no authorize()" in caplog.text


def test_who_is_refused_by_the_view_permission_costs_no_query(ann: User, mine: Todo) -> None:
    todo_channel(permission_classes=[IsAdminUser, IsOwner])
    with CaptureQueriesContext(connection) as queries:
        assert ask(ann, *names(mine)) == [False]
    assert len(queries) == 0


def test_many_channels_cost_one_query(ann: User) -> None:
    todos = [Todo.objects.create(title=str(n), owner="ann" if n % 2 else "") for n in range(100)]
    todo_channel()
    with CaptureQueriesContext(connection) as queries:
        assert ask(ann, *names(*todos)) == [n % 2 == 1 for n in range(100)]
    assert len(queries) == 1


def test_no_other_objects_are_fetched_than_those_of_the_channels(
    ann: User, mine: Todo, theirs: Todo
) -> None:
    fetched: list[int] = []

    def record(instance: Todo, **kwargs: Any) -> None:
        fetched.append(instance.pk)

    todo_channel()
    post_init.connect(record, sender=Todo)
    try:
        assert ask(ann, *names(mine)) == [True]
    finally:
        post_init.disconnect(record, sender=Todo)
    assert fetched == [mine.pk]


def test_authorize_many_has_the_objects_of_those_that_are_permitted(
    ann: User, mine: Todo, theirs: Todo
) -> None:
    class TodoChannel(PrivateChannel):
        pattern = "todos.<int:pk>"
        queryset = Todo.objects.select_related("list")
        permission_classes = (IsOwner,)

        @classmethod
        def authorize_many(cls, request: Any, channels: Sequence[Self]) -> Iterable[Self]:
            return [
                each for each in channels if each.object.list and each.object.list.name == "red"
            ]

    other = Todo.objects.create(title="c", owner="ann")
    with CaptureQueriesContext(connection) as queries:
        assert ask(ann, *names(mine, theirs, other)) == [True, False, False]
    assert len(queries) == 1


def test_what_others_see_of_a_member_may_come_from_the_object(ann: User, mine: Todo) -> None:
    class Presence(PresenceChannel):
        pattern = "todos.<int:pk>"
        queryset = Todo.objects.all()
        permission_classes = (IsOwner,)

        def get_user_info(self, request: Any, pk: int) -> dict[str, Any]:
            return {"owns": self.object.title}

    request = APIRequestFactory().post("/")
    request.user = ann
    [grant] = decide(request, [f"presence-todos.{mine.pk}"])
    assert isinstance(grant, Grant)
    assert grant.user_info == {"owns": "a"}


def test_values_of_related_rows_are_looked_up_with_the_same_query(
    ann: User, mine: Todo, theirs: Todo
) -> None:
    todo_channel(pattern="lists.<slug:list__name>.todos.<str:title>")
    with CaptureQueriesContext(connection) as queries:
        asked = ["private-lists.red.todos.a", "private-lists.red.todos.b"]
        assert ask(ann, *asked) == [True, False]
    assert len(queries) == 1


def test_a_name_that_stands_for_several_objects_is_refused(ann: User, mine: Todo) -> None:
    todo_channel(pattern="todos.<str:title>")
    assert ask(ann, "private-todos.a") == [True]
    Todo.objects.create(title="a", owner="ann")
    assert ask(ann, "private-todos.a") == [False]


def test_one_object_that_is_found_twice_is_one(ann: User, mine: Todo) -> None:
    mine.tags.set([Tag.objects.create(name="new"), Tag.objects.create(name="new")])
    todo_channel(pattern="todos.<str:tags__name>")
    assert ask(ann, "private-todos.new") == [True]


@pytest.mark.parametrize("answer", [1, None, "yes", [], Http404(), RuntimeError("a bug")])
@pytest.mark.parametrize("combine", ["alone", "and", "not"])
def test_whatever_is_no_clear_yes_refuses_its_own_channel_alone(
    ann: User, mine: Todo, theirs: Todo, answer: Any, combine: str
) -> None:
    class Unclear(BasePermission):
        def has_object_permission(self, request: Any, view: Any, obj: Todo) -> Any:
            if obj.title == "a":
                return combine != "not"
            if isinstance(answer, Exception):
                raise answer
            return answer

    permission: Any = {"alone": Unclear, "and": Unclear & IsAuthenticated, "not": ~Unclear}[combine]

    def authorize(self: Any, request: Any, pk: int) -> bool:
        return True

    todo_channel(permission_classes=[permission], authorize=authorize)
    # Of ~Unclear the part that is asked of the request says no already.
    assert ask(ann, *names(mine, theirs)) == [combine != "not", False]


def test_an_async_permission_is_refused(ann: User, mine: Todo) -> None:
    class Hidden(BasePermission):
        async def has_object_permission(self, request: Any, view: Any, obj: Todo) -> bool:
            return True

    todo_channel(permission_classes=[Hidden])
    assert ask(ann, *names(mine)) == [False]


def test_a_database_that_fails_lets_nobody_in(
    ann: User, mine: Todo, caplog: pytest.LogCaptureFixture
) -> None:
    todo_channel(queryset=Todo.objects.extra(where=["no_such_column = 1"]))
    assert ask(ann, *names(mine)) == [False]
    assert "Denied TodoChannel (1), since its policy failed" in caplog.text


@on_each_database
@pytest.mark.django_db(databases=ALL)
def test_numbers_that_no_column_holds_are_no_error_of_the_database(vendor: str) -> None:
    rows = TodoList.objects.using(get_pair(vendor)[0])
    row = rows.create(name="a")
    lookups = [{"pk": 10**40}, {"pk": row.pk}, {"pk": 0}]
    assert list(fetch_objects(rows, lookups)) == [(1, row)]


class Batches(TestCase):
    @given(
        owners=st.lists(st.sampled_from(["ann", "bob"]), max_size=8),
        asked=st.lists(st.integers(0, 9), max_size=12),
    )
    def test_a_batch_is_decided_as_its_channels_are_one_by_one(
        self, owners: list[str], asked: list[int]
    ) -> None:
        registry.channels = []  # an example defines the class again
        todo_channel(pattern="todos.<int:title>")
        for number, owner in enumerate(owners):
            Todo.objects.create(title=str(number), owner=owner)
        user = User(username="ann")
        channels = [f"private-todos.{number}" for number in asked]
        decided = ask(user, *channels)
        assert decided == [ask(user, name) == [True] for name in channels]
        assert decided == [owners[n : n + 1] == ["ann"] for n in asked]
