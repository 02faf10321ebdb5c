"""Every check finds the mistake that it is there for, in a rendering that is good in all else, and finds it once."""

from dataclasses import dataclass
from typing import Any

import pytest
from good_manifests import SERVE_FILE, good_objects

from cluster.kubernetes.check import check_objects

GONE = object()
NO, YES = False, True


@dataclass(frozen=True)
class Mistake:
    """A value that is put, or taken away, at a place of one object; and what has to be said of it."""

    subject: str
    place: str
    value: Any
    says: str
    at: str | None = None
    """Where the fault is, if not at the place itself; after the object and a colon, if it is another's."""

    @property
    def found_at(self) -> tuple[str, str]:
        if self.at is None:
            return self.subject, self.place.replace("|0", "[0]").replace("|", ".")
        subject, colon, path = self.at.partition(": ")
        return (subject, path) if colon else (self.subject, self.at)

    def plant(self, objects: list[dict[str, Any]]) -> None:
        kind, name = self.subject.split("/")
        here: Any = next(o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name))
        *way, last = (int(key) if key.isdigit() else key for key in self.place.split("|"))
        for key in way:
            here = here[key]
        if self.value is GONE:
            del here[last]
        else:
            here[last] = self.value


AGENT = "spec|template|spec|containers|0"
AGENT_AT = "spec.template.spec.containers[0]"
POD = "spec|template|spec"
POD_AT = "spec.template.spec"
HEAD = "spec|rayClusterConfig|headGroupSpec|template|spec|containers|0"
HEAD_AT = "spec.rayClusterConfig.headGroupSpec.template.spec.containers[0]"
WORKERS = "spec|rayClusterConfig|workerGroupSpecs|0"
WORKERS_AT = "spec.rayClusterConfig.workerGroupSpecs[0]"
PATH = "spec|rules|0|http|paths|0|backend|service"
PATH_AT = "spec.rules[0].http.paths[0].backend.service"


def serve_file(old: str, new: str) -> str:
    assert old in SERVE_FILE
    return SERVE_FILE.replace(old, new)


