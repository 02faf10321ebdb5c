"""Training a grid from the command line: its jobs here or on Ray, then the measurement, the choice and the report.

Owns the order of these. What a job is and how it is trained is ``cluster.training``'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cluster.cli.screen import notes, output, write_json
from wire.errors import SettingError

if TYPE_CHECKING:
    import torch

    from cluster.backbones.backbone import Backbone
    from cluster.cli.grid_report import Figures
    from cluster.training.grid import Grid
    from cluster.training.grid_runner import GridListener, JobReport
    from cluster.training.selection import Choice
    from cluster.training.training_order import TrainingOrder

Place = Literal["here", "ray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GridChoices:
    """What the user chose beside the jobs themselves and how each is trained."""

    backbone: str
    """As the user named it, for nodes that load it anew."""
    weights: Path
    place: Place
    device: str
    threads: int
    """Of this process, or of each Ray task; 0 is all, or 1."""
    ray_address: str
    gpu_share: float
    evaluate: Path | None
    most_drop_points: float | None
    json_file: Path | None

    @property
    def asks_for_more(self) -> bool:
        """Whether even a single job is to be reported as a grid is."""
        return self.place == "ray" or self.evaluate is not None or self.json_file is not None

    def check(self, data: Path) -> None:
        """Refuse what can be refused before anything is loaded; ``data`` is the folder of pictures.

        Raises:
            SettingError: something is to be chosen from what is not to be measured.
            DataError: a folder is not what it has to be.
        """
        from cluster.training.pictures import find_labelled, find_pictures

        if self.most_drop_points is not None and self.evaluate is None:
            raise SettingError("--then-select needs measurements", mend="give a labelled set with --evaluate DIR")
        if self.evaluate is not None:
            find_labelled(self.evaluate)
        if self.place == "here":  # on a cluster it is for each node to say
            find_pictures(data)

    def prepared(self) -> "torch.device":
        """Make this process ready to train, and give its device."""
        import torch

        from cluster.training.memory import keep_freed_memory

        keep_freed_memory()
        if self.threads:
            torch.set_num_threads(self.threads)
        return torch.device(self.device)


def train_grid(grid: "Grid", backbone: "Backbone", order: "TrainingOrder", choices: GridChoices) -> int:
    """Train the jobs, measure and choose if that was asked for, and report; give the exit code, 1 if a job failed.

    Raises:
        SettingError, DataError, ClusterUnreachable: the jobs cannot be started where they should run.
        CheckpointError: what was trained cannot be measured.
    """
    from cluster.cli.grid_report import grid_record, print_choices, print_jobs, print_rates
    from cluster.cli.training_bar import GridBar

    for reason in grid.skipped:
        notes().print(f"skipped {reason}", markup=False, soft_wrap=True)
    with GridBar(grid.jobs) as bar:
        run = _run_here if choices.place == "here" else _run_on_ray
        reports = run(grid, backbone, order, choices, bar.show)
    print_jobs(reports)
    figures: Figures = {}
    chosen: Sequence[Choice] = ()
    if choices.json_file:  # whatever becomes of the measurement
        write_json(grid_record(backbone.name, reports, figures, chosen), choices.json_file)
    if choices.evaluate is not None:
        figures = _measure(reports, backbone, choices.weights, choices.evaluate)
        if choices.most_drop_points is not None:
            chosen = _choose(grid, figures, choices.most_drop_points)
        print_rates(figures, chosen)
        print_choices(chosen, choices.most_drop_points or 0.0)
        if choices.json_file:
            write_json(grid_record(backbone.name, reports, figures, chosen), choices.json_file)
    failed = sum(report.state == "failed" for report in reports)
    if failed:
        output().print(f"{failed} of {len(reports)} jobs failed; the same command tries them again")
    return int(failed > 0)


def _run_here(
    grid: "Grid", backbone: "Backbone", order: "TrainingOrder", choices: GridChoices, listener: "GridListener"
) -> "list[JobReport]":
    from cluster.training.grid_runner import run_in_turn

    device = choices.prepared()
    return run_in_turn(
        grid.jobs,
        lambda job, heard: order.train(job, backbone, weights=choices.weights, device=device, listener=heard),
        listener,
    )


def _run_on_ray(
    grid: "Grid", _backbone: "Backbone", order: "TrainingOrder", choices: GridChoices, listener: "GridListener"
) -> "list[JobReport]":
    from serve_apps.ray_connection import RayConnection
    from serve_apps.training_tasks import TaskNeeds, run_tasks

    if choices.device not in ("cpu", "cuda"):
        raise SettingError(f"{choices.device!r} is no device of a Ray task", mend="give cpu or cuda")
    needs = TaskNeeds(
        backbone=choices.backbone,
        device="cuda" if choices.device == "cuda" else "cpu",
        threads=choices.threads or 1,
        gpu_share=choices.gpu_share,
    )
    # A task has no current folder that we know.
    order = replace(
        order, data=order.data.absolute(), runs=order.runs.absolute(), features=order.features.absolute()
    )  # fmt: skip
    with RayConnection(choices.ray_address):
        return run_tasks(grid.jobs, order, needs, weights=choices.weights, listener=listener)


def _measure(reports: "Sequence[JobReport]", backbone: "Backbone", weights: Path, data: Path) -> "Figures":
    from rich.progress import Progress

    from cluster.cli.grid_measurement import measure_codecs

    trained = [report.job.key for report in reports if report.state == "trained"]
    if not trained:
        return {}
    with Progress(console=notes(), transient=True) as bar:
        task = bar.add_task("measure", total=None)

        def show(stage: str, option: str, frames: int) -> None:
            bar.update(task, advance=frames, description=f"{stage} {option}")

        return measure_codecs(backbone, trained, weights=weights, data=data, listener=show)


def _choose(grid: "Grid", figures: "Figures", most_drop_points: float) -> "list[Choice]":
    from cluster.training.selection import Candidate, choose_rates

    candidates = (
        Candidate(key, rate, measured.bytes_mean, measured.top1_drop)
        for key, rates in figures.items()
        for rate, measured in rates.items()
    )
    points = list(dict.fromkeys(job.key.point for job in grid.jobs))
    return choose_rates(points, candidates, most_drop_points / 100)
