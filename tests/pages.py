"""The Markdown pages of this project, and the blocks of code in them.

A fenced block belongs to what a reader sees. A comment ``<!-- run … -->`` holds Python that only
the tests see: it prepares a block, or checks what a block has done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")),
    *sorted((ROOT / "docs").glob("*.md")),
]
PROJECT_PAGES = ("README.md", "quickstart.md")
"""Pages which build a project out of files; what other pages show is run inside that project."""

_BLOCK = re.compile(
    r"^(?P<fence>`{3,})(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=fence)$|^<!-- run\n(?P<run>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"# ([\w/]+\.(?:py|ini))\n")


@dataclass(frozen=True)
class Block:
    """Hold a block of code: its language, text, and the line on its page where it starts."""

    page: Path
    language: str
    text: str
    line: int
    hidden: bool = False

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def file(self) -> str | None:
        """Return the file that the block says it belongs to, in its first line."""
        match = _FILE.match(self.text)
        return match[1] if match else None

    def compile(self) -> object:
        """Compile Python so that tracebacks name the line of the page."""
        return compile("\n" * (self.line - 1) + self.text, str(self.page), "exec")


def read_blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page in order."""
    text = page.read_text()
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 2
        if match["run"] is not None:
            yield Block(page, "python", match["run"], line, hidden=True)
        else:
            yield Block(page, match["info"].strip(), match["code"], line)


def read_prose(page: Path) -> str:
    """Return a page without its blocks."""
    return _BLOCK.sub("", page.read_text())


def slugs(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#{1,6} +(.+?) *$", read_prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
