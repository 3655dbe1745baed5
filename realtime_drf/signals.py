"""Signals of what became of an event. Receivers that raise are logged and harm nobody.

``event_published(sender, event, transport)``: the transport has handed the event to its service.
``publish_failed(sender, events, transport, error)``: these events did not go.

``sender`` is the transport's class, ``transport`` its alias. They fire in the process and thread
that called the transport.
"""

from __future__ import annotations

from django.dispatch import Signal

event_published = Signal()
publish_failed = Signal()
