"""The one reader of settings; it also translates those of drf_model_pusher.

Nothing is read before it is asked for, and ``override_settings`` is honoured.
"""

from __future__ import annotations

import difflib
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, Literal, TypeVar

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.crypto import salted_hmac

from realtime_drf.exceptions import InvalidTransport, TransportDoesNotExist
from realtime_drf.forks import ForkLock
from realtime_drf.tracebacks import opaque

__all__ = ["TransportConfig", "read_config"]

DEFAULT_ALIAS: Final = "default"
INLINE: Final = "inline"
PUSHER_PATH: Final = "realtime_drf.transports.pusher.PusherTransport"

_SEED_CREDENTIALS: Final = {
    "PUSHER_APP_ID": "app_id",
    "PUSHER_KEY": "key",
    "PUSHER_SECRET": "secret",
    "PUSHER_CLUSTER": "cluster",
}

T = TypeVar("T")


@dataclass(frozen=True)
class TransportConfig:
    """An entry of REALTIME_TRANSPORTS. Options stay out of the repr: they may hold secrets."""

    alias: str
    transport: str
    options: Mapping[str, Any]
    delivery: str
    delivery_options: Mapping[str, Any]
    enabled: bool
    raise_errors: bool
    skip_vacant: bool | Literal["all"]

    def __repr__(self) -> str:
        return f"<TransportConfig {self.alias!r}: {self.transport}>"


class PerAlias(Generic[T]):
    """Objects by alias, each made on first use, for all threads of the process.

    Subclasses make them in `create`. One is made again when the entry of its alias changes, as it
    does in tests. Other settings leave it, since a test's clients are connected to it.
    """

    def __init__(self) -> None:
        self._made: dict[str, tuple[TransportConfig, T]] = {}
        self._lock = ForkLock(threading.RLock)
        setting_changed.connect(self._forget)

    def __getitem__(self, alias: str) -> T:
        made = self._made.get(alias)
        return self._make(alias) if made is None else made[1]

    def __contains__(self, alias: object) -> bool:
        return alias in get_aliases()

    def __iter__(self) -> Iterator[str]:
        return iter(get_aliases())

    def create(self, config: TransportConfig) -> T:
        """Make the object of an alias."""
        raise NotImplementedError

    @opaque
    def _make(self, alias: str) -> T:
        with self._lock:
            if alias not in self._made:
                config = read_config(alias)
                made = self.create(config)
                # Copies, since tests may change the settings' own dicts in place.
                kept = replace(
                    config,
                    options=dict(config.options),
                    delivery_options=dict(config.delivery_options),
                )
                self._made[alias] = (kept, made)
            return self._made[alias][1]

    def _forget(self, *, setting: str, **kwargs: Any) -> None:
        if setting == "CHANNEL_LAYERS":  # of which transports are made beside their entries
            self._made = {}
        elif setting.startswith(("REALTIME_", "PUSHER_", "DRF_MODEL_PUSHER_")):
            pairs = self._made.items()
            self._made = {alias: pair for alias, pair in pairs if _is_in_force(pair[0])}


class ConfigHandler(PerAlias[TransportConfig]):
    """The entries of REALTIME_TRANSPORTS, read and checked, by alias."""

    def create(self, config: TransportConfig) -> TransportConfig:
        return config


configs = ConfigHandler()


def _is_in_force(config: TransportConfig) -> bool:
    try:
        return read_config(config.alias) == config
    except ImproperlyConfigured:
        return False


def get_aliases() -> list[str]:
    """Return the aliases of all configured transports."""
    return list(_get_entries())


def get_entries() -> Mapping[str, Any]:
    """Return the entries of REALTIME_TRANSPORTS as they stand in the settings."""
    return _get_entries()


