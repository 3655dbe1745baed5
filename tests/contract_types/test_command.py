"""The command ``realtime_contract``."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from realtime_drf import RealtimeBackend
from realtime_drf.contract import declare
from tests.contract_types.project import NoteSerializer
from tests.pages import ROOT
from tests.processes import environment
from tests.todos.models import Note


def run(*arguments: str) -> tuple[str, str]:
    """Return what the command writes to its output and beside it."""
    stdout, stderr = io.StringIO(), io.StringIO()
    call_command("realtime_contract", *arguments, stdout=stdout, stderr=stderr)
    return stdout.getvalue(), stderr.getvalue()


@pytest.mark.usefixtures("project")
def test_typescript_has_the_events_of_each_channel() -> None:
    text, notes = run("--format", "typescript")
    assert '  [name: `private-shelves.${number}`]: {\n    "closing": null;\n' in text
    assert "export interface Note {\n  id: number;\n  title: string;\n" in text
    assert notes == ""


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("file", ["./api", "./api.ts", "./api.d.ts"])
def test_types_may_be_those_of_openapi_typescript(file: str) -> None:
    text, _ = run("--format", "typescript", "--types-from", file)
    assert 'import type { components } from "./api";\n' in text
    assert '    "note.create": components["schemas"]["Note"];\n' in text
    assert '    "note.delete": {\n      id: number;\n' in text
    assert "interface Note" not in text


def test_what_cannot_be_known_is_listed_beside_the_output() -> None:
    class NoteBackend(RealtimeBackend[Note]):
        serializer_class = NoteSerializer

    text, notes = run("--format", "typescript")
    assert "cannot be known" not in text
    assert notes.count("\n") == 1
    assert "NoteBackend: its channels cannot be known" in notes


def test_without_spectacular_events_are_declared_and_the_command_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['drf_spectacular'] = sys.modules['jsonschema'] = None\n"
        "import django; django.setup()\n"
        "from django.core.management import execute_from_command_line\n"
        "from realtime_drf.contract import declare; declare('a', 'b', int)\n"
        "execute_from_command_line(['manage.py', 'realtime_contract', '--format', 'typescript'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(DJANGO_SETTINGS_MODULE="tests.settings"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert (
        "CommandError: The contract needs drf-spectacular: pip install realtime-drf[contract]"
        in (done.stderr)
    )
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("form", ["typescript", "asyncapi", "jsonschema"])
def test_a_file_that_is_up_to_date_passes_the_check(form: str, tmp_path: Path) -> None:
    file = tmp_path / "contract"
    text, _ = run("--format", form)
    assert run("--format", form, "--output", str(file)) == ("", "")
    assert file.read_text() == text
    assert run("--format", form, "--output", str(file), "--check") == ("", "")


@pytest.mark.usefixtures("project")
def test_a_stale_file_fails_the_check_and_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "realtime.d.ts"
    run("--format", "typescript", "--output", str(file))
    before = file.read_text()
    declare("notes.archived", "notes", int)
    stdout = io.StringIO()
    arguments = ["--format", "typescript", "--output", str(file), "--check"]
    with pytest.raises(
        CommandError, match=r"out of date\. Run this command without --check"
    ) as info:
        call_command("realtime_contract", *arguments, stdout=stdout)
    assert info.value.returncode == 1
    assert '+    "notes.archived": number;\n' in stdout.getvalue()
    assert file.read_text() == before


def test_a_missing_file_fails_the_check(tmp_path: Path) -> None:
    file = tmp_path / "realtime.d.ts"
    with pytest.raises(CommandError, match="is missing"):
        run("--format", "typescript", "--output", str(file), "--check")
    assert not file.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "typescript", "--check"), "--check needs --output FILE"),
        (("--format", "asyncapi", "--types-from", "./api"), "--types-from is for --format types"),
        (("--format", "java"), "invalid choice"),
        ((), "--format"),
    ],
)
def test_wrong_arguments_are_errors(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run(*arguments)


def test_a_stale_file_ends_the_process_with_1(tmp_path: Path) -> None:
    file = tmp_path / "realtime.json"
    file.write_text("{}")
    command = ["realtime_contract", "--format", "jsonschema", "--output", str(file), "--check"]
    done = subprocess.run(
        [sys.executable, "-m", "django", *command],
        cwd=ROOT,
        env=environment(DJANGO_SETTINGS_MODULE="tests.settings"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "CommandError" in done.stderr
