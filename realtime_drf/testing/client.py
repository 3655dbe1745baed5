"""A browser of one user in tests: it subscribes as the policies allow, and receives events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from rest_framework.test import APIRequestFactory, force_authenticate

from realtime_drf.conf import DEFAULT_ALIAS
from realtime_drf.events import Event
from realtime_drf.names import USER_PREFIX, ChannelKind, NamedChannel, parse_channel_name
from realtime_drf.transports import transports
from realtime_drf.transports.memory import Member, MemoryTransport
from realtime_drf.views import ChannelAuthorizationView, TransportView, UserAuthenticationView


class SubscriptionRefused(Exception):
    """A subscription that a policy denied, or for which there is no policy."""


class RealtimeClient:
    """A connection of a user to a memory transport.

    It subscribes with what the real endpoint answers, so channels, permissions and policies are the
    project's own. The user is set on the request, without a session.

    Args:
        user: the user, by default an anonymous one.
        transport: alias of a transport in memory.
    """

    def __init__(self, user: Any = None, *, transport: str = DEFAULT_ALIAS) -> None:
        memory = transports[transport]
        if not isinstance(memory, MemoryTransport):
            raise TypeError(f"{memory!r} is not in memory: use realtime_outbox beside the client.")
        self.user = AnonymousUser() if user is None else user
        self._alias = transport
        self._connection = memory.connect()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.user} on {sorted(self._connection.channels)}>"

    @property
    def socket_id(self) -> str:
        """Return the id of the connection, by which it can be excluded."""
        return self._connection.socket_id

    @property
    def headers(self) -> dict[str, str]:
        """Return the header by which a request says that it comes from this connection.

        For ``client.post(url, data, headers=realtime_client.headers)``.
        """
        return {"X-Socket-Id": self.socket_id}

    @property
    def received(self) -> list[Event]:
        """Return what arrived, in order: an event for each of its channels, with that channel."""
        return list(self._connection.received)

    @property
    def member_added(self) -> list[Member]:
        """Return the users that joined its presence channels after it did, in order.

        As with pusher-js, another connection of a user who is already there adds no member.
        """
        return list(self._connection.member_added)

    @property
    def member_removed(self) -> list[Member]:
        """Return the users whose last connection left its presence channels, in order."""
        return list(self._connection.member_removed)

    def members(self, channel: str | NamedChannel) -> dict[str, Any]:
        """Return the members of a presence channel, itself included: the info of each by user id.

        Raises:
            ValueError: it is not subscribed to this channel, or it is not a presence channel.
        """
        return self._connection.members(_get_name(channel))

    def clear(self) -> None:
        """Forget the events and the members that arrived so far."""
        connection = self._connection
        connection.received.clear()
        connection.member_added.clear()
        connection.member_removed.clear()

    def subscribe(self, channel: str | NamedChannel) -> Mapping[str, Any]:
        """Subscribe, and return what the endpoint answered, which is empty for a public channel.

        Raises:
            SubscriptionRefused: the policy denies it, or there is no policy.
            InvalidEvent: it is not a valid channel name.
        """
        name = _get_name(channel)
        kind = parse_channel_name(name).kind
        token: Mapping[str, Any] = {}
        if kind is ChannelKind.USER:
            raise SubscriptionRefused("Use sign_in() to subscribe to the channel of a user.")
        if kind is not ChannelKind.PUBLIC:
            token = self._ask(ChannelAuthorizationView, {"channel_name": name}, name)
        self._connection.subscribe(name, token)
        return token

    async def asubscribe(self, channel: str | NamedChannel) -> Mapping[str, Any]:
        """Subscribe as `subscribe` does, from a coroutine."""
        return await sync_to_async(self.subscribe)(channel)

    def unsubscribe(self, channel: str | NamedChannel) -> None:
        """Unsubscribe from a channel."""
        self._connection.unsubscribe(_get_name(channel))

    def sign_in(self) -> None:
        """Sign the user in, so that events to the user arrive on this connection.

        Raises:
            SubscriptionRefused: there is no user, or the project's UserChannel denies it.
        """
        self._ask(UserAuthenticationView, {}, "signing in")
        self._connection.channels.add(f"{USER_PREFIX}{self.user.pk}")

    def _ask(self, view: type[TransportView], data: dict[str, str], what: str) -> Mapping[str, Any]:
        request = APIRequestFactory().post("/", {"socket_id": self.socket_id, **data})
        force_authenticate(request, user=self.user)
        response = view.as_view()(request, alias=self._alias)
        if response.status_code != 200:
            raise SubscriptionRefused(
                f"{what} was denied to {self.user}: {response.status_code} {response.data}"
            )
        answer: Mapping[str, Any] = response.data
        return answer


def _get_name(channel: str | NamedChannel) -> str:
    return channel.name if isinstance(channel, NamedChannel) else channel
