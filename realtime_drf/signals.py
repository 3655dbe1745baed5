"""Signals of what became of an event. Receivers that raise are logged and harm nobody.

``event_published(sender, event, transport)``: the transport has handed the event to its service.
``publish_failed(sender, events, transport, error)``: these events did not go.

``sender`` is the transport's class, ``transport`` its alias. They fire in the process and thread
that called the transport.

What a service reports by webhook has signals of the names that it has there::

    channel_occupied      a channel has its first subscriber
    channel_vacated       its last subscriber is gone
    member_added          a user has joined a presence channel
    member_removed        and left it
    client_event          a client has sent an event to a channel
    cache_miss            a client has subscribed to a cache channel that holds no event
    subscription_count    the number of a channel's subscribers has changed

Each is sent as ``(sender, transport, channel, event)``: ``channel`` is the canonical name,
``event`` the `realtime_drf.webhook_events.WebhookEvent` with ``time_ms`` and ``details``. They fire
in the request that brings the webhook, in no promised order of time, and once for each webhook,
however often it is delivered.
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
