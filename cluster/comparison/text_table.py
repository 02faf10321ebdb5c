"""A table of texts, for the screen and for a document. Owns its two forms."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True, slots=True)
class TextTable:
    """Rows of texts below ``headings``, of which the first ``texts`` are words and the others numbers."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1

    def markdown(self) -> str:
        """Give the table in GitHub's Markdown, without the title."""
        marks = ["---" if column < self.texts else "---:" for column in range(len(self.headings))]
        return "\n".join(_line(row) for row in (self.headings, marks, *self.rows))

    def rich(self) -> Table:
        """Give the table for a terminal."""
        table = Table(title=self.title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for column, heading in enumerate(self.headings):
            table.add_column(heading, justify="left" if column < self.texts else "right")
        for row in self.rows:
            table.add_row(*map(escape, row))
        return table


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |"
