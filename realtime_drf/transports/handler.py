"""The transports of a process: one instance an alias, made from settings when first used."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from realtime_drf.conf import PerAlias, TransportConfig, nearest
from realtime_drf.exceptions import InvalidTransport
from realtime_drf.options import check_options, find_table
from realtime_drf.protocols import Transport
from realtime_drf.transports.redaction import Redactor, find_secrets

_CLASSES = [
    f"{__package__}.{name}.{name.title()}Transport"
    for name in ("ably", "channels", "console", "memory", "pusher")
    if find_spec(f"{__package__}.{name}")
]


class TransportHandler(PerAlias[Transport]):
    """The transports of REALTIME_TRANSPORTS, by alias.

    ``transports[alias]`` raises InvalidTransport, whose message starts with the setting and the
    alias, if the entry, the class or its options are wrong.
    """

    def create(self, config: TransportConfig) -> Transport:
        transport_class = _import_class(config)
        check_options(transport_class, config.options, alias=config.alias)
        try:
            transport: Transport = transport_class(alias=config.alias, **config.options)
        except InvalidTransport:
            raise
        except Exception as exc:  # noqa: BLE001  of an SDK, or of a project's own transport
            error = _make_error(transport_class, config, exc)
        else:
            return transport
        # Raised outside the except clause, where the original would become its context.
        raise error


def _make_error(
    transport_class: type[Any], config: TransportConfig, exc: Exception
) -> InvalidTransport:
    """Make an error of what a constructor raised, without the secrets among its options."""
    declared = {name: each.is_secret for name, each in find_table(transport_class).items()}
    redactor = Redactor(find_secrets(config.options, declared))
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


transports = TransportHandler()
