"""``isthmus points``: where a backbone can be cut."""

from dataclasses import asdict

import click
from rich.table import Table

from cluster.cli.screen import output, write_json


@click.command()
@click.argument("backbone")
@click.option("--all", "every", is_flag=True, help="Every separating node, not only the points worth offering.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(backbone: str, *, every: bool, as_json: bool) -> None:
    """Show the partition points of BACKBONE.

    \b
    BACKBONE, here and in --backbone elsewhere, is one of:
      efficientnet-lite0, efficientnet-lite1, efficientnet-lite2
                                    ImageNet weights come with them
      resnet50:PATH                 with your checkpoint (.pth, .pt, .safetensors);
                                    also resnet18, resnet101, vgg16, vgg19,
                                    mobilenet_v2, alexnet
      resnet50:random               with random weights, for trying
      package.module:function       your own: gives an nn.Module or a Backbone
    """  # noqa: D301 - click wants the character, not the two that a raw string has
    from cluster.backbones.registry import load_backbone
    from cluster.points import Cuts

    loaded = load_backbone(backbone)
    cuts = Cuts(loaded.module, loaded.example())
    points = cuts.every_point if every else cuts.points
    if as_json:
        write_json({"backbone": loaded.name, "points": [asdict(point) for point in points]})
        return
    table = Table(title=f"{loaded.name}: {len(points)} partition points", title_justify="left")
    for heading in ("point", "tensor", "bytes", "head MACs", "tail MACs", "head share"):
        table.add_column(heading, justify="left" if heading in ("point", "tensor") else "right")
    total = points[-1].head_macs
    for point in points:
        table.add_row(
            point.name,
            "×".join(map(str, point.shape)),
            f"{point.raw_bytes:,}",
            f"{point.head_macs:,}",
            f"{point.tail_macs:,}",
            f"{point.head_macs / total:.1%}",
        )
    output().print(table)
