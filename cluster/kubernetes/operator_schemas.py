"""Schemas, written by hand, of what other operators' resources our manifests use; no more of them than that.

A field that is missing here is refused: add it with its type, from the operator's own reference.
"""

from typing import Any, Final

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "integer"}
DURATION: Final[Schema] = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w|y))+$"}
TEXTS: Final[Schema] = {"type": "object", "additionalProperties": TEXT}


def _map(required: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _list(items: Schema, *, least: int = 0) -> Schema:
    return {"type": "array", "items": items, "minItems": least}


def _resource(spec: Schema) -> Schema:
    return _map(
        ("apiVersion", "kind", "metadata", "spec"), apiVersion=TEXT, kind=TEXT, metadata={"type": "object"}, spec=spec
    )


_SELECTOR: Final = _map(
    matchLabels=TEXTS,
    matchExpressions=_list(
        _map(
            ("key", "operator"),
            key=TEXT,
            operator={"enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
            values=_list(TEXT),
        )
    ),
)
_KEY: Final = _map(("key",), name=TEXT, key=TEXT, optional={"type": "boolean"})
_RELABELLING: Final = _map(
    sourceLabels=_list(TEXT),
    separator=TEXT,
    targetLabel=TEXT,
    regex=TEXT,
    modulus=NUMBER,
    replacement=TEXT,
    action=TEXT,
)
_ENDPOINT: Final = _map(
    port=TEXT,
    portNumber=NUMBER,
    path=TEXT,
    scheme={"enum": ["http", "https", "HTTP", "HTTPS"]},
    interval=DURATION,
    scrapeTimeout=DURATION,
    honorLabels={"type": "boolean"},
    authorization=_map(type=TEXT, credentials=_KEY),
    relabelings=_list(_RELABELLING),
    metricRelabelings=_list(_RELABELLING),
)
_RULE: Final = {
    **_map(
        ("expr",),
        record=TEXT,
        alert=TEXT,
        expr={"type": ["string", "integer"]},
        labels=TEXTS,
        annotations=TEXTS,
        **{"for": DURATION, "keep_firing_for": DURATION},
    ),
    "oneOf": [{"required": ["record"]}, {"required": ["alert"]}],
}
_BACKEND: Final = _map(("name",), name=TEXT, namespace=TEXT, port=NUMBER, weight=NUMBER, group=TEXT, kind=TEXT)
_PARENT: Final = _map(("name",), name=TEXT, namespace=TEXT, sectionName=TEXT, port=NUMBER, group=TEXT, kind=TEXT)
_LISTENER: Final = _map(
    ("name", "port", "protocol"),
    name=TEXT,
    hostname=TEXT,
    port={"type": "integer", "minimum": 1, "maximum": 65535},
    protocol={"enum": ["HTTP", "HTTPS", "TLS", "TCP", "UDP"]},
    tls=_map(
        mode={"enum": ["Terminate", "Passthrough"]},
        certificateRefs=_list(_map(("name",), group=TEXT, kind=TEXT, name=TEXT, namespace=TEXT)),
        options=TEXTS,
    ),
    allowedRoutes=_map(
        namespaces=_map(**{"from": {"enum": ["All", "Selector", "Same", "None"]}}, selector=_SELECTOR),
        kinds=_list(_map(("kind",), group=TEXT, kind=TEXT)),
    ),
)
_ROUTE_RULE: Final = _map(
    name=TEXT,
    matches=_list(
        _map(
            path=_map(type={"enum": ["Exact", "PathPrefix", "RegularExpression"]}, value=TEXT),
            headers=_list(_map(("name", "value"), type=TEXT, name=TEXT, value=TEXT)),
            method=TEXT,
        )
    ),
    timeouts=_map(request=DURATION, backendRequest=DURATION),
    backendRefs=_list(_BACKEND, least=1),
)

OPERATOR_SCHEMAS: Final[dict[tuple[str, str], Schema]] = {
    ("monitoring.coreos.com/v1", "PodMonitor"): _resource(
        _map(
            ("selector", "podMetricsEndpoints"),
            jobLabel=TEXT,
            podTargetLabels=_list(TEXT),
            selector=_SELECTOR,
            namespaceSelector=_map(any={"type": "boolean"}, matchNames=_list(TEXT)),
            podMetricsEndpoints=_list(_ENDPOINT, least=1),
        )
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): _resource(
        _map(
            ("groups",),
            groups=_list(
                _map(("name", "rules"), name=TEXT, interval=DURATION, labels=TEXTS, rules=_list(_RULE, least=1)),
                least=1,
            ),
        )
    ),
    ("gateway.networking.k8s.io/v1", "Gateway"): _resource(
        _map(
            ("gatewayClassName", "listeners"),
            gatewayClassName=TEXT,
            listeners=_list(_LISTENER, least=1),
            infrastructure=_map(
                labels=TEXTS, annotations=TEXTS, parametersRef=_map(("name",), group=TEXT, kind=TEXT, name=TEXT)
            ),
        )
    ),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): _resource(
        _map(
            ("parentRefs", "rules"),
            parentRefs=_list(_PARENT, least=1),
            hostnames=_list(TEXT),
            rules=_list(_ROUTE_RULE, least=1),
        )
    ),
}
"""The schemas by apiVersion and kind."""
