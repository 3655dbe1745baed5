"""Make the tables of options in the documentation, from the declarations.

    python -m tests.option_tables

writes them into the pages of `PAGES`. A test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from realtime_drf.options import Option, find_table
from realtime_drf.transports.ably import AblyTransport
from realtime_drf.transports.channels import ChannelsTransport
from realtime_drf.transports.console import ConsoleTransport
from realtime_drf.transports.memory import MemoryTransport
from realtime_drf.transports.pusher import PusherTransport
from tests.pages import ROOT

PAGES: Final[dict[type[Any], str]] = {
    AblyTransport: "ably.md",
    ChannelsTransport: "channels.md",
    ConsoleTransport: "memory-and-console.md",
    MemoryTransport: "memory-and-console.md",
    PusherTransport: "pusher.md",
}


def find_page(transport_class: type[Any]) -> Path:
    """Return the page that has the table of a transport."""
    return ROOT / "docs" / PAGES[transport_class]


def read_table(transport_class: type[Any]) -> str:
    """Return the table as the page has it."""
    return _divide(transport_class)[1].strip()


def make_table(transport_class: type[Any]) -> str:
    """Return the table in Markdown."""
    return "\n".join(_make_rows(find_table(transport_class).values()))


def write(transport_class: type[Any]) -> None:
    """Put the table into its page."""
    before, _, after = _divide(transport_class)
    find_page(transport_class).write_text(f"{before}\n{make_table(transport_class)}\n{after}")


def _make_rows(options: Any) -> Iterator[str]:
    yield "| option | default | meaning |"
    yield "| --- | --- | --- |"
    for option in options:
        yield f"| `{option.name}` | {_describe_default(option)} | {option.meaning} |"


def _describe_default(option: Option) -> str:
    if option.default in (None, "", ()):
        return option.unset
    return f'`"{option.default}"`' if isinstance(option.default, str) else f"`{option.default}`"


def _divide(transport_class: type[Any]) -> tuple[str, str, str]:
    """Return a page up to a table, the table, and the rest of the page."""
    name = transport_class.__name__
    begin, end = f"<!-- options of {name} -->", f"<!-- /options of {name} -->"
    before, rest = find_page(transport_class).read_text().split(begin)
    table, after = rest.split(end)
    return before + begin, table, end + after


if __name__ == "__main__":
    for each in PAGES:
        write(each)
