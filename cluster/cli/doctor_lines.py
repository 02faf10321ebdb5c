"""What ``isthmus doctor`` draws: a finding as a tick or a cross with its sentence, and the sum of all."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from rich.table import Table
from rich.text import Text

from device_agent.doctor.finding import Finding, Verdict

MARKS: Final[dict[Verdict, tuple[str, str]]] = {
    "ok": ("✔", "green"),
    "warn": ("!", "yellow"),
    "fail": ("✘", "bold red"),
    "skipped": ("–", "dim"),
}
CHECK_WIDTH: Final = 9
"""The longest name of a check."""
SUBJECT_WIDTH: Final = 10


def draw(finding: Finding) -> Table:
    """Draw one finding; how to mend it stands below."""
    mark, style = MARKS[finding.verdict]
    row = Table.grid(padding=(0, 1))
    row.add_column(width=1)
    row.add_column(width=CHECK_WIDTH)
    row.add_column(width=SUBJECT_WIDTH if finding.subject else 0)
    row.add_column()
    # Text, since what a cluster says of itself is no markup.
    said = Text(finding.sentence, style="dim" if finding.verdict == "skipped" else "")
    row.add_row(Text(mark, style), Text(finding.check, "bold"), Text(finding.subject), said)
    if finding.mend:
        row.add_row("", "", "", Text.assemble(("mend: ", "bold"), finding.mend))
    return row


def draw_sum(findings: Iterable[Finding]) -> Text:
    """Draw how many were well, and how many not."""
    counts = Counter(finding.verdict for finding in findings)
    words = [
        f"{counts['ok']} well",
        f"{counts['warn']} warning{'' if counts['warn'] == 1 else 's'}",
        f"{counts['fail']} failed",
        *([f"{counts['skipped']} not looked at"] if counts["skipped"] else []),
    ]
    style = "red" if counts["fail"] else "yellow" if counts["warn"] else "green"
    return Text(", ".join(words), style)
