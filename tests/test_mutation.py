"""What `make mutants` plants is Python, differs from what was there, and is the same for a seed."""

from __future__ import annotations

import ast

import pytest

from tests.mutation.__main__ import FIELDS, describe, draw, get_path
from tests.mutation.faults import find_mutants
from tests.pages import ROOT

SOURCE = '''"""A module."""
while a and b < 3:
    x: int = 1 if not c else 2
    self.x = f"{4} is {5}"
    run()
    logger.info("five %s", 6)
    raise Boom
    def __repr__(self):
        return "seven"
'''

pytestmark = pytest.mark.any_version


def test_faults_are_of_what_matters() -> None:
    planted = {
        mutant.plant(SOURCE).splitlines()[mutant.line - 1].strip()
        for mutant in find_mutants("x", SOURCE)
    }
    assert planted == {
        "if a and b < 3:",
        "while (not (a and b < 3)):",
        "while (a or b < 3):",
        "while (a):",
        "while (b < 3):",
        "while a and (b <= 3):",
        "while a and b < 4:",
        "x: int = 2 if not c else 2",
        "x: int = 1 if (not (not c)) else 2",
        "x: int = 1 if (c) else 2",
        "x: int = 1 if not c else 3",
        "pass",
    }


@pytest.mark.parametrize("module", FIELDS)
def test_every_fault_of_a_module_can_be_planted(module: str) -> None:
    source = get_path(ROOT, module).read_text()
    mutants = list(find_mutants(module, source))
    assert mutants
    for mutant in mutants:
        planted = mutant.plant(source)
        assert planted != source
        ast.parse(planted)


@pytest.mark.parametrize("module", FIELDS)
def test_the_tests_of_a_field_are_there(module: str) -> None:
    assert all((ROOT / path).exists() for path in FIELDS[module].split())


def test_every_module_with_something_to_break_has_a_field() -> None:
    package = ROOT / "realtime_drf"
    modules = {
        path.relative_to(package).with_suffix("").as_posix()
        for path in package.rglob("*.py")
        if path.stem != "__init__" and "testing" not in path.relative_to(package).parts
    }
    assert modules - set(FIELDS) == {
        "apps",
        "cluster/threads",
        "delivery/inline",
        "exceptions",
        "grants",
        "invalid",
        "protocols",
        "serializers",
        "server/asgi",
        "signals",
        "transports/console",
        "transports/memory",
        "urls",
        "webhook_events",
    }


def test_a_seed_draws_the_same_faults_one_a_line() -> None:
    drawn = draw(2026, 50, list(FIELDS))
    assert drawn == draw(2026, 50, list(FIELDS)) != draw(2027, 50, list(FIELDS))
    assert len({(mutant.module, mutant.line) for mutant in drawn}) == 50
    assert describe(drawn[0]).startswith(f"realtime_drf/{drawn[0].module}.py:{drawn[0].line}\n")
