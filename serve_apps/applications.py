"""The Serve applications of a cluster: how each is built, and how all of them are deployed, at once or by a file.

`isthmus up` deploys them from here, and Ray's own `serve deploy` of what `isthmus serve-config` wrote builds the very
same by ``point_application`` and ``control_application``. One of the few files that import Ray.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ray import serve
from ray.serve import Application
from ray.serve.deployment import Deployment
from ray.serve.schema import ServeDeploySchema

from serve_apps.app_names import BUNDLES, CONTROL_APP, app_name
from serve_apps.bundle_shelf import served_points
from serve_apps.cluster_config import ClusterConfig, config_from_plain, without_bundles
from serve_apps.control_replica import ControlReplica
from serve_apps.deployments import TailReplica
from serve_apps.health import PERIOD_S, TIMEOUT_S
from serve_apps.point_config import PointConfig
from wire.bundle import Bundle
from wire.errors import SettingError, TailFailed
from wire.ids import PointName
from wire.records import to_plain

CONTROL_CALLS: Final = 1000
WAIT_LOOP_S: Final = 0.2
STOP_S: Final = 10.0
"""How long a replica may take to stop: it drains for some of it, and gives its models back."""
METRICS_S: Final = 0.5
LOOK_BACK_S: Final = 3.0
VERSION: Final = "isthmus"
"""Of every deployment's code while a cluster runs: what changes then is ``user_config``, which Serve tells running
replicas, where it would start them anew for another version."""
POLICY: Final = "serve_apps.point_scaler:PointScaler"

_TAIL: Final = serve.ingress()(TailReplica)
_CONTROL: Final = serve.ingress()(ControlReplica)


def point_application(args: dict[str, Any]) -> Application:
    """Build the application of ``args["point"]`` with the configuration ``args["config"]``."""
    return _point(config_from_plain(args["config"]), args["point"])


def control_application(args: dict[str, Any]) -> Application:
    """Build the control application with the configuration ``args["config"]``."""
    return _control(config_from_plain(args["config"]), updates=False)


def deploy(config: ClusterConfig) -> None:
    """Have the Serve that this process is connected to serve a configuration's bundles, blocking until they are.

    Run again with other bundles, it tells the replicas that run; a point that no bundle has any more is deleted.

    Raises:
        BundleError: a bundle is not whole.
        TailFailed: a point cannot be served.
    """
    points = config_points(config)
    targets = [serve.RunTarget(_control(config, updates=True), name=CONTROL_APP, route_prefix="/v1")]
    for point in points:
        targets.append(serve.RunTarget(_point(config, point), name=app_name(point), route_prefix=f"/v1/points/{point}"))
    try:
        serve.run_many(targets)
    except RuntimeError as error:
        raise TailFailed(
            f"a point cannot be served: {error}",
            mend="the reason stands in serve/controller_*.log of Ray, below /tmp/ray/session_latest/logs",
        ) from error
    wanted = {CONTROL_APP, *map(app_name, points)}
    for name in serve.status().applications.keys() - wanted:
        if name.startswith(app_name("")):
            serve.delete(name)


def serve_document(config: ClusterConfig, *, bundles_at: Sequence[Path] = ()) -> dict[str, Any]:
    """Write a configuration as Ray Serve's own file, checked by Ray's schema.

    ``bundles_at`` is where the bundles lie here, if the nodes see them elsewhere.

    Raises:
        BundleError: a bundle is not whole.
        SettingError: it would let strangers in, or speak TLS, which Serve's own file has no place for.
    """
    config.security.check(config.listen.host)
    if config.security.tls is not None:
        raise SettingError(
            "Serve's own file has no TLS", mend="end it before the cluster, and set security.clear instead"
        )
    plain, told = without_bundles(config), _bundles(config)
    applications = [
        {
            "name": CONTROL_APP,
            "route_prefix": "/v1",
            "import_path": f"{__name__}:control_application",
            "args": {"config": plain},
            "deployments": [{"name": "control", "user_config": told}],
        }
    ]
    for point in config_points(config, bundles_at):
        applications.append(
            {
                "name": app_name(point),
                "route_prefix": f"/v1/points/{point}",
                "import_path": f"{__name__}:point_application",
                "args": {"point": point, "config": plain},
                "deployments": [{"name": "tail", "user_config": told}],
            }
        )
    document = {
        "proxy_location": "EveryNode",
        "http_options": {"host": config.listen.host, "port": config.listen.port},
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
        "applications": applications,
    }
    ServeDeploySchema.model_validate(document)
    return document


def config_points(config: ClusterConfig, bundles_at: Sequence[Path] = ()) -> list[PointName]:
    """Give the points that a configuration's bundles have, or those of them that it names."""
    folders = bundles_at or config.folders
    return served_points([Bundle.open(folder, "cluster") for folder in folders], config.only)


def _point(config: ClusterConfig, point: str) -> Application:
    settings = config.point(point)
    with warnings.catch_warnings():
        # Serve would rather read how often its metrics are sent from the environment of every node.
        warnings.simplefilter("ignore", DeprecationWarning)
        deployment = serve.deployment(
            name="tail",
            # A WebSocket holds one of Serve's slots for as long as it lives.
            max_ongoing_requests=config.tail.streams,
            ray_actor_options={"num_cpus": settings.cpus, "num_gpus": settings.gpus},
            health_check_period_s=PERIOD_S,
            health_check_timeout_s=TIMEOUT_S,
            graceful_shutdown_wait_loop_s=WAIT_LOOP_S,
            graceful_shutdown_timeout_s=STOP_S,
            **_replicas(settings, config.tail.streams),
        )(_TAIL)
        return _told(deployment, config).bind(point, without_bundles(config))


def _control(config: ClusterConfig, *, updates: bool) -> Application:
    deployment = serve.deployment(
        name="control",
        max_ongoing_requests=CONTROL_CALLS,
        ray_actor_options={"num_cpus": 0},
        health_check_period_s=PERIOD_S,
        health_check_timeout_s=TIMEOUT_S,
        graceful_shutdown_wait_loop_s=WAIT_LOOP_S,
        graceful_shutdown_timeout_s=STOP_S,
    )(_CONTROL)
    return _told(deployment, config).bind(without_bundles(config), updates=updates)


def _told(deployment: Deployment, config: ClusterConfig) -> Deployment:
    # The version can be said by an argument only that is private to the one release of Ray that we pin.
    return deployment.options(user_config=_bundles(config), version=VERSION, _internal=True)


def _bundles(config: ClusterConfig) -> dict[str, Any]:
    return {BUNDLES: [str(Path(folder).resolve()) for folder in config.folders]}


def _replicas(settings: PointConfig, streams: int) -> dict[str, Any]:
    if not settings.scales:
        return {"num_replicas": settings.most}
    autoscaling = {
        "min_replicas": settings.min,
        "max_replicas": settings.most,
        "initial_replicas": settings.first,
        "metrics_interval_s": METRICS_S,
        "look_back_period_s": LOOK_BACK_S,
        # The policy has its own delays, which are tested without Serve.
        "upscale_delay_s": 0.0,
        "downscale_delay_s": 0.0,
        "target_ongoing_requests": streams,
        "policy": {"policy_function": POLICY, "policy_kwargs": to_plain(settings)},
    }
    return {"autoscaling_config": autoscaling}
