"""The words of the project: one word for one thing, and the field's own.

A word that has a better one is kept out of code and documentation, and names that were changed are
kept out of tests, too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import ROOT

PACKAGE = ROOT / "realtime_drf"

BETTER = {
    r"hand-?overs?|handed over|hands? over": "batch",
    r"\bPoster\b|\b[Cc]ouriers?\b": "sender, endpoint queue",
    r"\brosters?\b": "hub",
    r"\battendants?\b": "listener",
    r"\bdeaf\b|\bhearing\b": "disconnected",
    r"\bshortcuts?\b(?! import)": "fast path",
    r"\blanes?\b": "worker, partition",
    r"(?<!heart)\bbeats?\b": "heartbeat",
    r"\bfarewells?\b|\bsend_away\b|\bsent away\b": "drain, shutdown",
    r"\bturn(?:s|ed)? away\b|\bTurnedAway\b": "reject",
    r"\bpart(?:s|ed|ing)? with\b": "disconnect, close",
    r"\blet(?:s|ting)? go of\b": "release, close",
    r"\bhears?\b|\bheard\b": "receive, subscribe",
    r"\b(?:is|are|was|were) told\b": "receive, be notified",
    r"\bexclude_origin\b|\bget_realtime_origin\b": "exclude_sender, socket_id",
    r"\banew\b": "again",
    r"\bwhoever\b": "anyone who",
    r"\bshall\b": "should, must, may",
    r"\bis said\b|\bsaid once\b": "is reported",
    r"\bto begin with\b": "by default",
    r"\bnobody's\b": "without an owner",
    r"\bMOST_[A-Z]+": "MAX_",
}
"""Words, as regular expressions, with the better ones."""

NAMES = re.compile(
    r"hand_?overs?\b|\broster\b|\bcourier|\bexclude_origin\b|\bget_realtime_origin\b|\bMOST_[A-Z]+"
    r"|\bAttendant\b|\bLoopThread\b|\bLane\b|\bTurnedAway\b|\bon_deaf\b|\bsend_away\b"
)
"""Names that were changed."""

FOLDERS = ("realtime_drf", "client", "docs", "example", "benchmarks")
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
SUFFIXES = {".py", ".md", ".lua", ".js", ".mjs", ".ts", ".html", ".css"}

NO_NOUNS = {
    *("Answer", "Be", "Bring", "Call", "Carry", "Count", "Decide", "Find", "Give", "Have", "Hold"),
    *("Keep", "Know", "Let", "Look", "Make", "Name", "Publish", "Read", "Refuse", "Return", "Run"),
    *("Say", "Send", "Serve", "Show", "Sign", "Speak", "Stand", "Take", "Tell", "Turn", "Write"),
    *("Everything", "How", "What", "Where", "Whether", "Who", "Why"),
}
"""First words of docstrings that say what is done, and not what a class is."""

NO_IMPERATIVES = re.compile(r"(?:A|An|The|This|It|Is|Are|Returns|Gets|Does|Makes)\b")


def read_lines() -> Iterator[tuple[str, int, str]]:
    """Yield the lines of the project: path, number and text."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    for path in sorted([*paths, *(ROOT / page for page in PAGES)]):
        inside = path.relative_to(ROOT).as_posix()
        if path.suffix in SUFFIXES and not re.search(r"_build/|node_modules/|client/dist/", inside):
            for number, line in enumerate(path.read_text().splitlines(), start=1):
                yield inside, number, line


@pytest.mark.parametrize("word", BETTER)
def test_a_word_that_has_a_better_one_is_not_used(word: str) -> None:
    pattern = re.compile(word, re.IGNORECASE if word.islower() else 0)
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, number, line in read_lines()
        if pattern.search(line)
    ]
    assert not found, f"Better: {BETTER[word]}.\n" + "\n".join(found)


def test_tests_use_the_new_names() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if "node_modules" not in path.parts and path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if NAMES.search(line)
    ]
    assert not found, "\n".join(found)


def test_the_list_finds_what_it_is_for() -> None:
    assert all(re.search(word, "x", re.IGNORECASE) is None for word in BETTER)
    samples = [
        "a hand-over of this process",
        "is told of it",
        "the roster",
        "who hears it",
        "MOST_IDLE",
    ]
    assert all(any(re.search(word, text) for word in BETTER) for text in samples)


def read_docstrings() -> Iterator[tuple[Path, ast.AST, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            is_described = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if is_described and (text := ast.get_docstring(node)):
                yield path, node, text.splitlines()[0]


def test_the_first_line_of_a_docstring_says_what_a_class_is_and_what_a_function_does() -> None:
    wrong = []
    for path, node, line in read_docstrings():
        name = getattr(node, "name", "")
        if isinstance(node, ast.ClassDef):
            is_wrong = line.split()[0].strip(".,") in NO_NOUNS
        else:
            decorators = [ast.unparse(each) for each in node.decorator_list]  # type: ignore[attr-defined]
            is_property = any("property" in each for each in decorators)
            is_wrong = not is_property and bool(NO_IMPERATIVES.match(line))
        if is_wrong or not line.endswith((".", ":", "::")):
            wrong.append(f"{path.relative_to(ROOT)}: {name}: {line}")
    assert not wrong, "\n".join(wrong)
