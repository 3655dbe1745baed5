"""Write what the project broadcasts, as types for browsers or as a document."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    """The command ``realtime_contract``."""

    help = "Write the events, channels and payloads of this project, as types or as a document."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=["typescript"], required=True)
        parser.add_argument(
            "--types-from",
            metavar="FILE",
            help="a file of openapi-typescript, as TypeScript imports it: its types of serializers "
            "are used, instead of printing them again",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            from realtime_drf.contract.reading import read_contract
            from realtime_drf.contract.typescript import write_typescript
        except ModuleNotFoundError as exc:
            if exc.name != "drf_spectacular":
                raise
            raise CommandError(str(exc)) from exc
        contract = read_contract()
        for sentence in contract.unknown:
            self.stderr.write(sentence)
        file = options["types_from"]
        types_from = file and file.removesuffix(".ts").removesuffix(".d")
        self.stdout.write(write_typescript(contract, types_from=types_from), ending="")
