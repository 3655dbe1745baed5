from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest

from tests.pages import ROOT
from tests.services.plugin import POSTGRES_PORT_VARIABLE

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def pytester_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs tests in a process of their own, with the project of ours."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.settings")
    monkeypatch.delenv(POSTGRES_PORT_VARIABLE, raising=False)  # SQLite will do, and is faster

    def run(code: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(textwrap.dedent(code))
        return pytester.runpytest_subprocess("-W", "error", *arguments)

    return run
