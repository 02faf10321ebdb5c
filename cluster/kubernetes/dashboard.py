"""A Grafana dashboard: records of what it shows, and the JSON that Grafana reads.

Owns how panels lie and look. What they show is said by ``cluster_dashboard`` and ``agents_dashboard``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

Unit = Literal["short", "s", "percentunit", "Bps", "bytes", "reqps", "watt", "none"]
"""What Grafana calls the unit of a panel."""

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
WIDTH: Final = 24
STAT_SIZE: Final = (4, 4)
SERIES_SIZE: Final = (8, 8)
SCHEMA_VERSION: Final = 39
"""Of Grafana 11; a newer one migrates it."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus, and how its series are called: a label in double braces is that label's value."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Queries that are drawn together."""

    title: str
    unit: Unit = "short"
    queries: tuple[Query, ...]
    kind: Literal["timeseries", "stat"] = "timeseries"
    says: str = ""
    """What a person should know to read it."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels below one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """Something to choose at the top, of the values that a metric's label has; all of them by default."""

    name: str
    metric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One dashboard."""

    uid: str
    title: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]

    def as_json(self) -> dict[str, Any]:
        """Give it as Grafana imports it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "tags": ["isthmus"],
            "schemaVersion": SCHEMA_VERSION,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "10s",
            "time": {"from": "now-30m", "to": "now"},
            "templating": {"list": [_datasource(), *map(_variable, self.variables)]},
            "panels": list(_panels(self.rows)),
        }


def _panels(rows: tuple[Row, ...]) -> Iterator[dict[str, Any]]:
    """Lay the panels out from left to right, and below each other where a line is full."""
    number, top = 1, 0
    for row in rows:
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": _place(0, top, WIDTH, 1)}
        number, top, left, tallest = number + 1, top + 1, 0, 0
        for panel in row.panels:
            width, height = STAT_SIZE if panel.kind == "stat" else SERIES_SIZE
            if left + width > WIDTH:
                left, top, tallest = 0, top + tallest, 0
            yield _panel(panel, number) | {"gridPos": _place(left, top, width, height)}
            number, left, tallest = number + 1, left + width, max(tallest, height)
        top += tallest


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    options: dict[str, Any] = {"tooltip": {"mode": "multi"}}
    if panel.kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": options,
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": query.expression,
             "legendFormat": query.legend}
            for index, query in enumerate(panel.queries)
        ],
    }  # fmt: skip


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "type": "query",
        "datasource": DATASOURCE,
        "query": f"label_values({variable.metric}, {variable.name})",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _place(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}
