"""Checks for what is easily forgotten in a new project: nothing fails, and nothing arrives."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.module_loading import module_has_submodule

from realtime_drf.backends import registry
from realtime_drf.channels import PrivateChannel
from realtime_drf.channels import registry as channel_registry
from realtime_drf.conf import (
    DEFAULT_ALIAS,
    find_misspelt_settings,
    get_backends_modules,
    get_root_urlconf,
)
from realtime_drf.mixins import RealtimeViewMixin
from realtime_drf.transports import transports
from realtime_drf.views import ChannelAuthorizationView

TAG = "realtime_drf"

_NO_HOOKS = frozenset({"object", "handles", "get_events"})
"""Names of ours that are not hooks: `get_object` is a likely helper of a channel."""


def check_urls(**kwargs: Any) -> list[checks.CheckMessage]:
    """Look for the endpoint at which browsers are authorized for channels that are not public."""
    private = [cls for cls in channel_registry if issubclass(cls, PrivateChannel)]
    if not private or not _can_authorize() or _is_included():
        return []
    return [
        checks.Warning(
            f"{private[0].__qualname__} is not public, and no URL leads to the view that "
            "authorizes subscriptions.",
            hint='Add path("realtime/", include("realtime_drf.urls")) to the URLconf.',
            obj=private[0],
            id=f"{TAG}.W006",
        )
    ]


def check_modules(**kwargs: Any) -> list[checks.CheckMessage]:
    """Look for modules of backends that are not imported, where nothing is registered."""
    if any(True for _ in registry) or any(True for _ in channel_registry):
        return []
    return list(_find_modules())


def check_setting_names(**kwargs: Any) -> list[checks.CheckMessage]:
    """Look for settings with nearly the name of one of ours."""
    return [
        checks.Warning(
            f"{name} is not a setting of realtime_drf. Did you mean {meant}?",
            hint="As it is, it has no effect.",
            id=f"{TAG}.W008",
        )
        for name, meant in find_misspelt_settings()
    ]


def check_hooks(**kwargs: Any) -> list[checks.CheckMessage]:
    """Look for attributes with nearly the name of a hook, which is not overridden."""
    classes: list[type[Any]] = [type(backend) for backend in registry]
    classes += [*channel_registry, *_subclasses(RealtimeViewMixin)]
    found = {each: None for cls in classes for each in _find_misspelt_hooks(cls)}
    return [
        _misspelt(*each) for each in found
    ]  # of a base only once, even if many classes inherit it


def _subclasses(cls: type[Any]) -> Iterator[type[Any]]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)


def _find_misspelt_hooks(cls: type[Any]) -> Iterator[tuple[type[Any], str, str]]:
    """Yield the class in whose body a name is, the name, and the hook that was meant."""
    ours = [each for each in cls.__mro__ if each.__module__.startswith("realtime_drf.")]
    known = {name for each in ours for name in vars(each) if not name.startswith("_")} - _NO_HOOKS
    for owner in cls.__mro__[: cls.__mro__.index(ours[0])]:
        for name in vars(owner).keys() - known:
            meant = None if name.startswith("_") else _find_meant(name, known)
            if meant and not _is_own(cls, meant, ours[0]):
                yield owner, name, meant


def _find_meant(name: str, known: Iterable[str]) -> str | None:
    """Return the hook with nearly the same name, or with one that differs in ``get_`` or ``s``."""
    same = [each for each in known if _stem(each) == _stem(name)]
    # A long name with a word more is nearly the same to difflib, and is another name.
    similar = [each for each in known if abs(len(each) - len(name)) <= 2]
    matches = difflib.get_close_matches(name, same or similar, n=1, cutoff=0 if same else 0.85)
    return matches[0] if matches else None


def _stem(name: str) -> str:
    return name.removeprefix("get_").rstrip("s")


def _is_own(cls: type[Any], name: str, base: type[Any]) -> bool:
    # Statically, since getattr() makes a new object of a class method each time.
    return inspect.getattr_static(cls, name) is not inspect.getattr_static(base, name)


def _misspelt(cls: type[Any], name: str, meant: str) -> checks.CheckMessage:
    return checks.Warning(
        f"{cls.__qualname__}.{name} is not a hook. Did you mean {meant!r}?",
        hint="If the name is intended, silence this check or begin the name with _.",
        obj=cls,
        id=f"{TAG}.W018",
    )


def _can_authorize() -> bool:
    try:
        transport = transports[DEFAULT_ALIAS]
    except ImproperlyConfigured:
        return False  # check_transports reports it
    return bool(getattr(transport, "supports_authorization", False))


def _is_included() -> bool:
    """Return whether the view, or a subclass, is in the URLconf; True if that is broken."""
    if get_root_urlconf() is None:
        return True
    try:
        return any(map(_authorizes, _walk(get_resolver())))
    except Exception:  # noqa: BLE001  any error, which Django's own checks report
        return True


def _walk(resolver: URLResolver) -> Iterator[URLPattern]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern)
        else:
            yield pattern


def _authorizes(pattern: URLPattern) -> bool:
    # What as_view() returns has the class in an attribute: Django's is view_class, DRF's is cls.
    view = getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None)
    return isinstance(view, type) and issubclass(view, ChannelAuthorizationView)


def _find_modules() -> Iterator[checks.CheckMessage]:
    wanted = get_backends_modules()[0]
    root = (get_root_urlconf() or "").rpartition(".")[0]
    if root and root not in {config.name for config in apps.get_app_configs()}:
        try:
            package = __import__(root, fromlist=["__path__"])
        except ImportError:
            package = None
        if package is not None and module_has_submodule(package, wanted):
            yield _not_imported(f"{root}.{wanted}", f"{root!r} is not in INSTALLED_APPS")
    for config in apps.get_app_configs():
        for path in sorted(Path(config.path).glob("*.py")):
            if path.stem != wanted and _sounds_like(path.stem, wanted):
                yield _not_imported(
                    f"{config.name}.{path.stem}", f"the module must be called {wanted!r}"
                )


def _sounds_like(name: str, wanted: str) -> bool:
    return name.lower().replace("_", "").rstrip("s") == wanted.lower().replace("_", "").rstrip("s")


def _not_imported(module: str, reason: str) -> checks.CheckMessage:
    return checks.Warning(
        f"{module} is not imported: {reason}.",
        hint="No backend and no channel is registered, so nothing is published for any model.",
        id=f"{TAG}.W007",
    )
