"""The plugin serves those who use it, and leaves everybody else alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.testing.conftest import Run

OUTBOX = """
    from realtime_drf import Event, publish

    def test_outbox(realtime_outbox):
        publish(Event("a", "x"))
        assert [event.name for event in realtime_outbox] == ["a"]
"""


def test_it_is_loaded_by_its_entry_point(pytester_run: Run) -> None:
    pytester_run(OUTBOX).assert_outcomes(passed=1)
    pytester_run(OUTBOX, "-p", "no:realtime_drf").assert_outcomes(errors=1)


def test_neither_django_nor_drf_nor_hypothesis_is_imported_for_who_uses_no_fixture(
    pytester_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    pytester_run(
        """
        import sys

        def test_modules():
            found = {name.partition(".")[0] for name in sys.modules}
            assert "realtime_drf" in found
            assert not found & {"django", "rest_framework", "hypothesis", "asgiref"}
        """,
        *("-p", "no:django", "-p", "no:hypothesispytest", "-p", "no:xdist"),
    ).assert_outcomes(passed=1)


def test_without_hypothesis_the_contract_says_what_to_install() -> None:
    code = "import sys; sys.modules['hypothesis'] = None; import realtime_drf.testing as testing; "
    done = subprocess.run(
        [sys.executable, "-c", f"{code} testing.TransportContract"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "TransportContract needs Hypothesis: pip install realtime-drf[testing]" in done.stderr


def test_without_pytest_django_its_fixtures_work(pytester_run: Run) -> None:
    result = pytester_run(f"    import django\n\n    django.setup()\n{OUTBOX}", "-p", "no:django")
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("plugin", [(), ("-p", "no:django")])
def test_a_setting_has_the_outbox_validate_what_is_published(
    pytester_run: Run, plugin: tuple[str, ...]
) -> None:
    code = """
        import django

        django.setup()

        from realtime_drf import Event, publish
        from realtime_drf.contract import declare

        declare("test.closing", "notes", int)

        def test_right(realtime_outbox):
            publish(Event("test.closing", "notes", 1))

        def test_wrong(realtime_outbox):
            publish(Event("test.closing", "notes", "a"))
        """
    pytester_run(code, *plugin).assert_outcomes(passed=2)
    result = pytester_run(code, "-o", "realtime_validate=true", *plugin)
    result.assert_outcomes(passed=2, errors=1)  # it is known after the test
    result.stdout.fnmatch_lines(["*'test.closing' on 'notes' breaks its schema at $: 'a' is not*"])


def test_workers_of_a_parallel_run_share_nothing(pytester_run: Run) -> None:
    code = """
        import pytest
        from django.db import transaction
        from realtime_drf import Event, publish

        @pytest.mark.parametrize("number", range(40))
        @pytest.mark.django_db
        def test_alone(realtime_outbox, number):
            with transaction.atomic():
                publish(Event(f"e{number}", "x"))
            assert [event.name for event in realtime_outbox] == [f"e{number}"]
    """
    pytester_run(code, "-n", "2").assert_outcomes(passed=40)


def test_failures_show_what_was_published(pytester_run: Run) -> None:
    code = """
        from realtime_drf import Event, publish

        def test_fails(realtime_outbox):
            publish(Event("todo.create", "todos", {"id": 1}))
            realtime_outbox.assert_published("todo.create", data={"id": 2})
    """
    result = pytester_run(code)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E *Expected at least once*", "E *1. todo.create to todos*", "E *data?'id'? is 1, not 2"]
    )
    result.stdout.no_fnmatch_line("*def assert_published*")


CONTRACT = """
    from realtime_drf.testing import Received, TransportContract
    from realtime_drf.transports.memory import MemoryTransport

    class TestMine(TransportContract):
        in_process = True
        max_examples = 3

        def setup_method(self):
            self.made = []

        def create_transport(self, **options):
            self.made.append(MemoryTransport(**options))
            return self.made[-1]

        def received(self):
            return [
                Received(channel, event.name, event.body, event.socket_id)
                for transport in self.made for event in transport.outbox
                for channel in event.channels
            ]

        def test_events_arrive_in_order(self):
            raise AssertionError("It does not.")
"""


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_the_table_of_the_contract_is_printed_and_written(
    pytester_run: Run, pytester: pytest.Pytester, arguments: tuple[str, ...]
) -> None:
    page = pytester.path / "page.md"
    page.write_text("Before.\n\n<!-- contract -->\nold\n<!-- /contract -->\n\nAfter.\n")
    result = pytester_run(CONTRACT, "--realtime-matrix", str(page), *arguments)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*contract of transports*",
            "clause * Mine",
            "a closed transport opens again * yes",
            "a refusal is a rejection * -",
            "events arrive in order * NO",
            "- Mine, * skipped: create_unreachable_transport() is not given",
        ]
    )
    text = page.read_text()
    assert text.startswith("Before.\n\n<!-- contract -->\n| clause | Mine |\n| --- | --- |\n| a b")
    assert "| events arrive in order | NO |" in text
    assert text.endswith("|\n<!-- /contract -->\n\nAfter.\n")


def test_a_page_without_marks_is_an_error(pytester: pytest.Pytester) -> None:
    from realtime_drf.testing.matrix import Matrix

    page = pytester.path / "page.md"
    page.write_text("No place.")
    matrix = Matrix()
    matrix.add("Mine", "test_a", "passed")
    with pytest.raises(ValueError, match="has no place between"):
        matrix.write(page)


def test_what_other_plugins_make_of_a_test_is_no_outcome() -> None:
    from realtime_drf.testing.matrix import Matrix

    matrix = Matrix()
    for outcome in ("rerun", "passed"):
        matrix.add("Mine", "test_a", outcome)
    assert matrix.as_text().splitlines()[1].split() == ["a", "yes"]


def test_the_contract_runs_in_unittest(pytester_run: Run) -> None:
    code = CONTRACT.replace("(TransportContract)", "(TransportContract, unittest.TestCase)")
    code = code.replace("setup_method", "setUp").replace(
        "from realtime", "import unittest\n    from realtime", 1
    )
    result = pytester_run(code)
    outcomes = result.parseoutcomes()
    assert outcomes["failed"] == 1
    assert outcomes["passed"] > 30
