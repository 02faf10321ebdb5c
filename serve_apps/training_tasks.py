"""The jobs of a grid of trainings as Ray tasks.

Owns what is checked on the nodes before anything starts, what is told meanwhile, and the way of the weights: a task
gives them as bytes and they are written here, so that nodes share no disk. The folders of runs and features are each
node's own: a task that is tried again on its node goes on from its checkpoint, and features are computed once a node.
One of the few files that import Ray.
"""

import contextlib
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.training.grid import GridJob
from cluster.training.grid_runner import GridListener, JobEnded, JobProgress, JobReport, JobStarted, run_job
from cluster.training.pictures import find_pictures
from cluster.training.progress import Progress
from cluster.training.training_order import TrainingOrder, training_device
from cluster.whole_file import write_whole
from wire.errors import DataError, IsthmusError, SettingError

POLL_S: Final = 0.5
CHECK_TIMEOUT_S: Final = 300.0
BOARD_TIMEOUT_S: Final = 5.0
TRIES_MORE: Final = 1
"""A task whose process is killed is tried so many times more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNeeds:
    """What every task takes of its node, and the backbone that it loads there."""

    backbone: str
    """As ``load_backbone`` reads it: a checkpoint or a network of the user's own must be found on every node."""
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = 1
    gpu_share: float = 1.0
    """Of one GPU, where the device is CUDA."""

    @property
    def resources(self) -> dict[str, float]:
        """The same by Ray's names."""
        return {"CPU": self.threads, "GPU": self.gpu_share if self.device == "cuda" else 0.0}


def run_tasks(
    jobs: Sequence[GridJob],
    order: TrainingOrder,
    needs: TaskNeeds,
    *,
    weights: Path,
    listener: GridListener,
) -> list[JobReport]:
    """Train the jobs, as many at once as the nodes hold, and write their weights files; reports are in order.

    Raises:
        SettingError: no node has what a task needs, or one cannot run trainings.
        DataError: a node has not the pictures.
    """
    _check_nodes(order, needs)
    board: ActorHandle[Any] = BOARD.remote()
    task = TRAIN.options(num_cpus=needs.threads, num_gpus=needs.resources["GPU"])
    waiting = {task.remote(order, needs, job, number, board): number for number, job in enumerate(jobs)}
    reports: dict[int, JobReport] = {}
    told: dict[int, Progress | None] = {}
    started_at = time.monotonic()
    try:
        while waiting:
            done, _ = ray.wait(list(waiting), timeout=POLL_S)
            latest = _read(board)
            # The board still knows those that ended before.
            _tell_news({number: latest[number] for number in waiting.values() if number in latest}, told, listener)
            for reference in done:
                number = waiting.pop(reference)
                _tell_news({number: told.get(number)}, told, listener)
                reports[number] = _report(reference, jobs[number], weights, time.monotonic() - started_at)
                listener(JobEnded(number, reports[number]))
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)
    return [reports[number] for number in range(len(jobs))]


class ProgressBoard:
    """Keeps where each job stands, and nothing older; an actor, read from time to time."""

    def __init__(self) -> None:
        self._latest: dict[int, Progress | None] = {}

    def tell(self, number: int, progress: Progress | None) -> None:
        """Note where a job stands; None says that it has begun."""
        self._latest[number] = progress

    def read(self) -> dict[int, Progress | None]:
        """Give the jobs that have begun, and where they stand."""
        return self._latest


