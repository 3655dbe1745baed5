"""Show an error as Django's reports and services such as Sentry show it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from django.test import RequestFactory, override_settings
from django.views.debug import SafeExceptionReporterFilter, technical_500_response


class WithoutSettings(SafeExceptionReporterFilter):
    """Leave out the settings, which hold the marks of a test whatever the code does."""

    def get_safe_settings(self) -> dict[str, Any]:
        return {}


def attempt(call: Callable[..., Any], *args: Any) -> Exception | None:
    """Return what a call raises, without the frame of this function, or None."""
    try:
        call(*args)
    except Exception as exc:  # noqa: BLE001
        return exc.with_traceback(exc.__traceback__.tb_next if exc.__traceback__ else None)
    return None


def catch(call: Callable[..., Any], *args: Any) -> Exception:
    """Return what a call raises, which it must."""
    exc = attempt(call, *args)
    assert exc is not None, "Nothing was raised."
    return exc


def show(exc: BaseException) -> str:
    """Return all that reports of an exception hold: texts, and the variables of every frame."""
    parts = ["".join(traceback.format_exception(exc)), *walk(exc)]
    for debug in (True, False):
        request = RequestFactory().get("/", headers={"Accept": "text/html"})
        request.exception_reporter_filter = WithoutSettings()  # type: ignore[attr-defined]
        with override_settings(DEBUG=debug):
            response = technical_500_response(request, type(exc), exc, exc.__traceback__)
        parts.append(response.content.decode())
    return "\n".join(parts)


def show_log(records: Iterable[logging.LogRecord]) -> str:
    """Return all that reports of log records hold, but for Django's own: its page logs, too."""
    parts = []
    for record in [each for each in records if not each.name.startswith("django")]:
        parts += [record.getMessage(), *_render(record.args)]
        if record.exc_info and record.exc_info[1] is not None:
            parts.append(show(record.exc_info[1]))
    return "\n".join(parts)


def walk(exc: BaseException | None, seen: Set[int] = frozenset()) -> Iterator[str]:
    """Yield the variables of the frames of an exception and of all that are chained to it."""
    if exc is None or id(exc) in seen:
        return
    seen = seen | {id(exc)}
    yield f"{exc!r} {exc.args!r}"
    for frame, _ in traceback.walk_tb(exc.__traceback__):
        for name, value in frame.f_locals.items():
            for text in _render(value):
                yield f"{frame.f_code.co_qualname}: {name} = {text}"
    for other in (exc.__cause__, exc.__context__, *getattr(exc, "exceptions", ())):
        yield from walk(other, seen)


def _render(value: Any, depth: int = 6) -> Iterator[str]:
    """Yield text as Sentry makes it: it looks into containers, and takes the repr of all else."""
    if depth and isinstance(value, Mapping):
        for key, each in value.items():
            yield from _render(key, depth - 1)
            yield from _render(each, depth - 1)
    elif depth and isinstance(value, Sequence | Set) and not isinstance(value, str | bytes):
        for each in value:
            yield from _render(each, depth - 1)
    else:
        yield repr(value)
