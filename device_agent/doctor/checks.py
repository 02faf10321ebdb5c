"""Runs the checks of a deployment one after the other; what cannot be checked for an earlier failure is skipped.

Owns the order of things and nothing of what is checked.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from device_agent.doctor.finding import Finding
from wire.errors import IsthmusError

Say = Callable[[str], None]
"""Hears what is being done now, for whoever waits."""


class Check(Protocol):
    """One thing that is looked at; it may find several, as one for each point."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The checks without which this one cannot tell anything."""

    def run(self) -> Iterator[Finding]:
        """Look; an IsthmusError that is raised is a failure that says it all."""


def run_checks(checks: Iterable[Check], say: Say) -> Iterator[Finding]:
    """Run every check whose needs did not fail, and give what is found as it is found."""
    failed: dict[str, str] = {}
    for check in checks:
        cause = next((failed[need] for need in check.needs if need in failed), None)
        if cause is not None:
            failed[check.name] = cause
            yield Finding(check.name, "skipped", f"not looked at, since the check {cause!r} failed")
            continue
        say(check.name)
        for finding in _found(check):
            if finding.verdict == "fail":
                failed[check.name] = check.name
            yield finding


def _found(check: Check) -> Iterator[Finding]:
    try:
        yield from check.run()
    except IsthmusError as error:
        yield Finding(check.name, "fail", error.message, error.mend, figures={"code": error.code})
