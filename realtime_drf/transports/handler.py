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
from realtime_drf.transports.redaction import Redactor, find_secrets

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
        except Exception as exc:  # noqa: BLE001  of an SDK, or a transport of somebody else's
            error = _make_error(config, exc)
        else:
            return transport
        # Raised here and not in the handler, where the original would come along as the context.
        raise error


def _make_error(config: TransportConfig, exc: Exception) -> InvalidTransport:
    """Make an error of whatever a constructor raised, without the secrets among its options."""
    redactor = Redactor(find_secrets(config.options))
    text = redactor.text(str(exc))
    if not isinstance(exc, ImproperlyConfigured | TypeError | ValueError):
        text = f"{type(exc).__name__}: {text}"
    error = InvalidTransport(f"{config.transport}: {text}", alias=config.alias)
    error.__cause__ = redactor.exception(exc)
    return error


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
    known = _find_options(transport_class)
    for option, value in config.options.items():
        if option not in known:
            has = ", ".join(sorted(known)) or "none"
            raise InvalidTransport(
                f"{transport_class.__name__} has no option {option!r}; it has: {has}."
                f"{nearest(option, known)}",
                alias=config.alias,
            )
        if _is_switch(known[option]) and not isinstance(value, bool | None):
            raise InvalidTransport(
                f"{option!r} must be True or False, not {type(value).__name__}: an environment "
                f"variable is text, and the text 'False' counts as True.",
                alias=config.alias,
            )


def _is_switch(parameter: inspect.Parameter) -> bool:
    """Tell whether an option is True or False, by its annotation or, without one, its default."""
    if parameter.annotation is parameter.empty:
        return isinstance(parameter.default, bool)
    return parameter.annotation in (bool, bool | None, "bool", "bool | None", "Optional[bool]")


def _find_options(transport_class: type[Any]) -> dict[str, inspect.Parameter]:
    """Collect the keyword arguments of the constructor and of those it hands the rest to."""
    found: dict[str, inspect.Parameter] = {}
    for cls in transport_class.__mro__:
        if "__init__" not in vars(cls):
            continue
        parameters = inspect.signature(vars(cls)["__init__"]).parameters.values()
        for each in parameters:
            if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD):
                found.setdefault(each.name, each)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return {name: each for name, each in found.items() if name not in ("self", "alias")}


transports = TransportHandler()
