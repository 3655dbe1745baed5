"""Make the table of what each transport can, from the classes themselves.

    python -m tests.capabilities

writes it into docs/transports.md. A test compares the two.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

from realtime_drf import transports
from realtime_drf.transports.base import BaseTransport
from tests.pages import ROOT

PAGE = ROOT / "docs" / "transports.md"
BEGIN, END = "<!-- capabilities -->", "<!-- /capabilities -->"

ABILITIES = [name for name in vars(BaseTransport) if name.startswith("supports_")]


def find_transports() -> list[type[BaseTransport]]:
    """Return the transports of this package, sorted by name; no SDK is needed for it."""
    found = set()
    for info in pkgutil.iter_modules(transports.__path__):
        module = importlib.import_module(f"{transports.__name__}.{info.name}")
        found |= {
            value
            for name, value in vars(module).items()
            if isinstance(value, type)
            and issubclass(value, BaseTransport)
            and f"{value.__module__}.".startswith(f"{module.__name__}.")
            and not inspect.isabstract(value)
            and not name.startswith("_")
        }
    return sorted(found, key=lambda cls: cls.__name__)


def make_table() -> str:
    """Return the table in Markdown."""
    classes = find_transports()
    names = [cls.__name__.removesuffix("Transport") for cls in classes]
    rows = [["what it can", *names], ["---"] * (len(names) + 1)]
    for ability in [*ABILITIES, "development_only"]:
        rows.append([f"`{ability}`", *(_answer(cls, ability) for cls in classes)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _answer(cls: type[BaseTransport], ability: str) -> str:
    if getattr(cls, ability):
        return "yes"
    return "by an option" if any(_sets(base, ability) for base in _bases(cls)) else "no"


def _bases(cls: type[BaseTransport]) -> Iterator[type]:
    return (base for base in cls.__mro__ if base.__module__.startswith("realtime_drf."))


def _sets(cls: type, ability: str) -> bool:
    return re.search(rf"\bself\.{ability} = ", inspect.getsource(cls)) is not None


def write(page: Path = PAGE) -> None:
    """Put the table into the page."""
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{make_table()}\n{END}{after}")


if __name__ == "__main__":
    write()
