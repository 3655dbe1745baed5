"""Measure what this package costs, and what it saves.

Run one from the root of the repository, with the packages of the group "test" installed::

    python -m benchmarks publish            # takes some ten seconds; so does "auth"
    python -m benchmarks sources            # takes some minutes; PostgreSQL where it is installed
    python -m benchmarks publish --quick    # to see that it works; the times say little
    python -m benchmarks fanout             # takes some minutes; so does "scale"
    python -m benchmarks fanout --redis     # needs redis-server
    python -m benchmarks publish --against v0.1.0    # fourteen runs

It prints a table, each figure beside its target, and one JSON object as the last line, for scripts
that compare runs. A target is a promise, for a reader who knows the machine to judge: the exit code
is 0 either way. What is compared is measured side by side in one run, in turns, so that the ratio
holds where the times do not. "fanout" and "scale" read /proc, so they need Linux.

With ``--against`` and a branch, tag or commit, the benchmark runs here and there in turns, and the
median of seven ratios decides: processor times may be 1.05 times those there; wall times,
percentiles and memory 1.15 times; counts no more. The exit code is 1 where a limit is missed.
Each tree runs its own benchmark on its own package, with the same versions of all other packages.
So a figure that is measured in another way there is not comparable, and one that is missing there
is left out. The kinds of figures are those of this tree.

Each benchmark is a module here with a ``DESCRIPTION`` and a function
``measure(*, quick: bool) -> list[Figure]``, registered in `benchmarks.__main__`.
"""
