"""Channel objects, which stand for channel names."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from realtime_drf.names import ChannelKind, build_channel_name


class UserChannel:
    """Name the channel that reaches all connections signed in as one user.

    Takes a user or a user's id: ``UserChannel(request.user)``, ``UserChannel(7)``.

    >>> UserChannel(7).name
    '#server-to-user-7'
    """

    kind = ChannelKind.USER

    def __init__(self, user: Any) -> None:
        user_id = user.pk if isinstance(user, Model) else user
        self.name = build_channel_name(self.kind, str(user_id))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"
