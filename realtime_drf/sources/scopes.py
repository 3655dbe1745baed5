"""Code whose changes are not published."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction

F = TypeVar("F", bound=Callable[..., Any])

_depth: ContextVar[int] = ContextVar("realtime_drf_suppressed", default=0)
"""How many blocks are around."""


class suppress_events(contextlib.AbstractContextManager[None]):  # noqa: N801  as in contextlib
    """A context manager and decorator: changes of rows within are not published.

    It also decorates coroutine functions. It covers what is awaited within, and what runs in a copy
    of the context, such as a thread of `asgiref.sync.sync_to_async`, but no other threads. Events
    of `publish()` are sent.
    """

    def __enter__(self) -> None:
        _depth.set(_depth.get() + 1)

    def __exit__(self, *error: object) -> None:
        _depth.set(_depth.get() - 1)

    def __call__(self, function: F) -> F:
        if iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return awaited  # type: ignore[return-value]

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return called  # type: ignore[return-value]


def is_suppressed() -> bool:
    """Return whether changes of rows are suppressed now."""
    return _depth.get() > 0
