"""The contract finds what is wrong: a right transport passes, and each wrong one is caught."""

from __future__ import annotations

import os
import unittest
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from realtime_drf.grants import Answer
from realtime_drf.testing import Received, TransportContract
from realtime_drf.transports.base import BaseTransport
from tests.contract.connections import Connected, LineService, Reconnects, TriesAgain
from tests.contract.mutants import CAUGHT, PASSWORD, Good, Service


class MutantContract(TransportContract):
    """The contract of a transport whose service is in memory."""

    __test__ = False
    in_process = True
    secrets = (PASSWORD, "another password")

    def __init__(self, transport_class: type[Good] = Good) -> None:
        self.transport_class = transport_class
        # A wrong transport makes its clause wait in vain; the right one, only on a busy machine.
        self.patience = 10.0 if transport_class is Good else 0.05
        self.service = Service()

    def create_transport(self, **options: Any) -> BaseTransport:
        return self.transport_class(service=self.service, **options)

    def received(self) -> Sequence[Received]:
        return self.service.received

    def create_unreachable_transport(self) -> BaseTransport:
        return self.transport_class(service=None)

    def create_refused_transport(self) -> BaseTransport:
        return self.create_transport(password="another password")

    def create_confused_transport(self) -> BaseTransport:
        self.service.confused = True
        return self.create_transport()

    def disconnected_users(self) -> Sequence[str]:
        return self.service.disconnected

    def create_webhook(self) -> tuple[Mapping[str, str], bytes]:
        return {"X-Length": "4"}, b"room"

    def occupy(self, channel: str) -> None:
        self.service.occupied.add(channel)

    def admits(self, channel: str, answer: Answer) -> bool:
        return answer.body.get("token") in (channel, "*")


CLAUSES = [name for name in dir(TransportContract) if name.startswith("test_")]


def failing(transport_class: type[Good], clauses: Sequence[str]) -> dict[str, Exception]:
    """Return which clauses fail, and with what."""
    failures = {}
    for clause in clauses:
        try:
            getattr(MutantContract(transport_class), clause)()
        except unittest.SkipTest:
            pass
        except Exception as exc:  # noqa: BLE001  what a clause fails with is looked at
            failures[clause.removeprefix("test_")] = exc
    return failures


def test_a_right_transport_passes() -> None:
    assert failing(Good, CLAUSES) == {}


@pytest.mark.parametrize("mutant", CAUGHT, ids=lambda mutant: mutant.__name__)
def test_a_wrong_transport_is_caught_by_name(mutant: type[Good]) -> None:
    clause = CAUGHT[mutant]
    assert list(failing(mutant, [f"test_{clause}"])) == [clause]


def test_each_clause_catches_a_mutant() -> None:
    assert {clause.removeprefix("test_") for clause in CLAUSES} - set(CAUGHT.values()) == {
        "a_pickled_event_is_the_same_event"  # which is for events to keep
    }


class LineContract(MutantContract):
    """The contract of a transport that keeps a connection to a service on a socket."""

    __test__ = False
    in_process = False
    patience = 5

    def __init__(self, transport_class: type[Connected], service: LineService) -> None:
        self.transport_class, self.service = transport_class, service

    def create_transport(self, **options: Any) -> BaseTransport:
        return self.transport_class(address=self.service.address, **options)

    def received(self) -> Sequence[Received]:
        return self.service.received


FORK = "test_a_forked_child_sends_and_its_parent_goes_on"


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_a_connection_that_a_child_opens_itself_passes(family: str, tmp_path: Path) -> None:
    with LineService(family, tmp_path) as service:
        getattr(LineContract(Reconnects, service), FORK)()


@pytest.mark.parametrize("family", ["tcp", "unix"])
@pytest.mark.parametrize("mutant", [Connected, TriesAgain], ids=lambda mutant: mutant.__name__)
def test_a_connection_that_a_child_shares_is_caught_although_all_arrives(
    mutant: type[Connected], family: str, tmp_path: Path
) -> None:
    with (
        LineService(family, tmp_path) as service,
        pytest.raises(AssertionError, match="through a connection of its parent"),
    ):
        getattr(LineContract(mutant, service), FORK)()


def test_a_shared_connection_is_caught_among_thousands_of_open_files(tmp_path: Path) -> None:
    files = [os.dup(0) for _ in range(1100)]
    try:
        with (
            LineService("tcp", tmp_path) as service,
            pytest.raises(AssertionError, match="through a connection of its parent"),
        ):
            getattr(LineContract(Connected, service), FORK)()
    finally:
        for each in files:
            os.close(each)


def test_a_service_in_the_memory_of_the_test_is_told_to_say_so() -> None:
    contract = MutantContract()
    contract.in_process = False
    with pytest.raises(AssertionError, match="set in_process = True"):
        getattr(contract, FORK)()
