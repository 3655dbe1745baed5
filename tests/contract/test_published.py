"""A run that is not what the published table says is found."""

from __future__ import annotations

import pytest

from realtime_drf.testing.matrix import Matrix
from tests.contract_page import differences, published


@pytest.mark.parametrize(
    ("transport", "test", "outcome", "reason", "found"),
    [
        ("Memory", "test_legal_names_pass", "passed", "", []),
        ("Memory", "test_legal_names_pass", "failed", "", ["NO, and the page has yes"]),
        ("Memory", "test_legal_names_pass", "skipped", "why?", ["-, and the page has yes"]),
        ("Memory", "test_legal_names_pass", "skipped", "Node is needed: it is not there", []),
        ("Memory", "test_a_new_clause", "passed", "", ["yes, and the page has none"]),
        ("New", "test_legal_names_pass", "passed", "", ["yes, and the page has none"]),
    ],
)
def test_a_difference_is_found(
    transport: str, test: str, outcome: str, reason: str, found: list[str]
) -> None:
    matrix = Matrix()
    matrix.add(transport, test, outcome, reason)
    clause = test.removeprefix("test_").replace("_", " ")
    assert list(differences(matrix)) == [f"{transport}: {clause}: {each}" for each in found]


def test_every_transport_keeps_every_clause_that_applies() -> None:
    assert set(published().values()) == {"yes", "-"}
