"""``isthmus train``: train the codec of a partition point, or those of a grid of points, codecs and settings."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cluster.cli.screen import notes, output
from cluster.cli.train_grid import GridChoices, Place, train_grid

if TYPE_CHECKING:
    from cluster.backbones.backbone import Backbone
    from cluster.training.grid import GridJob
    from cluster.training.training_order import TrainingOrder

TRAINING_DATA: Final = Path("../shared/data/caltech-101")
GPU_BATCH: Final = 256
CPU_BATCH: Final = 32


def _each(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Take an option that is repeated, a list with commas, or both."""
    return tuple(each.strip() for value in values for each in value.split(",") if each.strip())


@click.command()
@click.option("--backbone", default="efficientnet-lite0", show_default=True,
              help="A name, NAME:CHECKPOINT, or package.module:function.")  # fmt: skip
@click.option("--point", "points", metavar="POINT,…", multiple=True, required=True, callback=_each,
              help="Where to cut; see `isthmus points`. Of several points, codecs or settings all combinations that "
              "make sense are trained.")  # fmt: skip
@click.option("--codec", "codecs", metavar="CODEC,…", multiple=True, callback=_each, default=("isthmus",),
              show_default=True,
              help="isthmus, bottlenet, deepcod or offload-autoencoder; or one that only looks at some pictures: "
              "jalad, jointdnn, offload, offload-interpolation, offload-lossy, offload-compressive.")  # fmt: skip
@click.option("--setting", "settings", metavar="SETTING,…", multiple=True, required=True, callback=_each,
              help="How far to reduce. isthmus: k80-s2-b3500 (80 bands, patches of 2×2, first rate of 3500 bytes), "
              "or with -w224 behind it for a restorer of 224 channels, which takes epochs of distillation; "
              "bottlenet: c8-s2 (8 channels, stride 2), or c8-s2-q75 to train through JPEG; "
              "deepcod: c12-s2-l16 (16 centres); offload-autoencoder: c12-s4; jalad: c1 to c8 (bits); "
              "offload-interpolation: s2, s4; offload-compressive: m25 (percent); offload: float32; "
              "jointdnn, offload-lossy: 8bit.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path), default=TRAINING_DATA, show_default=True,
              help="Any folder of pictures; no labels are needed.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=None,
              help="Folder of trained codecs.  [default: those that ship]")  # fmt: skip
@click.option("--run", "run_folder", type=click.Path(path_type=Path), default=None,
              help="Folder of the run's state, or above those of a grid.  "
              "[default: runs/BACKBONE/POINT.CODEC-SETTING]")  # fmt: skip
@click.option("--features", "features_folder", type=click.Path(path_type=Path), default=None,
              help="Folder of what the backbone says of the pictures, shared by all runs.  "
              "[default: runs/BACKBONE/features]")  # fmt: skip
@click.option("--also-features", "more_points", metavar="POINT", multiple=True,
              help="Compute the features of this point too, in the same pass; may be repeated. Those of all points "
              "of a grid are.")  # fmt: skip
@click.option("--recompute", is_flag=True,
              help="Keep no features on disk: run the backbone on every batch, as where they do not fit.")  # fmt: skip
@click.option("--reconstruct-epochs", type=click.IntRange(0), default=4, show_default=True,
              help="Epochs that compare features; cheap, since they leave out the tail.")  # fmt: skip
@click.option("--distil-epochs", type=click.IntRange(0), default=12, show_default=True,
              help="Epochs that compare the tail's answers.")  # fmt: skip
@click.option("--views", type=click.IntRange(1), default=2, show_default=True, help="Random crops of each picture.")
@click.option("--batch", type=click.IntRange(1), default=None,
              help=f"Frames a step.  [default: {CPU_BATCH}, or {GPU_BATCH} on a GPU]")  # fmt: skip
@click.option("--learning-rate", type=float, default=3e-3, show_default=True)
@click.option("--clip", type=float, help="Greatest norm of a gradient; try 1 where the loss jumps.")
@click.option("--average", type=click.FloatRange(0, 1, min_open=True, max_open=True),
              help="Keep a moving average of the weights, with this share of the old, for instance 0.999.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda; on Ray, auto is cpu.")
@click.option("--threads", type=click.IntRange(0), default=0, help="CPU threads.  [default: all; on Ray 1 a job]")
@click.option("--on", "place", type=click.Choice(["here", "ray"]), default="here", show_default=True,
              help="Where the jobs run: here in turn, or as Ray tasks, as many at once as the nodes hold. Every node "
              "needs the folder --data; the folders of runs and features are each node's own.")  # fmt: skip
