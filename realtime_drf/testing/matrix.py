"""The table of the contract: which transport fulfils which clause."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

PROPERTY: Final = "realtime_contract"
"""Name of the property in pytest's reports."""

BEGIN, END = "<!-- contract -->", "<!-- /contract -->"
"""The markers in a page, between which the table is written."""

MARKS: Final = {"passed": "yes", "skipped": "-", "failed": "NO"}


class Cell(NamedTuple):
    """The result of a clause: "passed", "skipped" with a reason, or "failed"."""

    outcome: str
    reason: str = ""


class Matrix:
    """The results of a run, by transport and clause."""

    def __init__(self) -> None:
        self._cells: dict[str, dict[str, Cell]] = {}

    def __bool__(self) -> bool:
        return bool(self._cells)

    def __iter__(self) -> Iterator[tuple[str, str, Cell]]:
        """Yield transport, clause and result."""
        for transport, cells in self._cells.items():
            for clause, cell in cells.items():
                yield transport, clause, cell

    def add(self, transport: str, test: str, outcome: str, reason: str = "") -> None:
        """Record the result of a test; a failure of its setup or teardown counts.

        Other outcomes, such as the "rerun" of a plugin, are ignored.
        """
        if outcome not in MARKS:
            return
        clause = test.removeprefix("test_").replace("_", " ")
        cells = self._cells.setdefault(transport, {})
        if outcome == "failed" or clause not in cells:
            cells[clause] = Cell(outcome, reason)

    @property
    def transports(self) -> list[str]:
        """Return the names of the transports, sorted."""
        return sorted(self._cells, key=str.lower)

    @property
    def clauses(self) -> list[str]:
        """Return the clauses, sorted."""
        return sorted({clause for cells in self._cells.values() for clause in cells})

    def as_text(self) -> str:
        """Return the table for a terminal, with the reasons of skipped clauses below it."""
        rows = list(self._rows())
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([*lines, "", *self._reasons()]).rstrip()

    def as_markdown(self) -> str:
        """Return the table for a page."""
        head, *rows = self._rows()
        lines = [_markdown_row(head), _markdown_row(["---"] * len(head)), *map(_markdown_row, rows)]
        return "\n".join(lines)

    def write(self, path: str | Path) -> None:
        """Write the table into a page, between its markers."""
        page = Path(path)
        text = page.read_text()
        new = re.sub(
            f"{BEGIN}.*?{END}",
            lambda match: f"{BEGIN}\n{self.as_markdown()}\n{END}",
            text,
            flags=re.DOTALL,
        )
        if new == text and BEGIN not in text:
            raise ValueError(f"{page} has no place between {BEGIN} and {END}.")
        page.write_text(new)

    def _rows(self) -> Iterator[list[str]]:
        yield ["clause", *self.transports]
        for clause in self.clauses:
            cells = (self._cells[transport].get(clause) for transport in self.transports)
            yield [clause, *(MARKS[cell.outcome] if cell else "" for cell in cells)]

    def _reasons(self) -> Iterator[str]:
        reasons: dict[tuple[str, str], int] = {}
        for transport in self.transports:
            for cell in self._cells[transport].values():
                if cell.outcome == "skipped":
                    key = (transport, cell.reason)
                    reasons[key] = reasons.get(key, 0) + 1
        for (transport, reason), count in reasons.items():
            yield f"- {transport}, {count} skipped: {reason}"


def _markdown_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
