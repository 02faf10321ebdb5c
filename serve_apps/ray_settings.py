"""What Ray and Ray Serve must be told before they are imported. The one place that writes Ray's environment."""

import os
from pathlib import Path
from typing import Final

from cluster.free_ports import free_ports

NAMESPACE: Final = "isthmus"


def prepare_ray(folder: Path) -> None:
    """Set the environment of this process and of every process that Ray starts from it.

    HAProxy fronts the replicas (twenty times the frames of Serve's own proxy), and keeps its files in ``folder``
    so that two clusters on one machine do not meet.
    """
    # A socket path may have 107 bytes at most; the folder is a short one made for this.
    haproxy = folder / "haproxy"
    haproxy.mkdir(parents=True, exist_ok=True)
    statistics, metrics = free_ports(2)
    os.environ.update(
        {
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
            "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
            "RAY_SERVE_HAPROXY_STATS_PORT": str(statistics),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
            "RAY_SERVE_HAPROXY_NBTHREAD": "2",
            # On one machine nobody is behind a balancer that has to notice first.
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.5",
            "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "0.5",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "RAY_DEDUP_LOGS": "0",
        }
    )
