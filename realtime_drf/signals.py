"""Signals of the outcome of publishing. A receiver that raises is logged and stops nothing.

``event_published(sender, event, transport)``: the transport has sent the event to its service.
``publish_failed(sender, events, transport, error)``: these events were not sent.

``sender`` is the transport's class, ``transport`` its alias. They are sent in the process and
thread that called the transport.

Events that a service reports by webhook have signals of the same names::

    channel_occupied      a channel has its first subscriber
    channel_vacated       its last subscriber has left
    member_added          a user has joined a presence channel
    member_removed        a user has left a presence channel
    client_event          a client has sent an event to a channel
    cache_miss            a client has subscribed to a cache channel that has no event
    subscription_count    the number of a channel's subscribers has changed

Each is sent as ``(sender, transport, channel, event)``: ``channel`` is the canonical name,
``event`` the `realtime_drf.webhook_events.WebhookEvent` with ``time_ms`` and ``details``. They are
sent in the request of the webhook, in no guaranteed order of time, and once for each webhook, even
if it is delivered repeatedly.
"""

from __future__ import annotations

from django.dispatch import Signal

__all__ = [
    "cache_miss",
    "channel_occupied",
    "channel_vacated",
    "client_event",
    "event_published",
    "member_added",
    "member_removed",
    "publish_failed",
    "subscription_count",
]

event_published = Signal()
publish_failed = Signal()

channel_occupied = Signal()
channel_vacated = Signal()
member_added = Signal()
member_removed = Signal()
client_event = Signal()
cache_miss = Signal()
subscription_count = Signal()
