"""``isthmus train``: train the codec of one partition point."""

from pathlib import Path

import click

from cluster.cli.screen import notes, output

TRAINING_DATA = Path("../shared/data/caltech-101")


@click.command()
@click.option("--backbone", default="efficientnet-lite0", show_default=True)
@click.option("--point", required=True, help="Where to cut; see `isthmus points`.")
@click.option("--setting", required=True, help="Reduction, for instance c8-s2: to 8 channels, stride 2.")
@click.option("--data", type=click.Path(path_type=Path), default=TRAINING_DATA, show_default=True,
              help="Any folder of pictures; no labels are needed.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=None,
              help="Folder of trained codecs.  [default: those that ship]")  # fmt: skip
@click.option("--run", "run_folder", type=click.Path(path_type=Path), default=None,
              help="Folder of the run's state.  [default: runs/BACKBONE/POINT-SETTING]")  # fmt: skip
@click.option("--reconstruct-epochs", default=4, show_default=True)
@click.option("--distil-epochs", default=12, show_default=True)
@click.option("--views", default=2, show_default=True, help="Random crops of each picture.")
@click.option("--batch", default=32, show_default=True)
@click.option("--learning-rate", default=3e-3, show_default=True)
@click.option("--clip", type=float, help="Greatest norm of a gradient; try 1 where the loss jumps.")
@click.option("--seed", default=0, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--threads", default=0, help="CPU threads.  [default: all]")
def command(
    *,
    backbone: str,
    point: str,
    setting: str,
    data: Path,
    out: Path | None,
    run_folder: Path | None,
    reconstruct_epochs: int,
    distil_epochs: int,
    views: int,
    batch: int,
    learning_rate: float,
    clip: float | None,
    seed: int,
    device: str,
    threads: int,
) -> None:
    """Train the codec of one partition point by distillation from the backbone.

    A stopped run goes on from its last epoch when the same command is given again.
    """
    import torch

    from cluster.backbones.registry import load_backbone
    from cluster.cli.training_bar import TrainingBar
    from cluster.codecs.bottlenet import BottleNetSetting
    from cluster.codecs.weights import SHIPPED
    from cluster.training.memory import keep_freed_memory
    from cluster.training.pictures import find_pictures
    from cluster.training.trainer import TrainingPlan, train_codec

    keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    plan = TrainingPlan(
        reconstruct_epochs=reconstruct_epochs,
        distil_epochs=distil_epochs,
        views=views,
        batch=batch,
        learning_rate=learning_rate,
        clip=clip,
        seed=seed,
    )
    folder = run_folder or Path("runs") / backbone / f"{point}-{setting}"
    with TrainingBar(f"{point} {setting}") as bar:
        path = train_codec(
            load_backbone(backbone),
            point,
            BottleNetSetting.parse(setting),
            plan,
            pictures=find_pictures(data),
            run_folder=folder,
            weights_folder=out or SHIPPED,
            device=where,
            listener=bar.show,
        )
    output().print(f"wrote {path} ({path.stat().st_size:,} bytes)", soft_wrap=True)
    notes().print("measure it: isthmus bundle build --measure DIR")
