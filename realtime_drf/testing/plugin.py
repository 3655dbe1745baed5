"""The pytest plugin, loaded by an entry point: fixtures, and the table of the contract.

Only the fixtures import Django, so a project that does not use it, or configures it late, is not
affected.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from realtime_drf.testing import matrix

if TYPE_CHECKING:
    from realtime_drf.testing.client import RealtimeClient
    from realtime_drf.testing.outbox import Outbox

_OPTION = "realtime_matrix"
_VALIDATE = "realtime_validate"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the table of the contract into a page, and our setting."""
    parser.addini(
        _VALIDATE,
        type="bool",
        default=False,
        help="whether realtime_outbox fails a test that publishes data which breaks its schema",
    )
    parser.getgroup("realtime_drf").addoption(
        "--realtime-matrix",
        dest=_OPTION,
        metavar="FILE",
        help="write the table of transports and clauses into FILE, between its two markers",
    )


@pytest.fixture
def realtime_outbox(request: pytest.FixtureRequest) -> Iterator[Outbox]:
    """Replace every transport by memory, and yield the outbox of what is published.

    With the fixture ``db``, events are sent when the code under test would have committed. With the
    setting ``realtime_validate``, data that breaks its schema fails the test.
    """
    from realtime_drf.testing.outbox import Outbox, activated, captured_events, swapped_entries

    validate = bool(request.config.getini(_VALIDATE))
    if not request.config.pluginmanager.hasplugin("django"):
        with captured_events(validate=validate) as outbox:
            yield outbox
        return
    outbox = Outbox(validate=validate)
    # pytest-django's own fixture restores in order what tests change through it.
    settings = request.getfixturevalue("settings")
    settings.REALTIME_TRANSPORTS = swapped_entries(outbox)
    with activated(outbox):
        yield outbox


@pytest.fixture
def realtime_client(realtime_outbox: Outbox) -> Callable[..., RealtimeClient]:
    """Return a function that opens a connection of a user: ``realtime_client(user)``."""
    from realtime_drf.testing.client import RealtimeClient

    return RealtimeClient


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add transport and clause to the report of a test, which workers of a parallel run send on."""
    report = yield
    transport = getattr(getattr(item, "cls", None), "realtime_contract", None)
    if transport is not None:
        report.user_properties.append(
            (matrix.PROPERTY, [transport, getattr(item, "originalname", item.name)])
        )
    return report


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Collect the reports of this run, including those of tests in other processes."""
    config.pluginmanager.register(_MatrixReporter(), "realtime_drf.matrix")


class _MatrixReporter:
    def __init__(self) -> None:
        self.matrix = matrix.Matrix()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        value: Any = dict(report.user_properties).get(matrix.PROPERTY)
        if value is not None and (report.when == "call" or report.outcome != "passed"):
            transport, test = value
            self.matrix.add(transport, test, report.outcome, _reason(report))

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        if not self.matrix:
            return
        terminalreporter.section("contract of transports")
        terminalreporter.write_line(self.matrix.as_text())
        if file := config.getoption(_OPTION):
            self.matrix.write(file)


def _reason(report: pytest.TestReport) -> str:
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return ""
