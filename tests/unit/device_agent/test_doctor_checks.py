from collections.abc import Iterator

from device_agent.doctor.checks import run_checks
from device_agent.doctor.finding import Finding, is_well
from wire.errors import ClusterUnreachable


class Scripted:
    """A check that finds what it was told to, or raises."""

    def __init__(self, name: str, *verdicts: str, needs: tuple[str, ...] = (), error: Exception | None = None) -> None:
        self.name, self.needs = name, needs
        self._verdicts, self._error = verdicts, error

    def run(self) -> Iterator[Finding]:
        for verdict in self._verdicts:
            yield Finding(self.name, verdict, verdict)
        if self._error is not None:
            raise self._error


def verdicts(*checks: Scripted) -> list[tuple[str, str]]:
    return [(finding.check, finding.verdict) for finding in run_checks(checks, lambda _: None)]


def test_what_cannot_be_checked_for_an_earlier_failure_is_skipped_and_names_the_first_cause() -> None:
    checks = [
        Scripted("a", error=ClusterUnreachable("gone", mend="look")),
        Scripted("b", "ok", needs=("a",)),
        Scripted("c", "ok", needs=("b",)),
        Scripted("d", "ok"),
    ]
    first, second, third, last = run_checks(checks, lambda _: None)
    assert (first.verdict, first.sentence, first.mend, first.figures) == (
        "fail", "gone", "look", {"code": "cluster_unreachable"},
    )  # fmt: skip
    assert (second.verdict, third.verdict, last.verdict) == ("skipped", "skipped", "ok")
    assert second.sentence == third.sentence == "not looked at, since the check 'a' failed"


def test_a_warning_keeps_nothing_from_being_checked() -> None:
    assert verdicts(Scripted("a", "warn"), Scripted("b", "ok", needs=("a",))) == [("a", "warn"), ("b", "ok")]


def test_one_failure_among_several_findings_of_a_check_is_enough() -> None:
    said = verdicts(Scripted("a", "ok", "fail", "ok"), Scripted("b", "ok", needs=("a",)))
    assert said == [("a", "ok"), ("a", "fail"), ("a", "ok"), ("b", "skipped")]


def test_findings_come_as_they_are_found_and_what_is_looked_at_is_said_before() -> None:
    said: list[str] = []
    findings = run_checks([Scripted("a", "ok"), Scripted("b", "ok")], said.append)
    next(findings)
    assert said == ["a"]
    next(findings)
    assert said == ["a", "b"]


def test_a_deployment_is_well_without_a_failure() -> None:
    assert is_well([Finding("a", "ok", ""), Finding("a", "warn", ""), Finding("a", "skipped", "")])
    assert not is_well([Finding("a", "ok", ""), Finding("a", "fail", "")])
