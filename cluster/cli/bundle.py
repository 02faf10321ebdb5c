"""``isthmus bundle``: build, inspect and check bundles."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from cluster.cli.screen import notes, output, write_json

if TYPE_CHECKING:
    from wire.bundle import Bundle


@click.group()
def command() -> None:
    """Build, inspect and check bundles."""


@command.command()
@click.option("--backbone", default="efficientnet-lite0", show_default=True,
              help="A name, NAME:CHECKPOINT, or package.module:function.")  # fmt: skip
@click.option("--weights", type=click.Path(path_type=Path), default=None,
              help="Folder of trained codecs.  [default: those that ship]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=None, help="[default: bundles/BACKBONE]")
@click.option("--measure", "data", type=click.Path(path_type=Path), default=None,
              help="Measure every option on this labelled set and record it beside the weights.  "
              "[default: take the rates that were measured]")  # fmt: skip
@click.option("--input", "inputs", metavar="CODING", multiple=True, default=("jpeg-q75",), show_default=True,
              help="How a frame itself may be sent: jpeg-q75, webp-q50, png or raw; may be repeated.")  # fmt: skip
@click.option("--only", metavar="TEXT", multiple=True,
              help="Take these codecs alone: POINT, CODEC, POINT/CODEC or POINT/CODEC/RATE, * for any; "
              "may be repeated.")  # fmt: skip
def build(
    *,
    backbone: str,
    weights: Path | None,
    out: Path | None,
    data: Path | None,
    inputs: tuple[str, ...],
    only: tuple[str, ...],
) -> None:
    """Turn a backbone and its trained codecs into a bundle."""
    from rich.progress import Progress

    from cluster.backbones.registry import load_backbone
    from cluster.bundles.builder import BundleBuilder
    from cluster.bundles.input_coding import InputCoding
    from cluster.codecs.weights import SHIPPED

    codings = tuple(dict.fromkeys(InputCoding.parse(text) for text in inputs))
    loaded = load_backbone(backbone)
    with Progress(console=notes(), transient=True) as bar:
        tasks: dict[str, int] = {}

        def show(stage: str, option: str, frames: int) -> None:
            title = f"{stage} {option}"
            if title not in tasks:
                tasks[title] = bar.add_task(title, total=None)
            bar.advance(tasks[title], frames)  # type: ignore[arg-type]  # rich's TaskID is an int

        builder = BundleBuilder(loaded, weights or SHIPPED, listener=show)
        bundle = builder.build(out or Path("bundles") / loaded.name, data=data, inputs=codings, only=only)
    output().print(
        f"wrote {bundle.directory}: {len(bundle.manifest.options)} options, digest {bundle.digest}", soft_wrap=True
    )


@command.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest and the digest as JSON.")
def inspect(directory: Path, *, as_json: bool) -> None:
    """Show a bundle's options: where they cut, what they send, and what was measured of them."""
    from wire.bundle import Bundle
    from wire.records import to_plain

    bundle = Bundle.open(directory, "cluster")
    if as_json:
        write_json({"digest": bundle.digest, "manifest": to_plain(bundle.manifest)})
    else:
        _print(bundle)


def _print(bundle: "Bundle") -> None:
    manifest = bundle.manifest
    measured = manifest.options[0].measured
    table = Table(title=f"{manifest.backbone}  {bundle.digest}", title_justify="left")
    for heading in ("id", "point", "codec", "rate", "symbols", "bytes", "p95", "device MACs", "share", "top-1", "drop",
                    "agrees"):  # fmt: skip
        table.add_column(heading, justify="left" if heading in ("point", "codec", "rate", "symbols") else "right")
    total = max([1, *(option.macs.head for option in manifest.options)])
    for option in manifest.options:
        device = option.macs.head + option.macs.encoder
        figures = option.measured
        table.add_row(
            str(option.id), option.point, option.codec, option.rate, "×".join(map(str, option.shape)),
            f"{figures.bytes_mean:,.0f}", f"{figures.bytes_p95:,.0f}", f"{device / 1e6:,.1f} M",
            f"{device / total:.0%}", f"{figures.top1:.1%}", f"{figures.top1_drop * 100:.1f}",
            f"{figures.agreement:.1%}",
        )  # fmt: skip
    output().print(table)
    output().print(
        f"unsplit: {manifest.baseline_top1:.1%} top-1; measured on {measured.pictures} pictures of {measured.dataset}, "
        "in whole bitstreams with their headers; drop in points"
    )
