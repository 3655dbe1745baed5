"""The number of subscriptions of a channel: who receives it, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from realtime_drf.cluster import messages
from realtime_drf.cluster.backplane import Backplane
from realtime_drf.pusher_protocol import frames
from realtime_drf.server.channel import LocalChannel
from realtime_drf.server.reporter import make_event
from realtime_drf.webhook_events import WebhookEvent

EXACT_COUNTS: Final = 100
"""Subscriptions up to which every change of their number is sent at once."""

COUNT_PAUSE: Final = 5.0
"""Seconds between two changes of a larger number."""


class SubscriptionCounts:
    """The numbers of subscriptions of a node's channels.

    Args:
        backplane: leads to the other nodes.
        broadcast: writes a frame to the subscribers of a channel.
        report: receives webhook events.
        clock: returns seconds that never go back.
    """

    def __init__(
        self,
        backplane: Backplane,
        *,
        broadcast: Callable[[LocalChannel, str], None],
        report: Callable[[Sequence[WebhookEvent]], None],
        clock: Callable[[], float],
    ) -> None:
        self._backplane = backplane
        self._broadcast = broadcast
        self._report = report
        self._clock = clock

    def send(self, channel: LocalChannel) -> None:
        """Send the number of a channel if it has changed; a large one only now and then."""
        count = channel.subscriptions
        if not channel.is_counted or count in (0, channel.sent_count):
            return
        now = self._clock()
        if count > EXACT_COUNTS and now - channel.sent_count_at < COUNT_PAUSE:
            return
        channel.sent_count, channel.sent_count_at = count, now
        self._broadcast(channel, frames.count(channel.name, count))
        self._backplane.post([messages.CountMessage(channel.name, count, channel.counted_at)])
        self._report([make_event("subscription_count", channel.name, subscription_count=count)])

    def update(self, channel: LocalChannel, message: messages.CountMessage) -> None:
        """Send the number that another node has found, if it is newer than ours."""
        if message.number <= channel.counted_at:
            return
        channel.counted_at = message.number
        if channel.version is not None:
            channel.version = max(message.number, channel.version)
        channel.subscriptions = message.subscriptions
        if message.subscriptions != channel.sent_count:  # it may have been sent here already
            channel.sent_count = message.subscriptions
            self._broadcast(channel, frames.count(channel.name, message.subscriptions))
