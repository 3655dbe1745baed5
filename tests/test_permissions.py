"""Whoever is not clearly permitted is refused, whatever expression of permissions is asked."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.permissions import AND, AllowAny, BasePermission, OperandHolder
from rest_framework.test import APIClient

from realtime_drf.channels import PrivateChannel
from realtime_drf.permissions import StrictPermission


def answering(answer: Any) -> type[BasePermission]:
    class Answering(BasePermission):
        def has_permission(self, request: Any, view: Any) -> Any:
            return answer() if callable(answer) else answer

        def has_object_permission(self, request: Any, view: Any, obj: Any) -> Any:
            return self.has_permission(request, view)

    return Answering


async def _no() -> bool:
    return False


Yes, No = answering(True), answering(False)
Hidden = answering(_no)
Unclear = answering(None)


class SomeAnd(AND):
    """An operator of a project's own."""


UNCLEAR = {
    "a coroutine": Hidden,
    "a coroutine & yes": Hidden & Yes,
    "yes & a coroutine": Yes & Hidden,
    "no | a coroutine": No | Hidden,
    "a coroutine | yes": Hidden | Yes,
    "~None": ~Unclear,
    "~~(yes & a coroutine)": ~~(Yes & Hidden),
    "None": Unclear,
    "1": answering(1),
    "a list": answering(["user"]),
    "an operator of a project's own": OperandHolder(SomeAnd, Hidden, Yes),
}


@pytest.fixture(params=UNCLEAR.values(), ids=UNCLEAR.keys())
def unclear(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.django_db
@pytest.mark.usefixtures("policies")
def test_who_is_not_clearly_permitted_is_refused_and_a_log_line_says_why(
    unclear: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Channel(PrivateChannel):
        pattern = "unclear"
        permission_classes = (unclear,)

        def authorize(self, request: Any) -> bool:
            return True

    with caplog.at_level(logging.ERROR, "realtime_drf"):
        response = APIClient().post(
            "/realtime/auth/", {"socket_id": "1.1", "channel_name": "private-unclear"}
        )
    assert response.status_code == 403
    assert "Answering.has_permission() must return a bool, not" in caplog.text


def test_an_object_permission_is_as_strict(unclear: Any) -> None:
    with pytest.raises(TypeError, match="must return a bool, not"):
        StrictPermission(unclear()).has_object_permission(None, None, object())


class AsyncForObjects(BasePermission):
    async def has_object_permission(  # type: ignore[override]
        self, request: Any, view: Any, obj: Any
    ) -> bool:
        return False


def test_an_async_operand_is_refused_even_where_it_is_not_reached() -> None:
    with pytest.raises(TypeError, match=r"AsyncForObjects.has_object_permission\(\) must not"):
        StrictPermission((AllowAny | AsyncForObjects)())


def expressions() -> st.SearchStrategy[tuple[Any, bool]]:
    """Return expressions of permissions, each with what it must answer."""
    leaves = st.sampled_from([(Yes, True), (No, False)])
    return st.recursive(leaves, lambda inner: st.one_of(_inverted(inner), _joined(inner)))


def _inverted(inner: Any) -> Any:
    return inner.map(lambda pair: (~pair[0], not pair[1]))


def _joined(inner: Any) -> Any:
    def join(a: Any, b: Any, both: bool) -> Any:
        return (a[0] & b[0], a[1] and b[1]) if both else (a[0] | b[0], a[1] or b[1])

    return st.builds(join, inner, inner, st.booleans())


@given(expressions())
def test_bools_are_combined_as_drf_combines_them(pair: tuple[Any, bool]) -> None:
    expression, expected = pair
    permission = expression()
    assert StrictPermission(permission).has_permission(None, None) is expected
    assert StrictPermission(permission).has_permission(None, None) is expected
    assert isinstance(StrictPermission(permission).has_object_permission(None, None, None), bool)


def test_an_operator_that_is_shared_is_left_as_it_is() -> None:
    shared = (Yes & No)()
    operands = shared.op1, shared.op2
    StrictPermission(shared)
    assert (shared.op1, shared.op2) == operands
