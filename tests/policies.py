"""Channel policies that tests of authorization ask, and no others: the fixture `policies`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import AllowAny, IsAdminUser

from realtime_drf.channels import (
    EncryptedChannel,
    PresenceChannel,
    PrivateChannel,
    PublicChannel,
    registry,
)
from tests.todos.models import TodoList

_before = list(registry)


class NewsChannel(PublicChannel):
    pattern = "news"


class ListChannel(PrivateChannel):
    """Let in those whose name the list has."""

    pattern = "lists.<int:pk>"

    def authorize(self, request: Any, pk: int) -> bool:
        return TodoList.objects.filter(pk=pk, name=request.user.get_username()).exists()


class BulkChannel(PrivateChannel):
    """Do so with one query for all."""

    pattern = "bulk.<int:pk>"

    @classmethod
    def authorize_many(cls, request: Any, channels: Sequence[Self]) -> Iterable[Self]:
        asked = [channel.kwargs["pk"] for channel in channels]
        mine = TodoList.objects.filter(pk__in=asked, name=request.user.get_username())
        allowed = set(mine.values_list("pk", flat=True))
        return [channel for channel in channels if channel.kwargs["pk"] in allowed]


class AsyncChannel(PrivateChannel):
    pattern = "async.<int:pk>"

    async def authorize(self, request: Any, pk: int) -> bool:
        found = TodoList.objects.filter(pk=pk, name=request.user.get_username())
        return await found.aexists()


class OpenChannel(PrivateChannel):
    pattern = "open"
    permission_classes = (AllowAny,)

    def authorize(self, request: Any) -> bool:
        return True


class StaffChannel(PrivateChannel):
    pattern = "staff"
    permission_classes = (IsAdminUser,)

    def authorize(self, request: Any) -> bool:
        return True


class BrokenChannel(PrivateChannel):
    pattern = "broken.<slug:how>"

    def authorize(self, request: Any, how: str) -> Any:
        if how == "raises":
            raise RuntimeError("a policy that fails")
        if how == "denies":
            raise PermissionDenied
        return 1


class TwiceChannel(PrivateChannel):
    pattern = "twice.<int:pk>"

    def authorize(self, request: Any, pk: int) -> bool:
        return True


class TwiceAgainChannel(PrivateChannel):
    pattern = "twice.<slug:name>"

    def authorize(self, request: Any, name: str) -> bool:
        return True


class UnwrittenChannel(PrivateChannel):
    pattern = "unwritten"


class BoardChannel(PresenceChannel):
    pattern = "boards.<slug:name>"
    permission_classes = (AllowAny,)

    def authorize(self, request: Any, name: str) -> bool:
        return name != "secret"

    def get_user_info(self, request: Any, name: str) -> dict[str, Any] | None:
        if name == "bare":
            return None
        if name == "huge":
            return {"name": "x" * 2000}
        return {"name": "Zoë", "board": name}


class SafeChannel(EncryptedChannel):
    pattern = "safe.<int:pk>"

    def authorize(self, request: Any, pk: int) -> bool:
        return pk == 1


class KeptChannel(PrivateChannel):
    pattern = "kept"
    cache = True

    def authorize(self, request: Any) -> bool:
        return True


POLICIES = [cls for cls in registry if cls not in _before]
registry.channels[:] = _before
