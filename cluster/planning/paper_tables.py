"""The papers' tables together: for the screen, for a JSON file, and as the measured blocks of docs/planning.md.

Owns the names of the blocks. What is in a table is its paper's report's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.comparison.text_table import TextTable
from cluster.planning.bottlenet_report import (
    PARTITION_NOTE,
    Partition,
    gain_table,
    partition_record,
    partition_table,
    reason,
)
from cluster.planning.jalad_report import (
    POINTS_NOTE,
    SPEEDUP_NOTE,
    Decoupling,
    decoupling_record,
    points_table,
    speedup_table,
)
from cluster.planning.jointdnn_report import (
    NOTE,
    SCHEDULE_NOTE,
    Workload,
    schedule_table,
    workload_record,
    workload_table,
)


@dataclass(frozen=True, slots=True)
class NotedTable:
    """A table, and what has to be said with it: what of the paper's it has, and what differs."""

    table: TextTable
    note: str = ""

    def markdown(self) -> str:
        """Give both for a document, the title in bold."""
        return f"**{self.table.title}.** {self.note}".rstrip() + f"\n\n{self.table.markdown()}"


@dataclass(frozen=True, slots=True)
class PaperTables:
    """Tables by the names of their blocks, all as plain values, and on which machines they are."""

    tables: Mapping[str, NotedTable]
    record: Mapping[str, Any]
    machines: tuple[str, ...] = ()

    def blocks(self) -> dict[str, str]:
        """Give what a document can have of them, as Markdown."""
        machines = {"machines": "\n".join(f"- {each}" for each in self.machines)}
        return machines | {name: table.markdown() for name, table in self.tables.items()}


def jointdnn_tables(found: Sequence[Workload]) -> PaperTables:
    """Give table 4 and the schedules behind it."""
    tables = {
        "jointdnn-workload": NotedTable(workload_table(found), NOTE),
        "jointdnn-schedules": NotedTable(schedule_table(found), SCHEDULE_NOTE),
    }
    return PaperTables(tables, {"jointdnn": workload_record(found)})


def jalad_tables(found: Sequence[Decoupling]) -> PaperTables:
    """Give tables II and III."""
    tables = {
        "jalad-speedup": NotedTable(speedup_table(found), SPEEDUP_NOTE),
        "jalad-points": NotedTable(points_table(found), POINTS_NOTE),
    }
    return PaperTables(tables, {"jalad": decoupling_record(found)})


def bottlenet_tables(found: Sequence[Partition]) -> PaperTables:
    """Give tables 4 and 5, and why the gains differ from the paper's."""
    tables = {
        "bottlenet-partitions": NotedTable(partition_table(found), PARTITION_NOTE),
        "bottlenet-gains": NotedTable(gain_table(found), reason(found)),
    }
    return PaperTables(tables, {"bottlenet": partition_record(found)})


def together(parts: Sequence[PaperTables], *, machines: Sequence[str]) -> PaperTables:
    """Join the tables of several papers; ``machines`` says in sentences what they are of."""
    return PaperTables(
        {name: table for part in parts for name, table in part.tables.items()},
        {"machines": list(machines)} | {name: value for part in parts for name, value in part.record.items()},
        tuple(machines),
    )