def train_on_node(
    order: TrainingOrder, needs: TaskNeeds, job: GridJob, number: int, board: "ActorHandle[Any]"
) -> tuple[JobReport, bytes]:
    """Train one job here; give its report, and its weights file, empty where it failed."""
    import torch

    from cluster.backbones.registry import load_backbone
    from cluster.training.memory import keep_freed_memory

    board.tell.remote(number, None)
    keep_freed_memory()
    torch.set_num_threads(needs.threads)
    told_at = 0.0

    def tell(progress: Progress) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= POLL_S:  # nobody reads more often
            told_at = time.monotonic()
            board.tell.remote(number, progress)

    with tempfile.TemporaryDirectory(prefix="isthmus-") as folder:
        report = run_job(
            job,
            lambda job, listener: order.train(
                job,
                load_backbone(needs.backbone),
                weights=Path(folder),
                device=training_device(needs.device),
                listener=listener,
            ),
            tell,
        )
        content = report.weights.read_bytes() if report.weights else b""
    return replace(report, weights=None, node=socket.gethostname()), content


def refusal_of_node(order: TrainingOrder) -> tuple[str, str] | None:
    """Say what this node lacks, and how to mend it; None where it has the pictures."""
    try:
        find_pictures(order.data)
    except DataError as error:
        return error.message, error.mend
    return None


BOARD: Final[Any] = ray.remote(num_cpus=0)(ProgressBoard)
TRAIN: Final[Any] = ray.remote(max_retries=TRIES_MORE)(train_on_node)
REFUSAL: Final[Any] = ray.remote(num_cpus=0)(refusal_of_node)


def _check_nodes(order: TrainingOrder, needs: TaskNeeds) -> None:
    """Ask every node that a task could be sent to whether it can be trained there."""
    every: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # Ray's own
    nodes = {node["NodeID"]: node for node in every if node["Alive"] and _holds(node["Resources"], needs)}
    if not nodes:
        wanted = ", ".join(f"{amount:g} {name}" for name, amount in needs.resources.items() if amount)
        raise SettingError(
            f"no node of the Ray cluster has {wanted} for a task",
            mend="give fewer --threads, a smaller --gpu-share, or --device cpu; or add a node",
        )
    asked = {
        identity: REFUSAL.options(scheduling_strategy=NodeAffinitySchedulingStrategy(identity, soft=False)).remote(
            order
        )
        for identity in nodes
    }
    for identity, answer in asked.items():
        name = f"{nodes[identity]['NodeManagerHostname']} ({nodes[identity]['NodeManagerAddress']})"
        try:
            refused = ray.get(answer, timeout=CHECK_TIMEOUT_S)
        except RayError as error:
            raise SettingError(
                f"the node {name} cannot run trainings: {_last_line(error)}",
                mend="install the same version of isthmus[cluster] on every node",
            ) from error
        if refused:
            raise DataError(
                f"on the node {name}: {refused[0]}", mend=f"have the same folder on every node; {refused[1]}"
            )


def _holds(resources: Mapping[str, float], needs: TaskNeeds) -> bool:
    return all(resources.get(name, 0.0) >= amount for name, amount in needs.resources.items())


def _read(board: "ActorHandle[Any]") -> dict[int, Progress | None]:
    latest: Any = {}
    with contextlib.suppress(RayError):  # who loses the board loses sight of the jobs, not the jobs
        latest = ray.get(board.read.remote(), timeout=BOARD_TIMEOUT_S)
    return dict(latest)


def _tell_news(latest: Mapping[int, Progress | None], told: dict[int, Progress | None], listener: GridListener) -> None:
    for number, progress in latest.items():
        if number not in told:
            listener(JobStarted(number))
        if progress is not None and progress != told.get(number):
            listener(JobProgress(number, progress))
        told[number] = progress


def _report(reference: Any, job: GridJob, weights: Path, seconds: float) -> JobReport:
    """Fetch what a task came to, and write its weights file."""
    report = JobReport(job=job, state="failed", seconds=seconds)
    try:
        report, content = ray.get(reference)
        return report if report.error else replace(report, weights=write_whole(job.key.path(weights), content))
    except RayError as error:  # the process was killed, or its node, or the task could not be made there
        return replace(report, error=f"{type(error).__name__}: {_last_line(error)}")
    except IsthmusError as error:
        return replace(report, state="failed", error=str(error))


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[-1]
