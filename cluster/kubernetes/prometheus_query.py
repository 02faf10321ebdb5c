"""Every question that rules and dashboards put to Prometheus, and the metrics that it is about.

Owns the reading of both files as they ship, so that what a person changes by hand in one of them is seen too.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import yaml  # type: ignore[import-untyped]  # it ships no stubs

VARIABLE: Final = re.compile(r"\$\{?(?!__)(\w+)\}?")
WORDS: Final = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan"})
_TEXTS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|' r"'(?:[^'\\]|\\.)*'")
_LABELS: Final = re.compile(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME: Final = re.compile(r"(?<![\w.:])([A-Za-z_:][\w:]*)\b(?!\s*\()")


@dataclass(frozen=True, slots=True)
class PrometheusQuery:
    """One expression, and where it stands."""

    where: str
    """As in ``isthmus-cluster.json: Busy, by point``."""
    kind: Literal["record", "alert", "panel", "variable"]
    expression: str

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that it names, recorded ones too."""
        bare = _LABELS.sub(" ", _TEXTS.sub('""', self.expression))
        return frozenset(name for name in _NAME.findall(bare) if name not in WORDS)


def rule_queries(file: Path) -> Iterator[PrometheusQuery]:
    """Give the expressions of a file of rules."""
    for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            kind: Literal["record", "alert"] = "alert" if "alert" in rule else "record"
            yield PrometheusQuery(f"{file.name}: {rule[kind]}", kind, rule["expr"])


def dashboard_queries(file: Path, *, rate_interval: str, chosen: str = ".*") -> Iterator[PrometheusQuery]:
    """Give the queries of a dashboard, with ``chosen`` for each of its variables.

    ``rate_interval`` stands for Grafana's own ``$__rate_interval``, as in ``30s``.
    """
    plain = json.loads(file.read_text(encoding="utf-8"))
    for panel in plain["panels"]:
        for target in panel.get("targets", ()):
            expression = VARIABLE.sub(chosen, target["expr"].replace("$__rate_interval", rate_interval))
            yield PrometheusQuery(f"{file.name}: {panel['title']}", "panel", expression)
    for variable in plain["templating"]["list"]:
        if variable["type"] == "query":
            yield PrometheusQuery(f"{file.name}: ${variable['name']}", "variable", _asked(variable))


def _asked(variable: dict[str, Any]) -> str:
    """Give the metric of ``label_values(METRIC, LABEL)``, which is Grafana's own and no expression."""
    metric, _, label = variable["query"].removeprefix("label_values(").removesuffix(")").partition(",")
    return f"count by ({label.strip()}) ({metric})"