@opaque
def read_config(alias: str) -> TransportConfig:
    """Return the entry of an alias.

    Raises:
        InvalidTransport: the entry is missing or malformed; the message says how to fix it.
    """
    entries = _get_entries()
    if alias not in entries:
        known = ", ".join(repr(name) for name in entries) or "none"
        raise TransportDoesNotExist(
            f"there is no such transport; configured: {known}.{nearest(alias, entries)}",
            alias=alias,
        )
    entry = entries[alias]
    if not isinstance(entry, Mapping):
        place = " It belongs in the dict of an alias, such as 'default'." if alias in _KEYS else ""
        raise InvalidTransport(
            f"it must be a dict, not {type(entry).__name__}.{place}", alias=alias
        )
    return _read_entry(alias, entry)


def get_backends_modules() -> list[str]:
    """Return the names of the modules in which apps keep their backends and channels."""
    seed_file = getattr(settings, "DRF_MODEL_PUSHER_BACKENDS_FILE", None) or "pusher_backends.py"
    if not isinstance(seed_file, str):
        raise ImproperlyConfigured(
            f"DRF_MODEL_PUSHER_BACKENDS_FILE must be the name of a file, not {seed_file!r}."
        )
    module = get_chosen_backends_module() or "realtime"
    return list(dict.fromkeys([module, seed_file.removesuffix(".py")]))


def get_chosen_backends_module() -> Any:
    """Return REALTIME_BACKENDS_MODULE as it stands in the settings, or None."""
    return getattr(settings, "REALTIME_BACKENDS_MODULE", None)


def get_cache_alias() -> Any:
    """Return the alias of the Django cache for what is known of channels and webhooks."""
    return getattr(settings, "REALTIME_CACHE", DEFAULT_ALIAS)


def derive_secrets(purpose: str) -> list[str]:
    """Return the secrets that are derived from SECRET_KEY and SECRET_KEY_FALLBACKS for a purpose.

    Each has 64 hexadecimal digits. The first signs; the others, newest first, are accepted too.
    """
    return [
        salted_hmac("realtime_drf", purpose, secret=key, algorithm="sha256").hexdigest()
        for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    ]


def get_language() -> str:
    """Return the project's language, which does not depend on a request."""
    return str(settings.LANGUAGE_CODE)


def get_script_name() -> str:
    """Return the path prefix at which the project is mounted, or nothing."""
    return settings.FORCE_SCRIPT_NAME or ""


def get_root_urlconf() -> str | None:
    """Return the name of the module with the project's URLs, or None."""
    return getattr(settings, "ROOT_URLCONF", None)


def get_asgi_application() -> str | None:
    """Return the dotted path of the project's ASGI application, or None."""
    return getattr(settings, "ASGI_APPLICATION", None)


def is_runserver_without_sockets() -> bool:
    """Return whether this is Django's own `manage.py runserver`, which serves only HTTP."""
    return sys.argv[1:2] == ["runserver"] and not apps.is_installed("daphne")


def find_misspelt_settings() -> list[tuple[str, str]]:
    """Return settings with nearly the name of one of ours, each with the one that was meant."""
    known = ("REALTIME_TRANSPORTS", "REALTIME_BACKENDS_MODULE", "REALTIME_CACHE")
    others = [name for name in dir(settings) if name.startswith("REAL") and name not in known]
    found = [(name, difflib.get_close_matches(name, known, n=1, cutoff=0.85)) for name in others]
    return [(name, matches[0]) for name, matches in found if matches]


