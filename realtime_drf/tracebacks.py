"""Tracebacks without keys, signatures and data.

Django's debug page and services such as Sentry show the variables of each frame of a traceback, and
of the tracebacks of the exceptions that led to it.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Final, ParamSpec, TypeVar, cast

from realtime_drf.exceptions import InvalidTransport, RealtimeError

P = ParamSpec("P")
R = TypeVar("R")

_HEADING: Final = "Raised here; the frames are hidden, since their variables may hold secrets:"


def opaque(function: Callable[P, R]) -> Callable[P, R]:
    """Hide a function and everything that it calls from the tracebacks of what it raises.

    A note of the exception says where it was raised, unless it is an exception of this package,
    whose message says what is wrong.
    """
    if inspect.iscoroutinefunction(function):
        return cast("Callable[P, R]", _opaque_coroutine(function))

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        outer = sys.exception()
        try:
            return function(*args, **kwargs)
        except BaseException as exc:
            hide_frames(exc, outer)
            raise
        finally:
            del args, kwargs, outer  # this frame is shown

    return wrapper


def _opaque_coroutine(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        outer = sys.exception()
        try:
            return await function(*args, **kwargs)
        except asyncio.CancelledError:  # which is not reported
            raise
        except BaseException as exc:
            hide_frames(exc, outer)
            raise
        finally:
            del args, kwargs, outer

    return wrapper


def hide_frames(exc: BaseException, outer: BaseException | None = None) -> None:
    """Replace the frames of an exception, and of those that led to it, by notes.

    `outer` is an exception that was already being handled; it is not changed.
    """
    for each in _chain(exc, outer):
        # Not cleared, since that would close the frame of a suspended coroutine.
        frames = "".join(traceback.format_tb(each.__traceback__)).rstrip()
        note = f"{_HEADING}\n{frames}"
        is_ours = isinstance(each, RealtimeError | InvalidTransport)
        if frames and not is_ours and note not in getattr(each, "__notes__", ()):
            each.add_note(note)
        each.__traceback__ = None


def _chain(exc: BaseException, outer: BaseException | None) -> Iterator[BaseException]:
    waiting: list[BaseException | None] = [exc]
    seen = {id(outer)}
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if each.__suppress_context__:
            each.__context__ = None  # it was raised "from None"
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
        yield each