BUILTIN = [
    Mistake("Deployment/agent", "spec|replica", 2, "no such field", "spec.replica"),
    Mistake("Deployment/agent", "spec|replicas", "two", "'two' is of the wrong type", "spec.replicas"),
    Mistake("Deployment/agent", f"{AGENT}|imagePolicy", "Always", "no such field", f"{AGENT_AT}.imagePolicy"),
    Mistake("Deployment/agent", f"{AGENT}|name", GONE, "'name' is missing", AGENT_AT),
    Mistake("Service/agent", "spec|ports|0|port", "web", "'web' is of the wrong type", "spec.ports[0].port"),
    Mistake("Namespace/made", "metadata|label", {}, "no such field", "metadata.label"),
    Mistake("ConfigMap/settings", "apiVersion", "v7", "nobody here knows ConfigMap of 'v7'", ""),
]
CUSTOM = [
    Mistake("RayService/ray", "spec|serveConfig", "", "no such field", "spec.serveConfig"),
    Mistake("RayService/ray", f"{WORKERS}|maxReplica", 2, "no such field", f"{WORKERS_AT}.maxReplica"),
    Mistake("RayService/ray", f"{WORKERS}|replicas", "1", "'1' is of the wrong type", f"{WORKERS_AT}.replicas"),
    Mistake("RayCluster/training", "spec|workerGroupSpecs|0|groupName", GONE, "'groupName' is missing",
            "spec.workerGroupSpecs[0]"),
    Mistake("RayService/ray", "metadata|annotation", {}, "no such field", "metadata.annotation"),
    Mistake(
        "RayService/ray", f"{HEAD}|ports|1", {"name": "again", "containerPort": 8000},
        "containerPort 8000, protocol 'TCP' stands here twice", f"{HEAD_AT}.ports",
    ),
    Mistake("RayService/ray", f"{HEAD}|resources|requests|cpu", "1 core", "does not match",
            f"{HEAD_AT}.resources.requests.cpu"),
    Mistake("RayCluster/training", "spec|headGroupSpec|serviceType", 1, "wrong type", "spec.headGroupSpec.serviceType"),
    Mistake("RayCluster/training", "apiVersion", "ray.io/v1alpha1", "nobody here knows RayCluster of 'ray.io/v1a", ""),
    Mistake("PodMonitor/ray", "spec|podMetricEndpoints", [], "no such field", "spec.podMetricEndpoints"),
    Mistake("PodMonitor/ray", "spec|podMetricsEndpoints|0|interval", "15 s", "does not match",
            "spec.podMetricsEndpoints[0].interval"),
    Mistake("PrometheusRule/made", "spec|groups|0|rules|0|expression", "up", "no such field",
            "spec.groups[0].rules[0].expression"),
    Mistake("PrometheusRule/made", "spec|groups|0|rules|0|expr", GONE, "'expr' is missing", "spec.groups[0].rules[0]"),
    Mistake("HTTPRoute/made", "spec|rules|0|timeout", "1s", "no such field", "spec.rules[0].timeout"),
    Mistake("Gateway/gateway", "spec|listeners|0|tls|certificates", [], "no such field",
            "spec.listeners[0].tls.certificates"),
    Mistake("Gateway/gateway", "spec|listeners|0|protocol", "WSS", "is not one of", "spec.listeners[0].protocol"),
    Mistake("Gateway/gateway", "spec|listeners|0|allowedRoutes|namespaces|from", "Here", "is not one of",
            "spec.listeners[0].allowedRoutes.namespaces.from"),
]  # fmt: skip
SERVE = [
    Mistake("RayService/ray", "spec|serveConfigV2", GONE, "serves nothing", "spec.serveConfigV2"),
    Mistake("RayService/ray", "spec|serveConfigV2", "applications: [", "this is not YAML", "spec.serveConfigV2"),
    Mistake("RayService/ray", "spec|serveConfigV2", "nothing", "no map of Serve's settings", "spec.serveConfigV2"),
    Mistake("RayService/ray", "spec|serveConfigV2",
            serve_file("max_replicas: 2", "max_replicas: 2, policy: {policy_function: 'nowhere:scale'}"),
            "does not find what it names: No module named 'nowhere'", "spec.serveConfigV2"),
    *(
        Mistake("RayService/ray", "spec|serveConfigV2", serve_file(old, new), says, f"spec.serveConfigV2.{at}")
        for old, new, says, at in (
            ("proxy_location", "proxy_place", "no such setting", "proxy_place"),
            ("http_options: {host", "http_options: {hostname: x, host", "no such setting", "http_options.hostname"),
            ("    route_prefix", "    prefix", "no such setting", "applications[0].prefix"),
            ("env_vars", "env", "no such setting", "applications[0].runtime_env.env"),
            ("{min_replicas: 1, ", "{minimum: 1, ", "no such setting",
             "applications[0].deployments[0].autoscaling_config.minimum"),
            ("num_cpus", "cpus", "no such setting", "applications[0].deployments[0].ray_actor_options.cpus"),
            ("    import_path: somewhere:control\n", "", "Ray Serve refuses it: Field required",
             "applications[0].import_path"),
            ("port: 8000", "port: front", "Ray Serve refuses it: ", "http_options.port"),
            ("EveryNode", "Everywhere", "Ray Serve refuses it: ", "proxy_location"),
        )
    ),
]  # fmt: skip
NAMES = [
    Mistake("Deployment/agent", f"{AGENT}|env|3|valueFrom|secretKeyRef|name", "gone", "no Secret/gone",
            f"{AGENT_AT}.env[3].valueFrom.secretKeyRef"),
    Mistake("Deployment/agent", f"{AGENT}|env|3|valueFrom|secretKeyRef|key", "gone", "Secret/tokens has no entry",
            f"{AGENT_AT}.env[3].valueFrom.secretKeyRef"),
    Mistake("Deployment/agent", f"{AGENT}|env|4|valueFrom|configMapKeyRef|name", "gone", "no ConfigMap/gone",
            f"{AGENT_AT}.env[4].valueFrom.configMapKeyRef"),
    Mistake("Deployment/agent", f"{AGENT}|env|4|valueFrom|configMapKeyRef|key", "gone", "settings has no entry 'gone'",
            f"{AGENT_AT}.env[4].valueFrom.configMapKeyRef"),
    Mistake("Deployment/agent", f"{AGENT}|envFrom|0|configMapRef|name", "gone", "no ConfigMap/gone",
            f"{AGENT_AT}.envFrom[0].configMapRef"),
    Mistake("Deployment/agent", f"{AGENT}|envFrom|1|secretRef|name", "gone", "no Secret/gone",
            f"{AGENT_AT}.envFrom[1].secretRef"),
    Mistake("Deployment/agent", f"{POD}|imagePullSecrets|0|name", "gone", "no Secret/gone",
            f"{POD_AT}.imagePullSecrets[0]"),
    Mistake("Deployment/agent", f"{POD}|serviceAccountName", "gone", "no ServiceAccount/gone in the namespace made",
            f"{POD_AT}.serviceAccountName"),
    Mistake("Deployment/agent", f"{POD}|volumes|0|configMap|name", "gone", "no ConfigMap/gone",
            f"{POD_AT}.volumes[0].configMap"),
    Mistake("Deployment/agent", f"{POD}|volumes|0|configMap|items|0|key", "gone", "settings has no entry 'gone'",
            f"{POD_AT}.volumes[0].configMap"),
    Mistake("Deployment/agent", f"{POD}|volumes|1|secret|secretName", "gone", "no Secret/gone",
            f"{POD_AT}.volumes[1].secret"),
    Mistake("Deployment/agent", f"{POD}|volumes|2|persistentVolumeClaim|claimName", "gone",
            "no PersistentVolumeClaim/gone", f"{POD_AT}.volumes[2].persistentVolumeClaim"),
    Mistake("Deployment/agent", f"{POD}|volumes|3|projected|sources|0|secret|name", "gone", "no Secret/gone",
            f"{POD_AT}.volumes[3].projected.sources[0].secret"),
    Mistake("Ingress/made", "spec|tls|0|secretName", "gone", "no Secret/gone", "spec.tls[0]"),
    Mistake("Gateway/gateway", "spec|listeners|0|tls|certificateRefs|0|name", "gone", "no Secret/gone",
            "spec.listeners[0].tls.certificateRefs[0]"),
    Mistake("PodMonitor/ray", "spec|podMetricsEndpoints|1|authorization|credentials|name", "gone", "no Secret/gone",
            "spec.podMetricsEndpoints[1].authorization.credentials"),
    Mistake("RayService/ray", "spec|rayClusterConfig|authOptions", {"secretName": "gone"}, "no Secret/gone",
            "spec.rayClusterConfig.authOptions"),
    Mistake("RoleBinding/reader", "roleRef|name", "gone", "no Role/gone", "roleRef"),
    Mistake("RoleBinding/reader", "subjects|0|namespace", "other", "no ServiceAccount/agent in the namespace other",
            "subjects[0]"),
    Mistake("HorizontalPodAutoscaler/agent", "spec|scaleTargetRef|name", "gone", "no Deployment/gone",
            "spec.scaleTargetRef"),
    Mistake("Namespace/made", "metadata|annotations|isthmus.dev/made-by-hand", "registry", "no Secret/certificate",
            "Ingress/made: spec.tls[0]"),
]  # fmt: skip
CONTAINERS = [
    Mistake("Deployment/agent", f"{AGENT}|volumeMounts|2|name", "gone", "the pod has no volume 'gone'",
            f"{AGENT_AT}.volumeMounts[2].name"),
    Mistake("Deployment/agent", f"{AGENT}|readinessProbe|httpGet|port", "gone", "the container has no port 'gone'",
            f"{AGENT_AT}.readinessProbe.httpGet.port"),
    Mistake("RayService/ray", f"{HEAD}|livenessProbe|httpGet|port", "gone", "the container has no port 'gone'",
            f"{HEAD_AT}.livenessProbe.httpGet.port"),
]  # fmt: skip
SELECTIONS = [
    Mistake("Service/agent", "spec|selector|app", "gone", "selects no pod", "spec.selector"),
    Mistake("Service/agent", "spec|ports|0|targetPort", "gone", "Deployment/agent declares the port 'gone'",
            "spec.ports[0].targetPort"),
    Mistake("Service/agent", "spec|ports|1|targetPort", 9001, "declares the port 9001", "spec.ports[1].targetPort"),
    Mistake("Deployment/agent", "spec|selector|matchLabels|app", "gone", "the pods of its own template",
            "spec.selector"),
    Mistake("PodDisruptionBudget/agent", "spec|selector|matchLabels|app", "gone", "selects no pod", "spec.selector"),
    Mistake("NetworkPolicy/agent", "spec|podSelector|matchLabels|app", "gone", "selects no pod", "spec.podSelector"),
    Mistake("NetworkPolicy/agent", "spec|ingress|0|from|0|podSelector|matchLabels|ray.io/is-ray-node", "no",
            "selects no pod", "spec.ingress[0].from[0].podSelector"),
    Mistake("NetworkPolicy/agent", "spec|ingress|0|ports|0|port", "gone", "declares the port 'gone'",
            "spec.ingress[0].ports[0].port"),
    Mistake("NetworkPolicy/agent", "spec|egress|0|to|0|podSelector|matchLabels|ray.io/group", "tail",
            "selects no pod", "spec.egress[0].to[0].podSelector"),
    Mistake("NetworkPolicy/agent", "spec|egress|0|ports|0|port", "web", "ray (tails) declares the port 'web'",
            "spec.egress[0].ports[0].port"),
    Mistake("PodMonitor/ray", "spec|selector|matchExpressions|0|values", ["heads"], "selects no pod", "spec.selector"),
    Mistake("PodMonitor/ray", "spec|podMetricsEndpoints|0|port", "metric", "declares the port 'metric'",
            "spec.podMetricsEndpoints[0].port"),
]  # fmt: skip
BACKENDS = [
    Mistake("Ingress/made", f"{PATH}|name", "gone", "no Service/gone in the namespace made", PATH_AT),
    Mistake("Ingress/made", f"{PATH}|port|number", 8001, "Service/ray-serve-svc has no port 8001", PATH_AT),
    Mistake("Ingress/made", "spec|rules|0|http|paths|1|backend|service|port|name", "gone", "agent has no port 'gone'",
            "spec.rules[0].http.paths[1].backend.service"),
    Mistake("HTTPRoute/made", "spec|rules|0|backendRefs|0|name", "gone", "no Service/gone",
            "spec.rules[0].backendRefs[0]"),
    Mistake("HTTPRoute/made", "spec|rules|0|backendRefs|0|port", 80, "has no port 80", "spec.rules[0].backendRefs[0]"),
    Mistake("HTTPRoute/made", "spec|parentRefs|0|name", "gone", "no Gateway/gone in the namespace made",
            "spec.parentRefs[0]"),
    Mistake("HTTPRoute/made", "spec|parentRefs|0|sectionName", "http", "Gateway/gateway has no listener 'http'"),
    # Only Istio's is known to make a Service of this name.
    Mistake("Gateway/gateway", "spec|gatewayClassName", "other", "no Service/gateway-istio",
            "HTTPRoute/made: spec.rules[1].backendRefs[0]"),
]  # fmt: skip
HOSTS = [
    Mistake("Deployment/agent", f"{AGENT}|args|1", "ws://isthmus-serve-svc:8000", "no Service/isthmus-serve-svc",
            f"{AGENT_AT}.args[1]"),
    Mistake("Deployment/agent", f"{AGENT}|args|1", "wss://ray-serve-svc:80", "Service/ray-serve-svc has no port 80",
            f"{AGENT_AT}.args[1]"),
    Mistake("Deployment/agent", f"{AGENT}|env|0|value", "http://ray-head-svc.other.svc", "in the namespace other",
            f"{AGENT_AT}.env[0].value"),
    Mistake("Deployment/agent", f"{AGENT}|command", ["sh", "-c", "exec agent http://gone.made/x"], "no Service/gone",
            f"{AGENT_AT}.command[2]"),
    Mistake("RayService/ray", "spec|serveConfigV2",
            serve_file("collector.elsewhere.example", "collector"), "no Service/collector", "spec.serveConfigV2"),
    Mistake("RayService/ray", "spec|rayClusterConfig|gcsFaultToleranceOptions", {"redisAddress": "redis:6379"},
            "no Service/redis", "spec.rayClusterConfig.gcsFaultToleranceOptions.redisAddress"),
]  # fmt: skip
POLICIES = [
    Mistake("Deployment/agent", f"{POD}|securityContext|runAsNonRoot", GONE, "run as root",
            f"{AGENT_AT}.securityContext.runAsNonRoot"),
    Mistake("Deployment/agent", f"{AGENT}|securityContext|runAsNonRoot", NO, "run as root"),
    Mistake("Deployment/agent", f"{POD}|securityContext|seccompProfile|type", "Unconfined", "profile RuntimeDefault",
            f"{AGENT_AT}.securityContext.seccompProfile"),
    Mistake("Deployment/agent", f"{AGENT}|securityContext|readOnlyRootFilesystem", GONE, "its own image's files"),
    Mistake("Deployment/agent", f"{AGENT}|securityContext|allowPrivilegeEscalation", GONE, "may gain rights"),
    Mistake("Deployment/agent", f"{AGENT}|securityContext|capabilities|drop", ["NET_RAW"], "drop ALL capabilities"),
    Mistake("Deployment/agent", f"{AGENT}|resources|requests|cpu", GONE, "requests no CPU"),
    Mistake("Deployment/agent", f"{AGENT}|resources|requests|memory", GONE, "requests no memory"),
    Mistake("Deployment/agent", f"{AGENT}|resources|limits|memory", GONE, "memory has no limit"),
    Mistake("Deployment/agent", f"{AGENT}|image", "registry.example:5000/agent", "names no version"),
    Mistake("Deployment/agent", f"{AGENT}|image", "agent:latest", "names no version"),
    Mistake("RayService/ray", f"{HEAD}|securityContext|allowPrivilegeEscalation", YES, "may gain rights"),
    Mistake("RayCluster/training", "spec|autoscalerOptions|securityContext|readOnlyRootFilesystem", NO,
            "its own image's files"),
    Mistake("RayCluster/training", "spec|workerGroupSpecs|0|template|spec|containers|0|resources|limits|memory", GONE,
            "memory has no limit"),
]  # fmt: skip


@pytest.mark.parametrize(
    "mistake",
    [*BUILTIN, *CUSTOM, *SERVE, *NAMES, *CONTAINERS, *SELECTIONS, *BACKENDS, *HOSTS, *POLICIES],
    ids=lambda mistake: f"{mistake.subject} {mistake.at or mistake.place} {mistake.says}",
)
def test_a_planted_mistake_is_the_one_fault(mistake: Mistake) -> None:
    objects = good_objects()
    mistake.plant(objects)
    faults = check_objects(objects, "planted")
    assert [(fault.overlay, fault.subject, fault.path) for fault in faults] == [("planted", *mistake.found_at)], faults
    assert mistake.says in faults[0].sentence
