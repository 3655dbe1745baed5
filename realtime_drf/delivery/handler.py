"""The deliveries by alias: one instance a process, made from settings when first asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from django.utils.module_loading import import_string

from realtime_drf.conf import INLINE, PerAlias, TransportConfig
from realtime_drf.delivery.inline import InlineDelivery
from realtime_drf.exceptions import InvalidTransport
from realtime_drf.options import check_options
from realtime_drf.protocols import Delivery


class DeliveryHandler(PerAlias[Delivery]):
    """The deliveries of REALTIME_TRANSPORTS by alias."""

    def create(self, config: TransportConfig) -> Delivery:
        try:
            found = InlineDelivery if config.delivery == INLINE else import_string(config.delivery)
            delivery = _make(found, config)
        except InvalidTransport:
            raise
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


def _make(make: Callable[..., Any], config: TransportConfig) -> Delivery:
    """Make a delivery with its options, and with its alias if the constructor takes one."""
    if isinstance(make, type):  # and not a function that returns one
        check_options(make, config.delivery_options, alias=config.alias)
    parameters = inspect.signature(make).parameters.values()
    takes_alias = any(each.name == "alias" or each.kind is each.VAR_KEYWORD for each in parameters)
    alias = {"alias": config.alias} if takes_alias else {}
    delivery: Delivery = make(**alias, **config.delivery_options)
    return delivery


deliveries = DeliveryHandler()
