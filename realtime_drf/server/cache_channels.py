"""The last event of a cache channel, for new subscribers.

https://pusher.com/docs/channels/using_channels/cache-channels/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from realtime_drf.cluster import messages
from realtime_drf.cluster.backplane import Backplane
from realtime_drf.cluster.messages import load_event
from realtime_drf.cluster.serial_worker import raise_if_cancelled
from realtime_drf.pusher_protocol import frames
from realtime_drf.server.channel import LocalChannel, Subscriber
from realtime_drf.server.hub import Hub
from realtime_drf.server.reporter import make_event
from realtime_drf.webhook_events import WebhookEvent

MAX_LAST_EVENTS: Final = 10_000
"""Cache channels of which a node knows the last event that arrived, subscribed to or not."""


class CacheChannels:
    """The cache channels of a node.

    Args:
        hub: the channels of the node.
        backplane: leads to the store, which keeps the last events.
        report: receives webhook events.
    """

    def __init__(
        self, hub: Hub, backplane: Backplane, *, report: Callable[[Sequence[WebhookEvent]], None]
    ) -> None:
        self._hub = hub
        self._backplane = backplane
        self._report = report
        self._last_ids: dict[str, str] = {}
        """Ids of the last events that arrived, by channel, the latest at the end."""

    async def recall(self, channel: LocalChannel) -> str | None:
        """Return the last event in the store, "" if there is none, or None if the store fails."""
        try:
            return await self._backplane.store.recall(channel.name) or ""
        except Exception as exc:  # noqa: BLE001  any store, any error: it is not known
            raise_if_cancelled()
            self._hub.log_store(exc)
            return None

    def send_last(
        self, channel: LocalChannel, connection: Subscriber, cached: str | None, arrived: int
    ) -> None:
        """Send the last event to a new subscriber.

        Args:
            channel, connection: of the subscription.
            cached: what `recall` returned.
            arrived: `channel.arrived` before that call. An event that has arrived since is later
                than the one in the store.
        """
        if channel.arrived != arrived:
            connection.send(channel.last_event)
        elif cached:
            event = load_event(cached, channel.name)
            connection.send(frames.event_frame(event.name, channel.name, frames.dump(event.body)))
            if event.id != self._last_ids.get(channel.name):  # else it has arrived before
                channel.recalled[connection] = event.id
        elif cached is not None:
            connection.send(frames.cache_miss(channel.name))
            self._report([make_event("cache_miss", channel.name)])

    def note(self, name: str, event_id: str) -> bool:
        """Note the last event of a channel; return whether one had arrived before."""
        had_one = self._last_ids.pop(name, None) is not None
        self._last_ids[name] = event_id
        if len(self._last_ids) > MAX_LAST_EVENTS:
            del self._last_ids[next(iter(self._last_ids))]  # the one without events for longest
        return had_one

    def deliver(
        self,
        channel: LocalChannel,
        event: messages.EventMessage,
        frame: str,
        *,
        had_events: bool,
    ) -> None:
        """Broadcast an event, except to subscribers that got it or a later one from the cache.

        If the channel had events here before, an event from the cache that has not arrived here is
        on its way. Otherwise it was published before this node started, or arrives next.
        """
        channel.arrived += 1
        channel.last_event = frame
        have_it = [
            connection
            for connection, event_id in channel.recalled.items()
            if had_events or event_id == event.id
        ]
        channel.recalled = {
            connection: event_id
            for connection, event_id in channel.recalled.items()
            if had_events and event_id != event.id
        }
        for connection in have_it:
            channel.subscribers.pop(connection, None)
        self._hub.broadcast(channel, frame, event.socket_id)
        channel.subscribers.update((each, each.pending) for each in have_it)
