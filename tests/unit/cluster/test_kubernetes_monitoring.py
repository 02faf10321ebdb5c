"""What watches a cluster asks only for what the cluster says, and is made of one source."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.kubernetes.dashboard import Dashboard, Panel, Query, Row, Variable
from cluster.kubernetes.monitoring_files import COMPONENT, RULES, monitoring_files
from cluster.kubernetes.prometheus_query import PrometheusQuery, dashboard_queries, rule_queries
from device_agent.metrics import AgentMetrics
from serve_apps.control_watch import ControlWatch
from serve_apps.guard import NO_GUARD
from serve_apps.replica_board import ReplicaBoard
from serve_apps.replica_metrics import ReplicaMetrics
from serve_apps.replica_watch import ReplicaSeen
from wire.ids import BundleDigest, PointName
from wire.messages import LoadSignal

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "k8s"
DASHBOARDS = sorted((MANIFESTS / COMPONENT / "dashboards").glob("*.json"))
OF_PROMETHEUS = {"up"}
ANCHOR = re.compile(r"docs/deploy\.md#(\S+)$")


def shipped() -> list[PrometheusQuery]:
    asked = [query for file in DASHBOARDS for query in dashboard_queries(file, rate_interval="1m")]
    return [*rule_queries(MANIFESTS / RULES), *asked]


def exported() -> set[str]:
    """The names of every sample that a cluster and an agent can give."""
    load = LoadSignal(
        point=PointName("mid"), state="ready", service_s=0.0, queue_s=0.0, utilisation=0.0, in_flight=0, replicas=1
    )
    board = ReplicaBoard()
    seen = ReplicaSeen(
        replica="one", bundle=BundleDigest("a" * 64), load=load, frames=0, frames_s=0.0, streams=0, agents=(),
        metrics=ReplicaMetrics().plain(),
    )  # fmt: skip
    board.note(seen)
    watch = ControlWatch(board, _no_signals, NO_GUARD, newest=lambda: "")
    return set(_names([*watch.registry.collect(), *AgentMetrics().registry.collect()]))


async def _no_signals() -> list[LoadSignal]:
    return []


def _names(families: Iterable[Any]) -> Iterable[str]:
    """Name the samples of families, those with labels that nobody used yet too."""
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    for family in families:
        for ending in endings.get(family.type, ("",)):
            yield f"{family.name}{ending}"


@pytest.mark.parametrize("query", shipped(), ids=lambda query: query.where)
def test_a_query_names_only_metrics_that_the_code_exports_or_the_rules_record(query: PrometheusQuery) -> None:
    recorded = {rule["record"] for _, rule in rules() if "record" in rule}
    assert query.metrics
    assert query.metrics <= exported() | recorded | OF_PROMETHEUS


@pytest.mark.parametrize(
    ("expression", "metrics"),
    [
        ("up", {"up"}),
        ('sum by (point, le) (rate(a_total{code!="b_total",point=~"c|d"}[1m])) > 0.5e3', {"a_total"}),
        ("a / on (x, y) group_left (z) b offset 5m", {"a", "b"}),
        ("histogram_quantile(0.95, sum by (le) (rate(a_bucket[5m])))", {"a_bucket"}),
        ('absent(up{job="a b"}) or (job:a:b == bool 1 unless c)', {"up", "job:a:b", "c"}),
        ("a >= 1 and inf", {"a"}),
    ],
)
def test_the_metrics_of_an_expression_are_told_from_its_labels_functions_and_words(
    expression: str, metrics: set[str]
) -> None:
    assert PrometheusQuery("here", "panel", expression).metrics == metrics


def test_what_grafana_puts_into_a_query_is_put_there(tmp_path: Path) -> None:
    panel = Panel(title="p", queries=(Query('rate(a{point=~"$point",x="${x}"}[$__rate_interval])'),))
    made = Dashboard(uid="u", title="t", variables=(Variable("point", "b"),), rows=(Row("r", (panel,)),))
    file = tmp_path / "u.json"
    file.write_text(json.dumps(made.as_json()))
    asked = [(query.where, query.expression) for query in dashboard_queries(file, rate_interval="30s")]
    assert asked == [
        ("u.json: p", 'rate(a{point=~".*",x=".*"}[30s])'), ("u.json: $point", "count by (point) (b)"),
    ]  # fmt: skip


def test_a_question_for_a_metric_that_nobody_exports_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text((MANIFESTS / RULES).read_text().replace("isthmus_point_queue_seconds", "isthmus_point_queue_s"))
    strange = {name for query in rule_queries(file) for name in query.metrics} - exported()
    assert "isthmus_point_queue_s" in strange


def test_panels_neither_overlap_nor_stand_beyond_the_edge() -> None:
    for file in DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(file.read_text())["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not cells & taken, panel["title"]
            assert at["x"] + at["w"] <= 24
            taken |= cells


@pytest.mark.parametrize("path", monitoring_files(MANIFESTS), ids=str)
def test_a_made_file_is_as_it_would_be_made_now(path: Path) -> None:
    assert (MANIFESTS / path).read_text() == monitoring_files(MANIFESTS)[path], "make it again: make k8s-monitoring"


def test_the_prometheus_rule_holds_the_groups_of_the_rules_and_nothing_else() -> None:
    made = yaml.safe_load((MANIFESTS / COMPONENT / "prometheus-rule.yaml").read_text())
    assert made["spec"] == yaml.safe_load((MANIFESTS / RULES).read_text())


def rules() -> list[tuple[str, dict[str, Any]]]:
    groups = yaml.safe_load((MANIFESTS / RULES).read_text())["groups"]
    return [(group["name"], rule) for group in groups for rule in group["rules"]]


@pytest.mark.parametrize("alert", [rule for _, rule in rules() if "alert" in rule], ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_in_a_sentence_and_where_it_is_told_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert alert["for"]
    assert len(alert["annotations"]["summary"]) < 100
    anchor = ANCHOR.search(alert["annotations"]["description"])
    assert anchor is not None
    assert anchor[1] == alert["alert"].lower()
    guide = ROOT / "docs" / "deploy.md"
    if guide.exists():
        assert re.search(rf"^#+ {alert['alert']}$", guide.read_text(), re.MULTILINE), "it has no section there"
