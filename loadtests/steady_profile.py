"""A device profile that other work on this machine has not spoilt: measured again until it falls no further.

The agent measures its profile once, at its first start, as a device of its own can. On a machine that is also cluster,
relay and seven agents, one such measurement would decide every figure of a benchmark.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from device_agent.device_profile import Profile, ProfileStore, measure_profile
from device_agent.head import HeadRuntime
from wire.bundle import Bundle

ROUNDS_MAX: Final = 20
STEADY_ROUNDS: Final = 3
"""After so many rounds that change nothing it is steady."""
FALL: Final = 0.03
"""A round changes something if an option took less than the least before by more than this share."""


def keep_steady_profile(bundle: Bundle, cache: Path, *, on_round: Callable[[int], None], threads: int = 1) -> int:
    """Measure a bundle's profile and put it where agents that use ``cache`` find it; gives how many rounds it took.

    Blocks for some seconds a round. Raises BundleError if a graph cannot be run.
    """
    optimised = cache / "optimised" / bundle.digest

    def measure() -> Profile:
        return measure_profile(HeadRuntime(bundle, threads=threads, optimised=optimised))

    profile, rounds = steady(measure, on_round=on_round)
    ProfileStore(cache).save(bundle.digest, threads, profile)
    return rounds


def steady(measure: Callable[[], Profile], *, on_round: Callable[[int], None]) -> tuple[Profile, int]:
    """Give the least seconds of each option, when they fall no further, and after how many rounds that was."""
    best: Profile = {}
    unchanged = 0
    for number in range(1, ROUNDS_MAX + 1):
        on_round(number)
        found = measure()
        changed = any(seconds < (1 - FALL) * best.get(option, float("inf")) for option, seconds in found.items())
        best = {option: min(seconds, best.get(option, seconds)) for option, seconds in found.items()}
        unchanged = 0 if changed else unchanged + 1
        if unchanged == STEADY_ROUNDS:
            return best, number
    return best, ROUNDS_MAX
