"""The page on the protocol names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.pages import ROOT

PAGE = ROOT / "docs" / "pusher-protocol.md"
TESTS = Path(__file__).parent.parent


def test_the_tests_that_the_page_names_are_there() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    named = 0
    for row in rows:
        for file, tests in re.findall(r"`(test_\w+)`: ((?:`test_\w+`(?:, )?)+)", row):
            (path,) = TESTS.glob(f"*/{file}.py")
            text = path.read_text()
            for name in re.findall(r"`(\w+)`", tests):
                named += 1
                assert f"def {name}(" in text, (file, name)
    assert named > 20
