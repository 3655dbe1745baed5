"""Alias to delivery: one instance a process, made from settings when first asked for."""

from __future__ import annotations

from django.utils.module_loading import import_string

from realtime_drf.conf import INLINE, PerAlias, TransportConfig
from realtime_drf.delivery.inline import InlineDelivery
from realtime_drf.exceptions import InvalidTransport
from realtime_drf.protocols import Delivery


class DeliveryHandler(PerAlias[Delivery]):
    """Hold the deliveries by alias."""

    def create(self, config: TransportConfig) -> Delivery:
        if config.delivery == INLINE:
            return InlineDelivery()
        try:
            delivery: Delivery = import_string(config.delivery)()
        except Exception as exc:  # of a class of the project's
            raise InvalidTransport(
                f"could not make DELIVERY {config.delivery!r}: {type(exc).__name__}: {exc}.",
                alias=config.alias,
            ) from exc
        if not hasattr(delivery, "deliver"):
            raise InvalidTransport(
                f"DELIVERY {config.delivery!r} has no deliver().", alias=config.alias
            )
        return delivery


deliveries = DeliveryHandler()
