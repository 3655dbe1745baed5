"""How many examples Hypothesis tries: profiles, and counts that go by them.

`pytest --hypothesis-profile NAME` chooses one. Each run draws new examples; `--hypothesis-seed`
repeats those of another run. `make soak` finds tests by the mark `hypothesis`: those with `@given`
have it by themselves, and one that runs a state machine is given it.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

DEFAULT = "realtime"
_COUNTS = {DEFAULT: 100, "matrix": 20, "soak": 2_000}
"""Examples of a property that states no count."""


def load_profiles() -> None:
    """Register the profiles, and load the one of an ordinary run."""
    for name, count in _COUNTS.items():
        # There is no deadline: times say nothing on a busy machine.
        settings.register_profile(
            name,
            max_examples=count,
            deadline=None,
            derandomize=False,  # which Hypothesis does where CI is set: new examples find more
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow],
        )
    settings.load_profile(DEFAULT)


def scaled(count: int, *, soak: int | None = None) -> int:
    """Return a count of examples for an ordinary run, scaled to the profile of this one.

    Args:
        soak: the count for a soak, where it is not in proportion.
    """
    if soak is not None and settings.default.max_examples == _COUNTS["soak"]:
        return soak
    return max(1, count * settings.default.max_examples // _COUNTS[DEFAULT])


def are_enough() -> bool:
    """Tell whether the examples are enough to ask what states they have reached.

    Those of the matrix are not: now and then all of its twenty are variations of a few.
    """
    return settings.default.max_examples >= _COUNTS[DEFAULT]
