"""A small good rendering, one object of every kind that is checked, for tests to plant mistakes in."""

import json
from typing import Any

Plain = dict[str, Any]

SERVE_FILE = """\
proxy_location: EveryNode
http_options: {host: 0.0.0.0, port: 8000}
applications:
  - name: control
    route_prefix: /v1
    import_path: somewhere:control
    runtime_env: {env_vars: {COLLECTOR: "http://collector.elsewhere.example:4318"}}
    deployments:
      - name: control
        autoscaling_config: {min_replicas: 1, max_replicas: 2}
        user_config: {anything: [goes, here]}
        ray_actor_options: {num_cpus: 0.5}
"""
CLOSED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
NOBODY = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}


def good_objects() -> list[Plain]:
    """Write the objects anew, so that a test may change them."""
    objects = [
        thing("v1", "Namespace", "made", annotations={"isthmus.dev/made-by-hand": "registry, certificate"}),
        thing("v1", "ServiceAccount", "agent"),
        thing("v1", "Secret", "tokens", stringData={"token": "not a real one"}),
        thing("v1", "ConfigMap", "settings", data={"LEVEL": "info", "agent.yaml": "{}"}),
        thing("v1", "PersistentVolumeClaim", "frames", spec=CLAIM),
        thing("rbac.authorization.k8s.io/v1", "Role", "reader", rules=RULES),
        thing(
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            "reader",
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            subjects=[{"kind": "ServiceAccount", "name": "agent", "namespace": "made"}],
        ),
        thing("apps/v1", "Deployment", "agent", spec=AGENT),
        thing(
            "v1",
            "Service",
            "agent",
            spec={
                "selector": {"app": "agent"},
                "ports": [
                    {"name": "web", "port": 80, "targetPort": "web"},
                    {"name": "again", "port": 81, "targetPort": 9000},
                ],
            },
        ),
        thing("policy/v1", "PodDisruptionBudget", "agent", spec={"maxUnavailable": 1, "selector": labels("agent")}),
        thing("networking.k8s.io/v1", "NetworkPolicy", "agent", spec=POLICY),
        thing("networking.k8s.io/v1", "Ingress", "made", spec=INGRESS),
        thing("gateway.networking.k8s.io/v1", "Gateway", "gateway", spec=GATEWAY),
        thing("gateway.networking.k8s.io/v1", "HTTPRoute", "made", spec=ROUTE),
        thing(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            "agent",
            spec={
                "maxReplicas": 3,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "agent"},
            },
        ),
        thing(
            "monitoring.coreos.com/v1",
            "PodMonitor",
            "ray",
            spec={
                "selector": {
                    "matchExpressions": [{"key": "ray.io/node-type", "operator": "In", "values": ["head", "worker"]}]
                },
                "podMetricsEndpoints": [
                    {"port": "metrics", "interval": "15s"},
                    {"port": "serve", "authorization": {"credentials": {"name": "tokens", "key": "token"}}},
                ],
            },
        ),
        thing(
            "monitoring.coreos.com/v1",
            "PrometheusRule",
            "made",
            spec={"groups": [{"name": "made", "rules": [{"alert": "Down", "expr": "up == 0", "for": "5m"}]}]},
        ),
        thing("ray.io/v1", "RayCluster", "training", spec=cluster("trainers")),
        thing(
            "ray.io/v1", "RayService", "ray", spec={"serveConfigV2": SERVE_FILE, "rayClusterConfig": cluster("tails")}
        ),
    ]
    # Through JSON, so that no two of them share a part.
    return list(json.loads(json.dumps(objects)))


def thing(api_version: str, kind: str, name: str, *, annotations: Plain | None = None, **fields: Any) -> Plain:
    metadata: Plain = {"name": name} if kind == "Namespace" else {"name": name, "namespace": "made"}
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def labels(app: str) -> Plain:
    return {"matchLabels": {"app": app}}


def cluster(group: str) -> Plain:
    return {
        "rayVersion": "2.60.0",
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {"securityContext": CLOSED},
        "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": {"spec": ray_pod("ray-head")}},
        "workerGroupSpecs": [
            {
                "groupName": group,
                "replicas": 1,
                "rayStartParams": {},
                "template": {"metadata": {"labels": {"app": group}}, "spec": ray_pod("ray-worker")},
            }
        ],
    }


