"""The deliveries by alias: one instance a process, made from settings when first asked for."""

from __future__ import annotations

import inspect
from typing import Any

from django.utils.module_loading import import_string

from realtime_drf.conf import INLINE, PerAlias, TransportConfig, nearest
from realtime_drf.delivery.inline import InlineDelivery
from realtime_drf.exceptions import InvalidTransport
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


def _make(delivery_class: Any, config: TransportConfig) -> Delivery:
    """Make a delivery with its options, and with its alias if the constructor takes one."""
    parameters = inspect.signature(delivery_class).parameters.values()
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    known = {each.name for each in parameters if each.kind in named}
    for option in config.delivery_options:
        _check_option(option, known - {"alias"}, takes_all, config)
    alias = {"alias": config.alias} if takes_all or "alias" in known else {}
    delivery: Delivery = delivery_class(**alias, **config.delivery_options)
    return delivery


def _check_option(option: Any, known: set[str], takes_all: bool, config: TransportConfig) -> None:
    is_name = isinstance(option, str) and option != "alias"
    if not (option in known or (takes_all and is_name)):
        has = ", ".join(sorted(known)) or "none"
        raise InvalidTransport(
            f"DELIVERY {config.delivery!r} has no option {option!r}; it has: {has}."
            f"{nearest(str(option), known)}",
            alias=config.alias,
        )


deliveries = DeliveryHandler()
