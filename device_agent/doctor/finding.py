"""What a check of a deployment found, in one sentence; owns the verdicts and how they add up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about a deployment; ``mend`` says what the reader can do, where something is wrong.

    ``subject`` is the partition point that it is about, or empty; ``figures`` are what was measured, for programs.
    """

    check: str
    verdict: Verdict
    sentence: str
    mend: str = ""
    subject: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "check": self.check,
            "subject": self.subject,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "mend": self.mend,
            "figures": dict(self.figures),
        }


def is_well(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing failed; a warning is no failure."""
    return all(finding.verdict != "fail" for finding in findings)
