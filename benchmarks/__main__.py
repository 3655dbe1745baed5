"""Run a benchmark by its name."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

import django

from benchmarks.against import CannotCompare, compare_with
from benchmarks.figures import report

NAMES = ("auth", "contract", "fanout", "publish", "scale", "sources")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--quick", action="store_true", help="few rounds: the times say little")
    parser.add_argument("--redis", action="store_true", help="fanout: two processes on a Redis")
    parser.add_argument("--against", metavar="REF", help="compare with a commit: 7 runs of each")
    arguments = parser.parse_args()
    options = {"redis": True} if arguments.redis else {}
    if options and arguments.name != "fanout":
        parser.error("--redis belongs to fanout")
    if arguments.against is not None:
        given = {"--quick": arguments.quick, "--redis": arguments.redis}
        chosen = [option for option, is_given in given.items() if is_given]
        try:
            sys.exit(0 if compare_with(arguments.against, arguments.name, chosen) else 1)
        except CannotCompare as exc:
            parser.error(f"--against: {exc}")

    # Overwritten, since the shell may have Django settings of its own.
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    django.setup()
    benchmark = importlib.import_module(f"benchmarks.{arguments.name}")
    print(benchmark.DESCRIPTION)
    report(arguments.name, benchmark.measure(quick=arguments.quick, **options))


main()
