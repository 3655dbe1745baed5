"""When and in which process a transport is called, and the report of its outcome.

``DELIVERY`` of a transport is "inline" or the dotted path of a class with a ``deliver`` method, as
`realtime_drf.protocols.Delivery` has it. It is made once an alias, with ``DELIVERY_OPTIONS``.
"""

from __future__ import annotations

from realtime_drf.delivery.handler import DeliveryHandler, deliveries
from realtime_drf.delivery.inline import InlineDelivery
from realtime_drf.delivery.sending import report_failure, send

__all__ = ["DeliveryHandler", "InlineDelivery", "deliveries", "report_failure", "send"]