@click.option("--ray-address", metavar="auto|local|HOST:PORT", default="auto", show_default=True,
              envvar="RAY_ADDRESS",
              help="auto joins the cluster that runs on this machine, or else starts one of its cores; local starts "
              "one in any case.")  # fmt: skip
@click.option("--gpu-share", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True,
              help="What share of a GPU a Ray task with --device cuda takes.")  # fmt: skip
@click.option("--evaluate", type=click.Path(path_type=Path), metavar="DIR",
              help="Measure what was trained on this labelled set, and record it beside the weights.")  # fmt: skip
@click.option("--then-select", "most_drop", type=click.FloatRange(0), metavar="POINTS",
              help="Choose at each point the least bytes among those that lose at most so many points of top-1 in "
              "--evaluate (BottleNet's Algorithm 1).")  # fmt: skip
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write what the jobs came to here.")
def command(
    *,
    backbone: str,
    points: tuple[str, ...],
    codecs: tuple[str, ...],
    settings: tuple[str, ...],
    data: Path,
    out: Path | None,
    run_folder: Path | None,
    features_folder: Path | None,
    more_points: tuple[str, ...],
    recompute: bool,
    reconstruct_epochs: int,
    distil_epochs: int,
    views: int,
    batch: int | None,
    learning_rate: float,
    clip: float | None,
    average: float | None,
    seed: int,
    device: str,
    threads: int,
    place: Place,
    ray_address: str,
    gpu_share: float,
    evaluate: Path | None,
    most_drop: float | None,
    json_file: Path | None,
) -> None:
    """Train the codec of one partition point by distillation from the backbone, or a grid of them.

    A stopped run goes on from its last checkpoint when the same command is given again; what had ended is not trained
    again, only written. A codec that learns nothing is calibrated on some of the pictures, and needs none of the
    settings of a training. One failing job of a grid does not end the others.
    """
    from cluster.backbones.registry import load_backbone
    from cluster.codecs.weights import SHIPPED
    from cluster.points import Cuts
    from cluster.training.grid import expand_grid
    from cluster.training.plan import TrainingPlan
    from cluster.training.training_order import TrainingOrder

    choices = GridChoices(
        backbone=backbone,
        weights=out or SHIPPED,
        place=place,
        device=_device_name(device, place),
        threads=threads,
        ray_address=ray_address,
        gpu_share=gpu_share,
        evaluate=evaluate,
        most_drop_points=most_drop,
        json_file=json_file,
    )
    choices.check(data)
    plan = TrainingPlan(
        reconstruct_epochs=reconstruct_epochs,
        distil_epochs=distil_epochs,
        views=views,
        batch=batch or (GPU_BATCH if choices.device.startswith("cuda") else CPU_BATCH),
        learning_rate=learning_rate,
        clip=clip,
        average=average,
        seed=seed,
    )
    loaded = load_backbone(backbone)
    cuts = Cuts(loaded.module, loaded.example())
    grid = expand_grid(cuts, loaded.name, plan, points=points, codecs=codecs, settings=settings)
    runs = Path("runs") / loaded.name
    order = TrainingOrder(
        plan=plan,
        data=data,
        runs=run_folder or runs,
        features=features_folder or runs / "features",
        recompute=recompute,
        more_points=(*more_points, *grid.learned_points),
    )
    if len(grid.jobs) > 1 or choices.asks_for_more:
        sys.exit(train_grid(grid, loaded, order, choices))
    _train_one(grid.jobs[0], loaded, order, choices, run_folder)


def _train_one(
    job: "GridJob", backbone: "Backbone", order: "TrainingOrder", choices: GridChoices, run_folder: Path | None
) -> None:
    """Train a single job as a command of its own: an error ends it, and ``run_folder`` is the run's own."""
    from dataclasses import replace

    from cluster.cli.training_bar import TrainingBar

    if run_folder:
        order, job = replace(order, runs=run_folder.parent), replace(job, folder=run_folder.name)
    with TrainingBar(str(job)) as bar:
        path = order.train(job, backbone, weights=choices.weights, device=choices.prepared(), listener=bar.show)
    output().print(f"wrote {path} ({path.stat().st_size:,} bytes)", soft_wrap=True)
    notes().print("measure it: isthmus bundle build --measure DIR")


def _device_name(name: str, place: Place) -> str:
    """Settle ``auto``, which decides how many frames a step has.

    Raises:
        SettingError: this machine, where it is to train, has no such device.
    """
    from cluster.training.training_order import training_device

    if place == "here":
        return str(training_device(name))
    return "cpu" if name == "auto" else name
