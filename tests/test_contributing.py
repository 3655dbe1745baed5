"""What the README and CONTRIBUTING tell to type is there, and the version is in one place.

Commands are read, not typed, but for those in `RUN_HERE`, which are cheap. CI types `make test`,
`make lint types docs` and all environments of tox.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import realtime_drf
from tests.pages import ROOT, read_blocks

pytestmark = pytest.mark.end_to_end

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTEST = ".venv/bin/python -m pytest "
RUN_HERE = {PYTEST + "tests/test_names.py"}
# Nothing here can check these: they change what is public.
ONLY_FOR_MAINTAINERS = {
    "git tag -a v0.1.0 -m 0.1.0",
    ".venv/bin/twine upload dist/*",
    "npm publish ./client",
    "git push origin v0.1.0",
}


def read_commands() -> Iterator[str]:
    """Yield the commands of both pages, without the variables before them."""
    for page in PAGES:
        for block in read_blocks(page):
            if block.language == "console":
                for line in block.text.splitlines():
                    assert line.startswith("$ "), f"{block}: a line without a prompt"
                    yield re.sub(r"^(\w+=\S+ )+", "", line[2:])


def read_environments() -> set[str]:
    """Return the names of tox's environments, with the braces of its list written out."""
    text = (ROOT / "tox.ini").read_text()
    names = re.search(r"^env_list =\n((?: +\S+\n)+)", text, re.MULTILINE)
    assert names is not None
    return {
        "".join(parts)
        for name in names[1].split()
        for parts in itertools.product(
            *(part.strip("{}").split(",") for part in re.findall(r"{[^}]*}|[^{}]+", name))
        )
    }


def check_make(words: list[str]) -> None:
    if shutil.which("make"):
        subprocess.run(["make", "-n", *words], cwd=ROOT, check=True, capture_output=True)


def check_tox(words: list[str]) -> None:
    if words != ["list"]:
        assert words[0] == "-e"
        assert set(words[1].split(",")) <= read_environments()


def check_pytest(words: list[str]) -> None:
    """Check that what is named is there; options are pytest's own business."""
    for word in words:
        if word.startswith("tests"):
            path, *names = word.split("::")
            assert (ROOT / path).exists(), word
            for name in names:
                assert re.search(rf"(def|class) {name}\b", (ROOT / path).read_text()), word


def check_pip(words: list[str]) -> None:
    assert words[0] == "install"
    if words[1] == "--group":
        assert words[2] in PROJECT["dependency-groups"]
    else:
        match = re.fullmatch(r"realtime-drf\[(\w+)\]", words[1])
        assert match is not None
        assert match[1] in PROJECT["project"]["optional-dependencies"]


def check_module(words: list[str]) -> None:
    """Check that a module of the tests is there; its name comes without its package."""
    assert importlib.util.find_spec(f"tests{words[0]}")


def check_benchmark(words: list[str]) -> None:
    assert (ROOT / "benchmarks" / f"{words[0]}.py").exists()
    assert words[1:] == ["--against", "main"]


CHECKS = {
    ".venv/bin/python -m benchmarks ": check_benchmark,
    ".venv/bin/python -m tests": check_module,
    "make ": check_make,
    ".venv/bin/tox ": check_tox,
    PYTEST: check_pytest,
    ".venv/bin/python -m pip ": check_pip,
    "pip ": check_pip,
}


@pytest.mark.parametrize("command", sorted({*read_commands()} - ONLY_FOR_MAINTAINERS))
def test_what_a_page_tells_to_type_is_there(command: str) -> None:
    checks = [(start, check) for start, check in CHECKS.items() if command.startswith(start)]
    assert checks, f"Nothing checks {command!r}: say here how, or that nothing can."
    for start, check in checks:
        check(shlex.split(command.removeprefix(start)))


@pytest.mark.parametrize("command", sorted(RUN_HERE))
def test_a_cheap_command_does_what_the_page_says(command: str) -> None:
    assert command in read_commands()
    arguments = shlex.split(command.removeprefix(PYTEST))
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )


def test_the_commands_of_ci_are_those_of_the_pages() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert {"make test", "make lint types docs"} <= set(read_commands())
    assert re.search(r"^make test\b", script, re.MULTILINE)
    assert re.search(r"^nice make lint types docs\b", script, re.MULTILINE)


def test_every_state_machine_is_part_of_the_soak() -> None:
    for path in (ROOT / "tests").glob("**/test_*.py"):
        runs = re.findall(r"^ .*\brun_state_machine_as_test\(", path.read_text(), re.MULTILINE)
        marks = re.findall(r"^@pytest\.mark\.hypothesis$", path.read_text(), re.MULTILINE)
        assert len(marks) >= len(runs), path


def test_files_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    to_be_made = {
        "realtime_drf/transports/acme.py",
        "tests/transports/test_acme.py",
        "tests/contract/test_acme.py",
        "docs/acme.md",
    }
    named = set(re.findall(r"`((?:realtime_drf|tests|docs|\.ci)/[\w./]+)`", text))
    assert to_be_made <= named
    for name in named - to_be_made:
        assert (ROOT / name).exists(), name


def test_the_version_is_in_one_place() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert "version" not in PROJECT["project"]
    path = Path(PROJECT["tool"]["hatch"]["version"]["path"])
    assert f'__version__ = "{realtime_drf.__version__}"' in (ROOT / path).read_text()


def test_the_changelog_has_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## \[([^]]+)\](.*)$", changelog, re.MULTILINE)
    (first, _), *released = headings
    assert first == "Unreleased", "what comes next stands above all releases"
    if released:  # none yet is no mistake
        assert released[0][0] == realtime_drf.__version__
    assert all(re.fullmatch(r" - \d{4}-\d\d-\d\d", date) for _, date in released)


def test_the_map_names_every_package_and_only_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    start = text.index("## The map")
    table = text[start : text.index("## Conventions")]
    paths = re.findall(r"`((?:realtime_drf|tests|docs|example|benchmarks)/[^`]*)`", table)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    packages = {path.parent.name for path in (ROOT / "realtime_drf").glob("*/__init__.py")}
    assert packages == set(re.findall(r"^\| `realtime_drf/(\w+)/`", table, re.MULTILINE))
    assert len(re.findall(r"^\| .* \| .* \|$", table.partition("### ")[2], re.MULTILINE)) >= 11
