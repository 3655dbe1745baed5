"""Alias to transport: one instance a process, made from settings when first asked for."""

from __future__ import annotations

import inspect
import sys
from importlib.util import find_spec
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from realtime_drf.conf import PerAlias, TransportConfig, nearest
from realtime_drf.exceptions import InvalidTransport
from realtime_drf.protocols import Transport

_CLASSES = [
    f"{__package__}.{name}.{name.title()}Transport"
    for name in ("ably", "channels", "console", "memory", "pusher")
    if find_spec(f"{__package__}.{name}")
]


class TransportHandler(PerAlias[Transport]):
    """Hold the transports of REALTIME_TRANSPORTS by alias.

    Subscription raises InvalidTransport, whose message starts with the setting and the alias, when
    the entry, the class or its options are wrong.
    """

    def create(self, config: TransportConfig) -> Transport:
        transport_class = _import_class(config)
        _check_options(transport_class, config)
        try:
            transport: Transport = transport_class(alias=config.alias, **config.options)
        except InvalidTransport:
            raise
        except (ImproperlyConfigured, TypeError, ValueError) as exc:
            raise InvalidTransport(f"{config.transport}: {exc}", alias=config.alias) from exc
        return transport


def _import_class(config: TransportConfig) -> type[Any]:
    try:
        found = import_string(config.transport)
    except ImportError as exc:
        raise InvalidTransport(
            f"could not import TRANSPORT {config.transport!r}: {exc}."
            f"{_nearest_class(config.transport)}",
            alias=config.alias,
        ) from exc
    if not (isinstance(found, type) and hasattr(found, "send")):
        raise InvalidTransport(
            f"TRANSPORT {config.transport!r} is not a transport class.", alias=config.alias
        )
    return found


def _nearest_class(path: str) -> str:
    """Return a sentence that names the class which was probably meant, or nothing."""
    module = path.rpartition(".")[0]
    own = [f"{module}.{name}" for name in dir(sys.modules.get(module)) if module in sys.modules]
    return nearest(path, _CLASSES) or nearest(path, own)


def _check_options(transport_class: type[Any], config: TransportConfig) -> None:
    known = _option_names(transport_class)
    for option in config.options:
        if option not in known:
            has = ", ".join(sorted(known)) or "none"
            raise InvalidTransport(
                f"{transport_class.__name__} has no option {option!r}; it has: {has}."
                f"{nearest(option, known)}",
                alias=config.alias,
            )


def _option_names(transport_class: type[Any]) -> set[str]:
    """Collect the keyword arguments of the constructor and of those it hands the rest to."""
    names: set[str] = set()
    for cls in transport_class.__mro__:
        if "__init__" not in vars(cls):
            continue
        parameters = inspect.signature(vars(cls)["__init__"]).parameters.values()
        names.update(
            p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
        )
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {"self", "alias"}


transports = TransportHandler()
