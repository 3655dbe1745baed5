"""Run a benchmark by its name."""

from __future__ import annotations

import argparse
import importlib
import os

import django

from benchmarks.figures import report

NAMES = ("auth", "fanout", "publish", "scale")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--quick", action="store_true", help="few rounds: the times say little")
    parser.add_argument("--redis", action="store_true", help="fanout: two processes on a Redis")
    arguments = parser.parse_args()
    options = {"redis": True} if arguments.redis else {}
    if options and arguments.name != "fanout":
        parser.error("--redis belongs to fanout")

    # Set and not proposed: whoever starts us may have Django settings of their own.
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    django.setup()
    benchmark = importlib.import_module(f"benchmarks.{arguments.name}")
    print(benchmark.DESCRIPTION)
    report(arguments.name, benchmark.measure(quick=arguments.quick, **options))


main()
