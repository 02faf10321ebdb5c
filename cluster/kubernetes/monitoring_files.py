"""The files of ``k8s/components/monitoring`` that are made: the PrometheusRule of the rules, and the dashboards.

``python -m cluster.kubernetes.monitoring_files K8S_FOLDER`` makes them anew.
"""

import json
import sys
from pathlib import Path
from typing import Final

import yaml  # type: ignore[import-untyped]  # it ships no stubs

from cluster.kubernetes.agents_dashboard import AGENTS_DASHBOARD
from cluster.kubernetes.cluster_dashboard import CLUSTER_DASHBOARD

RULES: Final = Path("monitoring/rules.yml")
COMPONENT: Final = Path("components/monitoring")
MADE: Final = "# Made by `make k8s-monitoring`: change k8s/monitoring/rules.yml, and make it again.\n"


def monitoring_files(manifests: Path) -> dict[Path, str]:
    """Give what each made file should hold, by its path below the folder of the manifests."""
    groups = yaml.safe_load((manifests / RULES).read_text(encoding="utf-8"))["groups"]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "isthmus"},
        "spec": {"groups": groups},
    }
    made = {COMPONENT / "prometheus-rule.yaml": MADE + yaml.safe_dump(rule, sort_keys=False, width=120)}
    for dashboard in (CLUSTER_DASHBOARD, AGENTS_DASHBOARD):
        text = json.dumps(dashboard.as_json(), indent=2) + "\n"
        made[COMPONENT / "dashboards" / f"{dashboard.uid}.json"] = text
    return made


if __name__ == "__main__":
    root = Path(sys.argv[1])
    for path, text in monitoring_files(root).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {root / path}\n")