def ray_pod(name: str) -> Plain:
    return {
        "securityContext": NOBODY,
        "containers": [
            {
                "name": name,
                "image": "registry.example:5000/cluster:1.0",
                "securityContext": CLOSED,
                "resources": RESOURCES,
                "ports": [{"name": "serve", "containerPort": 8000}, {"containerPort": 6379}],
                "livenessProbe": {"httpGet": {"path": "/metrics", "port": "metrics"}},
            }
        ],
    }


CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
AGENT = {
    "selector": labels("agent"),
    "template": {
        "metadata": {"labels": {"app": "agent"}},
        "spec": {
            "serviceAccountName": "agent",
            "securityContext": NOBODY,
            "imagePullSecrets": [{"name": "registry"}],
            "containers": [
                {
                    "name": "agent",
                    "image": "registry.example:5000/agent@sha256:" + "0" * 64,
                    "args": ["--cluster", "ws://ray-serve-svc:8000/v1", "--log", "https://logs.example.com"],
                    "env": [
                        {"name": "CONTROL", "value": "http://ray-head-svc.made.svc.cluster.local:8000"},
                        {"name": "TRAINING", "value": "http://training-head-svc:6379"},
                        {"name": "SELF", "value": "http://localhost:1/ http://127.0.0.1:9/"},
                        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "token"}}},
                        {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "LEVEL"}}},
                        {
                            "name": "EXTRA",
                            "valueFrom": {"secretKeyRef": {"name": "none", "key": "x", "optional": True}},
                        },
                    ],
                    "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "tokens"}}],
                    "ports": [{"name": "web", "containerPort": 9000}],
                    "readinessProbe": {"httpGet": {"path": "/", "port": "web"}},
                    "securityContext": CLOSED,
                    "resources": RESOURCES,
                    "volumeMounts": [
                        {"name": "settings", "mountPath": "/etc/agent"},
                        {"name": "tokens", "mountPath": "/etc/tokens"},
                        {"name": "frames", "mountPath": "/frames"},
                        {"name": "both", "mountPath": "/both"},
                    ],
                }
            ],
            "volumes": [
                {
                    "name": "settings",
                    "configMap": {"name": "settings", "items": [{"key": "agent.yaml", "path": "agent.yaml"}]},
                },
                {"name": "tokens", "secret": {"secretName": "tokens"}},
                {"name": "frames", "persistentVolumeClaim": {"claimName": "frames"}},
                {
                    "name": "both",
                    "projected": {"sources": [{"secret": {"name": "tokens"}}, {"configMap": {"name": "settings"}}]},
                },
            ],
        },
    },
}
POLICY = {
    "podSelector": labels("agent"),
    "policyTypes": ["Ingress", "Egress"],
    "ingress": [
        {
            "from": [{"podSelector": {"matchLabels": {"ray.io/is-ray-node": "yes"}}}],
            "ports": [{"port": "web"}, {"port": 9000}],
        }
    ],
    "egress": [
        {"to": [{"podSelector": {"matchLabels": {"ray.io/group": "tails"}}}], "ports": [{"port": "serve"}]},
        {"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}]},
    ],
}
INGRESS = {
    "tls": [{"hosts": ["made.example"], "secretName": "certificate"}],
    "rules": [
        {
            "host": "made.example",
            "http": {
                "paths": [
                    {
                        "path": "/v1",
                        "pathType": "Prefix",
                        "backend": {"service": {"name": "ray-serve-svc", "port": {"number": 8000}}},
                    },
                    {
                        "path": "/agent",
                        "pathType": "Prefix",
                        "backend": {"service": {"name": "agent", "port": {"name": "web"}}},
                    },
                ]
            },
        }
    ],
}
GATEWAY = {
    "gatewayClassName": "istio",
    "listeners": [
        {
            "name": "https",
            "port": 443,
            "protocol": "HTTPS",
            "hostname": "made.example",
            "tls": {"mode": "Terminate", "certificateRefs": [{"kind": "Secret", "name": "tokens"}]},
            "allowedRoutes": {"namespaces": {"from": "Same"}},
        }
    ],
}
ROUTE = {
    "parentRefs": [{"name": "gateway", "sectionName": "https"}],
    "rules": [
        {"backendRefs": [{"name": "ray-serve-svc", "port": 8000}], "timeouts": {"request": "0s"}},
        {"backendRefs": [{"name": "gateway-istio", "port": 443}]},
    ],
}
