"""Where a replica finds the Triton of its node: a named Ray actor, made by whoever needs it first.

Owns its name and where it runs. One of the few files that import Ray.
"""

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.triton.external import ExternalTriton
from serve_apps.ray_settings import NAMESPACE
from serve_apps.triton_host import TRITON_HOST

NAME: Final = "triton"
STOP_TIMEOUT_S: Final = 20.0


def node_triton(external: ExternalTriton | None = None) -> ActorHandle[Any]:
    """Give the host of this node's Triton, or of this replica's GPU where it has one; it is made if there is none.

    It outlives whoever made it: the next replica on the node finds its models loaded, or the server at least running.
    An ``external`` Triton has one host on the node, whatever GPUs the replicas hold: it has them all, and one list of
    models.
    """
    context = ray.get_runtime_context()
    node = context.get_node_id()
    gpus = [] if external is not None else context.get_accelerator_ids().get("GPU", [])
    name = "-".join([NAME, node[:16], *(f"gpu{gpu}" for gpu in gpus)])
    environment = {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}
    return TRITON_HOST.options(
        name=name,
        namespace=NAMESPACE,
        get_if_exists=True,
        lifetime="detached",
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        **({"runtime_env": {"env_vars": environment}} if environment else {}),
    ).remote(str(_folder(name)), external)


def stop_tritons() -> None:
    """Stop every Triton of this Ray cluster; what cannot be asked any more ends with it."""
    for actor in list_named_actors(all_namespaces=True):
        if actor["namespace"] == NAMESPACE and actor["name"].startswith(f"{NAME}-"):
            with contextlib.suppress(RayError, ValueError):
                host = ray.get_actor(actor["name"], namespace=NAMESPACE)
                ray.get(host.stop.remote(), timeout=STOP_TIMEOUT_S)
                ray.kill(host)
            shutil.rmtree(_folder(actor["name"]), ignore_errors=True)


def _folder(name: str) -> Path:
    """Give the folder of a Triton on its own node: its models and its log."""
    return Path(tempfile.gettempdir()) / f"isthmus-{name}"
