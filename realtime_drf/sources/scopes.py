"""Code whose changes are not published."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction

F = TypeVar("F", bound=Callable[..., Any])

_is_suppressed: ContextVar[bool] = ContextVar("realtime_drf_is_suppressed", default=False)


class suppress_events(contextlib.AbstractContextManager[None]):  # noqa: N801  as in contextlib
    """A context manager and decorator: changes of rows within are not published.

    It also decorates coroutine functions. It covers what is awaited within, and what runs in a copy
    of the context, such as a thread of `asgiref.sync.sync_to_async`, but no other threads. Events
    of `publish()` are sent.
    """

    def __enter__(self) -> None:
        self._block = _suppressed()
        self._block.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._block.__exit__(*error)

    def __call__(self, function: F) -> F:
        if iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with _suppressed():
                    return await function(*args, **kwargs)

            return awaited  # type: ignore[return-value]

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with _suppressed():
                return function(*args, **kwargs)

        return called  # type: ignore[return-value]


@contextlib.contextmanager
def _suppressed() -> Iterator[None]:
    token = _is_suppressed.set(True)
    try:
        yield
    finally:
        _is_suppressed.reset(token)


def is_suppressed() -> bool:
    """Return whether changes of rows are suppressed now."""
    return _is_suppressed.get()