def nearest(word: object, known: Iterable[str]) -> str:
    """Return a sentence that proposes what was probably meant, or nothing."""
    matches = difflib.get_close_matches(str(word), list(known), n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""


@opaque
def _get_entries() -> Mapping[str, Any]:
    entries = getattr(settings, "REALTIME_TRANSPORTS", None)
    if entries is None:
        return _seed_entries()
    if not isinstance(entries, Mapping):
        raise InvalidTransport(f"it must be a dict of aliases, not {type(entries).__name__}.")
    return entries


def _seed_entries() -> dict[str, Any]:
    """Translate the settings of drf_model_pusher, which configure only the alias "default"."""
    if not any(hasattr(settings, name) for name in _SEED_CREDENTIALS):
        return {}
    options = {
        option: getattr(settings, name)
        for name, option in _SEED_CREDENTIALS.items()
        if getattr(settings, name, None)
    }
    skips = _read_seed_switch("DRF_MODEL_PUSHER_WEBHOOK_OPTIMISATION_ENABLED")
    entry = {
        "TRANSPORT": PUSHER_PATH,
        "OPTIONS": options,
        "ENABLED": not _read_seed_switch("DRF_MODEL_PUSHER_DISABLED"),
        "SKIP_VACANT": "all" if skips else False,
    }
    return {DEFAULT_ALIAS: entry}


def _read_seed_switch(name: str) -> bool:
    value = getattr(settings, name, None) or False
    if isinstance(value, str):
        raise ImproperlyConfigured(
            f"{name} must be True or False, not str: the text 'False' counts as True."
        )
    return bool(value)


_KEYS: Final[dict[str, tuple[type, Any]]] = {
    "TRANSPORT": (str, None),
    "OPTIONS": (Mapping, {}),
    "DELIVERY": (str, INLINE),
    "DELIVERY_OPTIONS": (Mapping, {}),
    "ENABLED": (bool, True),
    "SKIP_VACANT": (object, False),
    "ON_ERROR": (str, "log"),
}


_FOREIGN_KEYS: Final = {
    "BACKEND": "TRANSPORT",
    "CLASS": "TRANSPORT",
    "ENGINE": "TRANSPORT",
    "CONFIG": "OPTIONS",
}
"""Names of the same keys in other settings, of Django and of packages."""


def _suggest(key: Any) -> str:
    """Return where a key that is not valid belongs: most are options of the transport."""
    upper = str(key).upper()
    meant = [_FOREIGN_KEYS.get(upper, ""), *difflib.get_close_matches(upper, _KEYS, n=1)]
    if any(meant):
        return f"Did you mean {next(filter(None, meant))!r}?"
    return f"The valid keys are {', '.join(_KEYS)}; options of the transport go into 'OPTIONS'."


def _read_entry(alias: str, entry: Mapping[str, Any]) -> TransportConfig:
    for key in entry:
        if key not in _KEYS:
            raise InvalidTransport(f"{key!r} is not a valid key. {_suggest(key)}", alias=alias)
    values = {key: entry.get(key, default) for key, (_, default) in _KEYS.items()}
    _check_values(alias, values)
    return TransportConfig(
        alias=alias,
        transport=values["TRANSPORT"],
        options=values["OPTIONS"],
        delivery=values["DELIVERY"],
        delivery_options=values["DELIVERY_OPTIONS"],
        enabled=values["ENABLED"],
        raise_errors=values["ON_ERROR"] == "raise",
        skip_vacant=values["SKIP_VACANT"],
    )


def _check_values(alias: str, values: Mapping[str, Any]) -> None:
    if not values["TRANSPORT"]:
        raise InvalidTransport(
            f"'TRANSPORT' is missing: name a class, such as {PUSHER_PATH!r}.", alias=alias
        )
    for key, (kind, _) in _KEYS.items():
        if not isinstance(values[key], kind):
            wanted = "dict" if kind is Mapping else kind.__name__
            got = type(values[key]).__name__
            raise InvalidTransport(f"{key!r} must be a {wanted}, not {got}.", alias=alias)
    if values["ON_ERROR"] not in ("log", "raise"):
        raise InvalidTransport(
            f"'ON_ERROR' is 'log' or 'raise', not {values['ON_ERROR']!r}.", alias=alias
        )
    skip_vacant = values["SKIP_VACANT"]
    if not (isinstance(skip_vacant, bool) or skip_vacant == "all"):
        raise InvalidTransport(
            f"'SKIP_VACANT' is True, for channels that need authorization, 'all', for public ones "
            f"as well, or False; not {skip_vacant!r}.",
            alias=alias,
        )
