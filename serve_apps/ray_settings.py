"""What Ray and Ray Serve must be told before they are imported. The one place that writes Ray's environment."""

import os
import secrets
from pathlib import Path
from typing import Final

from cluster.free_ports import free_ports

NAMESPACE: Final = "isthmus"
NODE_ENVIRONMENT: Final = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    "RAY_SERVE_HAPROXY_NBTHREAD": "2",
    # Three in vain end it and start another; every 10 s, as is Ray's own way, takes half a minute.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
    # A node whose raylet is gone is dead after five in vain; one that is only slow has a minute.
    "RAY_health_check_period_ms": "1000",
    # So long a replica that is being stopped still answers: its agents are sent elsewhere meanwhile.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "3",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""What every node of a cluster has to have in its environment before Ray starts there."""


def prepare_ray(folder: Path) -> None:
    """Set the environment of this process and of every process that Ray starts from it.

    HAProxy fronts the replicas (twenty times the frames of Serve's own proxy), and keeps its files in ``folder``
    so that two clusters on one machine do not meet.
    """
    # A socket's path may have 97 bytes, of which the id of a Ray node takes 57; the shorter this is, the longer may the
    # path of the temporary files be.
    haproxy = folder / "ha"
    haproxy.mkdir(parents=True, exist_ok=True)
    statistics, metrics = free_ports(2)
    os.environ.update(
        {
            **NODE_ENVIRONMENT,
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "s"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(statistics),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
            "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "0.5",
            "RAY_DEDUP_LOGS": "0",
        }
    )


def close_ray(folder: Path) -> None:
    """Have Ray itself ask for a secret, which only this user can read; before it starts, and after ``prepare_ray``.

    Its own ports are open on every interface, and whoever reaches them without one runs what he likes.
    """
    secret = folder / "ray-secret"
    with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32))
    os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(secret)})
