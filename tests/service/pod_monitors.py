"""What Prometheus' operator makes of the PodMonitors and the PrometheusRule that ship, for pods of this machine."""

from collections.abc import Callable, Collection, Iterator
from typing import Final

import yaml
from debian_binaries import ROOT
from pod import Pod

from cluster.kubernetes.label_selector import selects
from cluster.kubernetes.plain import Plain, list_at, map_at

COMPONENT: Final = ROOT / "k8s" / "components" / "monitoring"
EVERY: Final = "2s"
"""In place of the shipped intervals, so that rates are there soon."""

Secret = Callable[[str, str], str]
"""Gives the text of a Secret by its name and key."""


def configuration_of(pods: Collection[Pod], secret: Secret) -> str:
    """Give the configuration by which Prometheus scrapes every port of these pods that a monitor names."""
    monitors = yaml.safe_load_all((COMPONENT / "pod-monitors.yaml").read_text())
    jobs = [job for monitor in monitors for job in _jobs(monitor, pods, secret)]
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": EVERY, "evaluation_interval": EVERY},
            "rule_files": ["rules.yml"],
            "scrape_configs": jobs,
        }
    )


def rules() -> str:
    """Give the rules as the operator hands them to Prometheus."""
    rule = yaml.safe_load((COMPONENT / "prometheus-rule.yaml").read_text())
    return yaml.safe_dump({"groups": rule["spec"]["groups"]})


def _jobs(monitor: Plain, pods: Collection[Pod], secret: Secret) -> Iterator[Plain]:
    spec = map_at(monitor, "spec")
    chosen = [pod for pod in pods if selects(map_at(spec, "selector"), pod.labels)]
    for number, endpoint in enumerate(list_at(spec, "podMetricsEndpoints")):
        job = {
            "job_name": f"{monitor['metadata']['name']}/{number}",
            "metrics_path": endpoint.get("path", "/metrics"),
            "static_configs": [
                {
                    "targets": [f"{pod.address}:{pod.port(endpoint['port'])}"],
                    "labels": {"pod": pod.name, "__meta_kubernetes_pod_node_name": pod.node_name},
                }
                for pod in chosen
            ],
            "relabel_configs": [_relabelling(each) for each in list_at(endpoint, "relabelings")],
        }
        if credentials := map_at(endpoint, "authorization", "credentials"):
            job["authorization"] = {"credentials": secret(credentials["name"], credentials["key"])}
        yield job


def _relabelling(plain: Plain) -> Plain:
    words = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return {words.get(key, key): value for key, value in plain.items()}
