"""DRF's permissions, checked to return a bool."""

from __future__ import annotations

import copy
import inspect
from typing import Any

from rest_framework.permissions import AND, NOT, OR


class StrictPermission:
    """A permission that raises TypeError if its answer is not a bool.

    The operands of ``&``, ``|`` and ``~`` are checked as well: for DRF's operators a coroutine is
    true, whatever it would return, and ``~`` turns None into True.
    """

    def __init__(self, permission: Any) -> None:
        if isinstance(permission, AND | OR | NOT):
            permission = copy.copy(permission)
            for name in vars(permission).keys() & {"op1", "op2"}:
                setattr(permission, name, StrictPermission(getattr(permission, name)))
        for name in ("has_permission", "has_object_permission"):
            # Checked here, since an operand may not be reached.
            if inspect.iscoroutinefunction(getattr(permission, name, None)):
                raise TypeError(f"{type(permission).__qualname__}.{name}() must not be async.")
        self._permission = permission

    def has_permission(self, request: Any, view: Any) -> bool:
        """Return whether the request is permitted."""
        return self._check("has_permission", self._permission.has_permission(request, view))

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        """Return whether the request is permitted on an object."""
        answer = self._permission.has_object_permission(request, view, obj)
        return self._check("has_object_permission", answer)

    def _check(self, method: str, answer: Any) -> bool:
        if inspect.iscoroutine(answer):
            answer.close()  # nobody awaits it
        if not isinstance(answer, bool):
            kind = type(answer).__name__
            name = f"{type(self._permission).__qualname__}.{method}()"
            raise TypeError(f"{name} must return a bool, not {kind}.")
        return answer
