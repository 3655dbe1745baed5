"""Write what the project broadcasts, as types for browsers or as a document."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

if TYPE_CHECKING:
    from realtime_drf.contract.reading import Contract

_FORMATS = ("typescript", "asyncapi", "jsonschema")


class Command(BaseCommand):
    """The command ``realtime_contract``."""

    help = "Write the events, channels and payloads of this project, as types or as a document."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=_FORMATS, required=True)
        parser.add_argument(
            "--output", metavar="FILE", type=Path, help="the file to write, instead of the output"
        )
        parser.add_argument(
            "--check",
            action="store_true",
            help="write nothing, and exit with 1 unless the file of --output is up to date",
        )
        parser.add_argument(
            "--types-from",
            metavar="FILE",
            help="a file of openapi-typescript, as TypeScript imports it: its types of serializers "
            "are used, instead of printing them again",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        output: Path | None = options["output"]
        types_from: str | None = options["types_from"]
        if options["check"] and output is None:
            raise CommandError("--check needs --output FILE, the file to check.")
        if types_from and options["format"] != "typescript":
            raise CommandError("--types-from is for --format typescript.")
        contract = _read()
        for sentence in contract.unknown:
            self.stderr.write(sentence)
        text = _write(contract, options["format"], types_from)
        if output is None:
            self.stdout.write(text, ending="")
        elif options["check"]:
            self._check(output, text)
        else:
            output.write_text(text, encoding="utf-8", newline="\n")

    def _check(self, output: Path, text: str) -> None:
        """Exit with 1 unless a file has the text; write the difference."""
        try:
            found = output.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise CommandError(f"{output} is missing. Run this command without --check.") from None
        if found == text:
            return
        lines = difflib.unified_diff(
            found.splitlines(), text.splitlines(), str(output), "this project", lineterm=""
        )
        self.stdout.write("\n".join(lines))
        raise CommandError(f"{output} is out of date. Run this command without --check.")


def _read() -> Contract:
    try:
        from realtime_drf.contract.reading import read_contract
    except ModuleNotFoundError as exc:
        if exc.name != "drf_spectacular":
            raise
        raise CommandError(str(exc)) from exc
    return read_contract()


def _write(contract: Contract, form: str, types_from: str | None) -> str:
    from realtime_drf.contract.documents import make_asyncapi, make_json_schema
    from realtime_drf.contract.typescript import write_typescript

    if form == "typescript":
        module = types_from and types_from.removesuffix(".ts").removesuffix(".d")
        return write_typescript(contract, types_from=module)
    document = make_asyncapi(contract) if form == "asyncapi" else make_json_schema(contract)
    return f"{json.dumps(document, indent=2, ensure_ascii=False, default=str)}\n"
