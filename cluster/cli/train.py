"""``isthmus train``: train or calibrate the codec of one partition point."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster.cli.screen import notes, output

if TYPE_CHECKING:
    import torch

TRAINING_DATA = Path("../shared/data/caltech-101")
GPU_BATCH = 256
CPU_BATCH = 32


@click.command()
@click.option("--backbone", default="efficientnet-lite0", show_default=True,
              help="A name, NAME:CHECKPOINT, or package.module:function.")  # fmt: skip
@click.option("--point", required=True, help="Where to cut; see `isthmus points`.")
@click.option("--codec", default="isthmus", show_default=True,
              help="isthmus, bottlenet, deepcod or offload-autoencoder; or one that only looks at some pictures: "
              "jalad, jointdnn, offload, offload-interpolation, offload-lossy, offload-compressive.")  # fmt: skip
@click.option("--setting", required=True,
              help="How far to reduce. isthmus: k80-s2-b3500 (80 bands, patches of 2×2, first rate of 3500 bytes); "
              "bottlenet: c8-s2 (8 channels, stride 2), or c8-s2-q75 to train through JPEG; "
              "deepcod: c12-s2-l16 (16 centres); offload-autoencoder: c12-s4; jalad: c1 to c8 (bits); "
              "offload-interpolation: s2, s4; offload-compressive: m25 (percent); offload: float32; "
              "jointdnn, offload-lossy: 8bit.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path), default=TRAINING_DATA, show_default=True,
              help="Any folder of pictures; no labels are needed.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=None,
              help="Folder of trained codecs.  [default: those that ship]")  # fmt: skip
@click.option("--run", "run_folder", type=click.Path(path_type=Path), default=None,
              help="Folder of the run's state.  [default: runs/BACKBONE/POINT.CODEC-SETTING]")  # fmt: skip
@click.option("--features", "features_folder", type=click.Path(path_type=Path), default=None,
              help="Folder of what the backbone says of the pictures, shared by all runs.  "
              "[default: runs/BACKBONE/features]")  # fmt: skip
@click.option("--also-features", "more_points", metavar="POINT", multiple=True,
              help="Compute the features of this point too, in the same pass; may be repeated.")  # fmt: skip
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
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--threads", type=click.IntRange(0), default=0, help="CPU threads.  [default: all]")
def command(
    *,
    backbone: str,
    point: str,
    codec: str,
    setting: str,
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
) -> None:
    """Train the codec of one partition point by distillation from the backbone.

    A stopped run goes on from its last checkpoint when the same command is given again. A codec that learns nothing
    is calibrated on some of the pictures, and needs none of the settings of a training.
    """
    import torch

    from cluster.backbones.registry import load_backbone
    from cluster.cli.training_bar import TrainingBar
    from cluster.codecs.weights import SHIPPED, CodecKey
    from cluster.training.memory import keep_freed_memory
    from cluster.training.pictures import find_pictures
    from cluster.training.plan import TrainingPlan
    from cluster.training.trainer import TrainingFolders, train_codec

    keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    where = _device(device)
    plan = TrainingPlan(
        reconstruct_epochs=reconstruct_epochs,
        distil_epochs=distil_epochs,
        views=views,
        batch=batch or (GPU_BATCH if where.type == "cuda" else CPU_BATCH),
        learning_rate=learning_rate,
        clip=clip,
        average=average,
        seed=seed,
    )
    pictures = find_pictures(data)
    loaded = load_backbone(backbone)
    runs = Path("runs") / loaded.name
    folders = TrainingFolders(
        run=run_folder or runs / f"{point}.{codec}-{setting}",
        features=features_folder or runs / "features",
        weights=out or SHIPPED,
    )
    with TrainingBar(f"{point} {codec} {setting}") as bar:
        path = train_codec(
            loaded,
            CodecKey(loaded.name, point, codec, setting),
            plan,
            pictures=pictures,
            folders=folders,
            device=where,
            listener=bar.show,
            recompute=recompute,
            more_points=more_points,
        )
    output().print(f"wrote {path} ({path.stat().st_size:,} bytes)", soft_wrap=True)
    notes().print("measure it: isthmus bundle build --measure DIR")


def _device(name: str) -> "torch.device":
    """Choose the device.

    Raises:
        SettingError: it is none that this machine has.
    """
    import torch

    from wire.errors import SettingError

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # a torch without CUDA asserts
        raise SettingError(f"{name!r} is no device to train on: {error}", mend="give auto, cpu or cuda") from error
    return device
