"""Whether everything that selects pods selects some, and finds the ports that it names there."""

from collections.abc import Iterator, Sequence

from cluster.kubernetes.fault import Fault
from cluster.kubernetes.label_selector import selects, selects_all
from cluster.kubernetes.manifest import Manifest
from cluster.kubernetes.plain import Plain, list_at, map_at, numbered, place, text_at, value_at
from cluster.kubernetes.pod_template import WORKLOADS, PodTemplate
from cluster.kubernetes.rendering import Rendering


def selection_faults(rendering: Rendering) -> Iterator[Fault]:
    """Check the selectors of Services, workloads, NetworkPolicies, disruption budgets and PodMonitors."""
    for manifest in rendering.manifests:
        match manifest.kind:
            case "Service":
                yield from _service(rendering, manifest)
            case "NetworkPolicy":
                yield from _network_policy(rendering, manifest)
            case "PodDisruptionBudget":
                yield from _empty(manifest, "spec.selector", _pods(rendering, manifest, "selector"))
            case "PodMonitor":
                yield from _pod_monitor(rendering, manifest)
            case kind if kind in WORKLOADS:
                yield from _workload(rendering, manifest)


def _service(rendering: Rendering, manifest: Manifest) -> Iterator[Fault]:
    wanted = map_at(manifest.plain, "spec", "selector")
    if not wanted:
        return
    pods = [pod for pod in rendering.pods_in(manifest.namespace) if selects_all(wanted, pod.labels)]
    yield from _empty(manifest, "spec.selector", pods)
    for path, port in numbered(manifest.plain, "spec", "ports", path=""):
        target = port.get("targetPort", port.get("port"))
        yield from _no_port(manifest, place(path, "targetPort"), target, pods)


def _workload(rendering: Rendering, manifest: Manifest) -> Iterator[Fault]:
    selector = map_at(manifest.plain, "spec", "selector")
    own = [pod for pod in rendering.pods if pod.owner is manifest]
    if selector and not all(selects(selector, pod.labels) for pod in own):
        yield manifest.fault("spec.selector", "it does not select the pods of its own template")


def _network_policy(rendering: Rendering, manifest: Manifest) -> Iterator[Fault]:
    pods = _pods(rendering, manifest, "podSelector")
    yield from _empty(manifest, "spec.podSelector", pods)
    for rules, peers in (("ingress", "from"), ("egress", "to")):
        for path, rule in numbered(manifest.plain, "spec", rules, path=""):
            others = []
            for where, peer in numbered(rule, peers, path=path):
                # Pods of other namespaces are not in the rendering.
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    found = _selected(rendering.pods_in(manifest.namespace), map_at(peer, "podSelector"))
                    yield from _empty(manifest, place(where, "podSelector"), found)
                    others += found
            listeners = pods if rules == "ingress" else others
            for where, port in numbered(rule, "ports", path=path):
                if isinstance(port.get("port"), str):
                    yield from _no_port(manifest, place(where, "port"), port["port"], listeners)


def _pod_monitor(rendering: Rendering, manifest: Manifest) -> Iterator[Fault]:
    namespaces = list_at(manifest.plain, "spec", "namespaceSelector", "matchNames") or [manifest.namespace]
    if value_at(manifest.plain, "spec", "namespaceSelector", "any") is True:
        namespaces = sorted(rendering.namespaces)
    candidates = [pod for namespace in namespaces for pod in rendering.pods_in(namespace)]
    pods = _selected(candidates, map_at(manifest.plain, "spec", "selector"))
    yield from _empty(manifest, "spec.selector", pods)
    for path, endpoint in numbered(manifest.plain, "spec", "podMetricsEndpoints", path=""):
        for key in ("port", "portNumber"):
            if key in endpoint:
                yield from _no_port(manifest, place(path, key), endpoint[key], pods)


def _pods(rendering: Rendering, manifest: Manifest, key: str) -> list[PodTemplate]:
    return _selected(rendering.pods_in(manifest.namespace), map_at(manifest.plain, "spec", key))


def _selected(pods: Sequence[PodTemplate], selector: Plain) -> list[PodTemplate]:
    return [pod for pod in pods if selects(selector, pod.labels)]


def _empty(manifest: Manifest, path: str, pods: Sequence[PodTemplate]) -> Iterator[Fault]:
    if not pods:
        yield manifest.fault(path, "it selects no pod of the rendering")


def _no_port(manifest: Manifest, path: str, port: object, pods: Sequence[PodTemplate]) -> Iterator[Fault]:
    """Miss a port in the pods; where there are none, that is said already."""
    if pods and not any(pod.has_port(port) for pod in pods):
        named = ", ".join(sorted({f"{pod.owner.title}{_group(pod)}" for pod in pods}))
        yield manifest.fault(path, f"no container of {named} declares the port {port!r}")


def _group(pod: PodTemplate) -> str:
    group = text_at(dict(pod.labels), "ray.io/group")
    return f" ({group})" if group else ""
