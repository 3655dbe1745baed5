"""Measure what this package costs, and what it saves.

Run one from the root of the repository, with the packages of the group "test" installed::

    python -m benchmarks publish            # takes some ten seconds; so does "auth"
    python -m benchmarks publish --quick    # to see that it works; the times say little
    python -m benchmarks fanout             # takes some minutes; so does "scale"
    python -m benchmarks fanout --redis     # needs redis-server

It prints a table, each figure beside its target, and one JSON object as the last line, for whoever
compares runs. A target is a promise to be judged by a reader who knows the machine: the exit code
is 0 either way. What is compared is measured side by side in one run, in turns, so that the ratio
holds where the times do not. "fanout" and "scale" read /proc, so they need Linux.

Each benchmark is a module here with a ``DESCRIPTION`` and a function
``measure(*, quick: bool) -> list[Figure]``, registered in `benchmarks.__main__`.
"""
