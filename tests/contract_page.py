"""Fail a run in which a transport did not do what the published table says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from realtime_drf.testing.matrix import BEGIN, END, MARKS, Cell, Matrix
from tests.pages import ROOT

PAGE = ROOT / "docs" / "transports.md"
UPDATE = "pytest tests/contract --realtime-matrix docs/transports.md"


def published() -> dict[tuple[str, str], str]:
    """Return the marks of the page, by transport and clause."""
    text = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines()
    ]
    return {
        (transport, row[0]): mark
        for row in rows
        for transport, mark in zip(head[1:], row[1:], strict=True)
    }


def differences(matrix: Matrix) -> Iterator[str]:
    """Yield what a run has that the page has not."""
    marks = published()
    for transport, clause, cell in matrix:
        mark = marks.get((transport, clause), "")
        if mark != MARKS[cell.outcome] and not _lacks_a_service(cell):
            yield f"{transport}: {clause}: {MARKS[cell.outcome]}, and the page has {mark or 'none'}"


def _lacks_a_service(cell: Cell) -> bool:
    return cell.outcome == "skipped" and "is needed: " in cell.reason


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Compare, where all results come together, unless the page is about to be written."""
    if hasattr(session.config, "workerinput") or session.config.getoption("realtime_matrix"):
        return
    reporter: Any = session.config.pluginmanager.get_plugin("realtime_drf.matrix")
    found = list(differences(reporter.matrix)) if reporter else []
    if found and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    session.config.stash[_found] = found


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what differs, and how to publish it."""
    for line in config.stash.get(_found, []):
        terminalreporter.write_line(f"docs/transports.md differs: {line}", red=True)
    if config.stash.get(_found, []):
        terminalreporter.write_line(f"To publish this result: {UPDATE}")


_found = pytest.StashKey[list[str]]()
