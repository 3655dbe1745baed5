"""`manage.py check` on channel classes, and what a class refuses at once."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import checks
from pytest_django import Settings
from rest_framework.permissions import (
    AllowAny,
    BasePermission,
    DjangoModelPermissions,
    IsAdminUser,
    IsAuthenticated,
)

from realtime_drf.channels import (
    EncryptedChannel,
    PresenceChannel,
    PrivateChannel,
    PublicChannel,
    UserChannel,
    registry,
)
from realtime_drf.exceptions import InvalidEvent
from realtime_drf.names import ChannelKind
from tests.policies import POLICIES, BoardChannel, KeptChannel, ListChannel, SafeChannel
from tests.todos.models import TodoList

CONSOLE = {"default": {"TRANSPORT": "realtime_drf.transports.console.ConsoleTransport"}}


def found() -> list[tuple[str, str]]:
    """Return what the checks say of channels: the id, and the words."""
    messages = checks.run_checks(tags=["realtime_drf"])
    return [(str(m.id).removeprefix("realtime_drf."), m.msg) for m in messages]


class IsOwner(BasePermission):
    """Look at the object."""

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        return bool(obj.name == request.user.get_username())


class Open(PrivateChannel):
    """The base of those that are checked here."""

    def authorize(self, request: Any, **kwargs: Any) -> bool:
        return True


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("lists.<path:x>", "would match several segments"),
        ("lists.<int:x", "at most one <converter:name>"),
        ("a b", "is not a legal name"),
        ("", "is not a legal name"),
        ("x" * 160, "characters"),
        ("encrypted-<int:pk>", "is another kind"),
        ("cache-x", "is another kind"),
        ("ä.<int:pk>", "is not a legal name"),
    ],
)
def test_a_pattern_that_makes_no_legal_names_is_an_error(pattern: str, words: str) -> None:
    type("Wrong", (Open,), {"pattern": pattern})
    [(id_, message)] = found()
    assert id_ == "E006"
    assert message.startswith("Wrong: ")
    assert words in message


def test_overlapping_patterns_are_an_error_where_they_name_the_same_kind() -> None:
    class One(Open):
        pattern = "lists.<int:pk>"

    class Public(PublicChannel):
        pattern = "lists.<int:pk>"

    class Kept(Open):
        pattern = "lists.<int:pk>"
        cache = True

    assert found() == []

    class Two(Open):
        pattern = "<slug:kind>.<int:pk>"

    [(id_, message)] = found()
    assert id_ == "E007"
    assert "One (lists.<int:pk>) and" in message
    assert "Two (<slug:kind>.<int:pk>)" in message


def test_a_subclass_that_states_the_pattern_again_decides_in_its_parents_place() -> None:
    class Lists(Open):
        pattern = "lists.<int:pk>"

    class Kept(Lists):
        pattern = "lists.<int:pk>"
        cache = True

    class Tighter(Lists):
        pattern = "lists.<int:pk>"

        def authorize(self, request: Any, **kwargs: Any) -> bool:
            return False

    assert [type(registry.match(f"private-{kind}lists.5")) for kind in ("", "cache-")] == [
        Tighter,
        Kept,
    ]
    assert Lists not in registry
    assert found() == []

    class Stranger(Lists):
        pattern = "lists.<int:pk>"

    assert registry.match("private-lists.5") is None
    assert [id_ for id_, _ in found()] == ["E007"]


@pytest.mark.parametrize(
    "policy",
    [
        {"authorize": lambda self, request, pk: False},
        {"authorize_many": classmethod(lambda cls, request, channels: [])},
        {"authorize_publish": lambda self, request, pk: False},
        {"get_user_info": lambda self, request, pk: None},
        {"permission_classes": [IsAdminUser]},
        {"cache": True},
        {"kind": ChannelKind.ENCRYPTED},
    ],
    ids=lambda policy: next(iter(policy)),
)
def test_a_policy_with_an_inherited_pattern_is_an_error(policy: dict[str, Any]) -> None:
    class Boards(PresenceChannel, Open):
        pattern = "boards.<int:pk>"

    class Helper(Boards):
        def __str__(self) -> str:
            return self.name

    assert found() == []
    tighter = type("Tighter", (Helper,), policy)  # which nobody else holds
    [(id_, message)] = found()
    assert id_ == "E013"
    assert message.startswith(f"{tighter.__name__} is not used: it inherits the pattern of ")
    assert message.endswith("Boards.")


def test_a_policy_that_inherits_from_one_that_was_replaced_is_an_error() -> None:
    class Boards(Open):
        pattern = "boards.<int:pk>"

    class Successor(Boards):
        pattern = "boards.<int:pk>"

    class Strict:
        def authorize(self, request: Any, **kwargs: Any) -> bool:
            return False

    class Forgotten(Strict, Boards):
        pass

    [(id_, message)] = found()
    assert id_ == "E013"
    assert "Forgotten is not used" in message


def test_a_private_channel_without_a_policy_is_an_error() -> None:
    class Unwritten(PresenceChannel):
        pattern = "x"

    class Bulk(PrivateChannel):
        pattern = "y"

        @classmethod
        def authorize_many(cls, request: Any, channels: Any) -> Any:
            return channels

    assert [id_ for id_, _ in found()] == ["E008"]


@pytest.mark.parametrize(
    ("permission", "words"),
    [(DjangoModelPermissions, "the right to add rows"), ("x", "'x' is not a permission")],
)
def test_a_permission_that_cannot_work_is_an_error(permission: Any, words: str) -> None:
    type("Wrong", (Open,), {"pattern": "x", "permission_classes": [permission]})
    [(id_, message)] = found()
    assert id_ == "E009"
    assert words in message


def test_a_queryset_alone_says_nothing_of_who_may_subscribe() -> None:
    class Wrong(PrivateChannel):
        pattern = "x.<int:pk>"
        queryset = TodoList.objects.all()

    class Negated(PrivateChannel):
        pattern = "y.<int:pk>"
        queryset = TodoList.objects.all()
        permission_classes = (~IsAdminUser,)

    assert found() == [
        ("E008", f"{name} has no authorize(), and no permission with has_object_permission().")
        for name in (Wrong.__qualname__, Negated.__qualname__)
    ]


def test_a_permission_that_looks_at_objects_is_a_policy_where_there_is_a_queryset() -> None:
    class Right(PrivateChannel):
        pattern = "x.<int:pk>"
        queryset = TodoList.objects
        permission_classes = (IsAuthenticated & (IsAdminUser | ~IsOwner),)

    assert found() == []

    class Wrong(PrivateChannel):
        pattern = "y.<int:pk>"
        permission_classes = (IsOwner,)

    assert found() == [("E008", f"{Wrong.__qualname__} has no authorize().")]


@pytest.mark.parametrize(
    ("pattern", "queryset", "words"),
    [
        ("x.<int:pk>", [], "queryset must be a QuerySet, not list."),
        ("x.<int:pk>", TodoList, "queryset must be a QuerySet, not ModelBase."),
        ("x", TodoList.objects.all(), "its pattern has no value for the lookup"),
        ("x.<int:pk>.<slug:nme>", TodoList.objects.all(), "looked up by pk, nme: Cannot resolve"),
        ("x.<int:pk>", TodoList.objects.all()[:5], "Cannot filter a query once a slice"),
        ("x.<int:pk>", TodoList.objects.union(TodoList.objects.all()), "union"),
    ],
)
def test_a_queryset_that_cannot_be_looked_up_by_the_pattern_is_an_error(
    pattern: str, queryset: Any, words: str
) -> None:
    type("Wrong", (Open,), {"pattern": pattern, "queryset": queryset})
    [(id_, message)] = found()
    assert id_ == "E019"
    assert message.startswith("Wrong: ")
    assert words in message


def test_a_malformed_pattern_is_one_error_with_a_queryset_too() -> None:
    type("Wrong", (Open,), {"pattern": "x.<int:pk", "queryset": TodoList.objects.all()})
    assert [id_ for id_, _ in found()] == ["E006"]


def test_an_heir_with_another_queryset_is_not_asked() -> None:
    class Lists(Open):
        pattern = "x.<int:pk>"
        queryset = TodoList.objects.all()

    class Heir(Lists):
        queryset = TodoList.objects.filter(name="")

    assert [id_ for id_, _ in found()] == ["E013"]


@pytest.mark.parametrize("forgotten", [IsAuthenticated, None, "IsAuthenticated"])
def test_permissions_that_are_no_list_are_an_error(forgotten: Any) -> None:
    attributes = {"queryset": TodoList.objects.all(), "permission_classes": forgotten}
    type("Wrong", (Open,), {"pattern": "x.<int:pk>", **attributes})
    [(id_, message)] = found()
    assert id_ == "E009"
    assert "Wrong: permission_classes is not a list" in message


def test_permissions_of_signing_in_are_checked_alike() -> None:
    type("Wrong", (UserChannel,), {"permission_classes": [DjangoModelPermissions]})
    assert [id_ for id_, _ in found()] == ["E009"]


def test_permissions_may_be_composed() -> None:
    type("Right", (Open,), {"pattern": "x", "permission_classes": [IsAuthenticated | AllowAny]})
    assert found() == []


def test_two_classes_of_users_are_an_error() -> None:
    class One(UserChannel):
        pass

    assert found() == []

    class Two(UserChannel):
        pass

    assert [id_ for id_, _ in found()] == ["E010"]


def test_a_channel_that_the_transport_cannot_serve_is_warned_of(settings: Settings) -> None:
    class Private(Open):
        pattern = "x"

    class Safe(EncryptedChannel):
        pattern = "y"

        def authorize(self, request: Any) -> bool:
            return True

    class Person(UserChannel):
        pass

    assert found() == []
    settings.REALTIME_TRANSPORTS = CONSOLE
    assert [id_ for id_, _ in found()] == ["W003"] * 3
    pytest.importorskip("pusher")
    path = "realtime_drf.transports.pusher.PusherTransport"
    options = {"app_id": "1", "key": "k", "secret": "s"}
    settings.REALTIME_TRANSPORTS = {"default": {"TRANSPORT": path, "OPTIONS": options}}
    [(id_, message)] = found()
    assert (id_, "Safe: PusherTransport cannot encrypt." in message) == ("W003", True)


def test_a_transport_that_keeps_no_last_event_is_warned_of(settings: Settings) -> None:
    class Kept(PublicChannel):
        pattern = "news"
        cache = True

    assert found() == []
    settings.REALTIME_TRANSPORTS = CONSOLE
    [warning] = checks.run_checks(tags=["realtime_drf"])
    assert warning.id == "realtime_drf.W003"
    assert warning.msg.endswith("Kept: ConsoleTransport cannot keep the last event.")
    assert warning.hint is not None
    assert "do not get its last event" in warning.hint
    assert "nobody" not in warning.hint


@pytest.mark.usefixtures("policies")
def test_a_channel_names_itself_and_is_found_by_its_name() -> None:
    for channel in (ListChannel(pk=5), BoardChannel(name="a"), SafeChannel(pk=1), KeptChannel()):
        found = registry.match(channel.name)
        assert type(found) is type(channel)
        assert found is not None
        assert found.kwargs == channel.kwargs
        assert repr(channel) == f"{type(channel).__name__}({channel.name!r})"
    assert ListChannel(pk=5).name == "private-lists.5"
    assert KeptChannel().name == "private-cache-kept"
    assert SafeChannel(pk=1).name == "private-encrypted-safe.1"


def test_values_that_the_name_would_not_give_back_are_refused() -> None:
    for kwargs in ({"pk": "5"}, {"pk": -1}, {}, {"name": 5}):
        with pytest.raises(InvalidEvent):
            ListChannel(**kwargs)


def test_policies_of_tests_are_registered_for_nobody_else() -> None:
    assert not set(registry) & set(POLICIES)
